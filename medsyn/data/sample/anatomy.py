"""Random draws that define a simulated chest film: a subject's anatomy, its disease, and the positioning of a film.

The patient frame is in centimetres: x to the patient's left (image right), y caudal from the lung apices, z anterior
from the mid-coronal plane.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

__all__ = [
    "CARINA_Y",
    "TEXTURE_CM",
    "Anatomy",
    "Lesion",
    "Pose",
    "profile",
    "sample_anatomy",
    "sample_lesions",
    "sample_pose",
    "wall",
]

Array = NDArray[np.float64]
View = Literal["PA", "AP"]

CARINA_Y = 10.0
_TEXTURE_GRID = 160
TEXTURE_CM = 60.0


@dataclass(frozen=True)
class Anatomy:
    """One simulated subject; lengths in cm, point clouds as (n, 4) float64 rows of x, y, z and volume in cm3."""

    sex: str
    age: float
    scale: float
    width: float
    depth: float
    fat: float
    breast: float
    heart: tuple[float, float, float, float]
    knob: float
    mediastinum: float
    domes: tuple[float, float]
    curve: tuple[float, float]
    bone_density: float
    bubble: tuple[float, float, float] | None
    bowel: Array
    rib_points: Array
    vessel_points: Array
    vessel_gain: float
    texture: Array


@dataclass(frozen=True)
class Lesion:
    """One focus of disease in lung coordinates, so that it follows the lung through inspiration and positioning.

    Attributes:
        kind: "blob" (consolidation), "effusion" (blunted angle) or "sphere" (nodule).
        side: -1 patient right (image left), +1 patient left.
        across: 0 at the mediastinal border, 1 at the chest wall.
        down: 0 at the apex, 1 at the diaphragm.
        radii: half axes in cm; for a sphere both are its radius, for an effusion the second is its height.
        angle: in-plane rotation in radians.
        strength: airless fraction of the lung depth, or a nodule's contrast over plain soft tissue (calcified above 1).
        edge: softness of the border as a fraction of the radius.
        rough: how strongly the border follows the subject's tissue texture.
    """

    kind: str
    side: int
    across: float
    down: float
    radii: tuple[float, float]
    angle: float
    strength: float
    edge: float
    rough: float


@dataclass(frozen=True)
class Pose:
    """How one film was taken; lengths in cm, angles in radians."""

    view: View
    source_distance: float
    field: float
    shift: tuple[float, float]
    roll: float
    yaw: float
    inspiration: float
    arm_angle: float
    scapula: float


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


@lru_cache(maxsize=64)
def _table(knots: tuple[float, ...], values: tuple[float, ...]) -> tuple[Array, Array]:
    grid = np.linspace(knots[0], knots[-1], 400)
    return grid, PchipInterpolator(knots, values)(grid)


def profile(y: Array, knots: Sequence[float], values: Sequence[float]) -> Array:
    """Evaluate a shape-preserving curve (Fritsch-Carlson cubic) through knots, held constant beyond the ends.

    Args:
        y: float64 positions of any shape.
        knots: increasing positions.
        values: the curve at the knots.

    Returns:
        float64 array of the shape of y.

    Raises:
        ValueError: if knots do not increase or differ in number from values.
    """
    # Built once per curve: setting up the spline costs more than evaluating it on a whole film.
    grid, curve = _table(tuple(map(float, knots)), tuple(map(float, values)))
    return np.interp(y, grid, curve)


def wall(y: Array) -> Array:
    """Lateral lung border of a thorax of unit width.

    Args:
        y: float64 heights in cm of any shape, 0 at the apices, caudal positive.

    Returns:
        float64 distances from the midline in cm, of the shape of y.
    """
    knots = [-0.4, 0.2, 1.0, 2.5, 5.0, 9.0, 14.0, 20.0, 27.0]
    return profile(y, knots, [4.0, 5.5, 6.7, 8.2, 9.9, 11.7, 13.0, 13.6, 13.4])


def _ribs(rng: np.random.Generator, width: float, depth: float) -> Array:
    """Both rows of twelve ribs as a point cloud: bands curving from the spine round to the costal cartilage."""
    phi = np.linspace(0.0, 1.0, 150)
    across = np.linspace(-0.5, 0.5, 7)
    cortex = 0.6 + 0.8 * (np.abs(across) > 0.4)
    spread = _between(rng, 0.85, 1.15)
    parts = []
    for level in range(12):
        end = math.pi * (0.72 if level < 7 else 0.72 - 0.07 * (level - 6))
        angle = phi * end
        drop = spread * np.interp(level, [0, 1, 4, 8, 11], [3.6, 5.0, 8.0, 9.5, 9.0])
        root = -0.8 + 2.2 * level
        reach = width * float(wall(np.array(root + 0.42 * drop))) + 0.3 if level else 5.6 * width
        belly = (depth - 2.6) * float(np.interp(level, [0, 2, 6, 11], [0.55, 0.75, 0.95, 1.0]))
        for side in (-1.0, 1.0):
            x = 2.0 + (reach - 2.0) * np.sin(angle) ** 0.75
            y = root + rng.normal(0, 0.12) + drop * (0.5 * phi + 0.25 * (1 - np.cos(angle))) - 0.5 * np.sin(2 * angle)
            z = -belly * np.cos(angle) - 0.5
            line = np.stack([x, y, z], axis=1)
            tangent = np.gradient(line, axis=0)
            step = np.linalg.norm(tangent, axis=1)
            outward = np.stack([np.sin(angle), np.zeros_like(angle), -np.cos(angle)], axis=1)
            tall = np.cross(tangent / step[:, None], outward)
            tall /= np.linalg.norm(tall, axis=1)[:, None]
            height = 1.15 + 0.35 * phi
            points = line[:, None, :] + tall[:, None, :] * (height[:, None] * across)[..., None]
            volume = (step * height * 0.75)[:, None] * cortex[None, :] / len(across)
            points[..., 0] *= side
            parts.append(np.concatenate([points, volume[..., None]], axis=2).reshape(-1, 4))
    return np.concatenate(parts)


def _vessels(rng: np.random.Generator) -> Array:
    """Two branching vascular trees tapering from the hila (Murray's law: radius falls by 2^(-1/3) per split)."""
    parts = []
    for side in (-1.0, 1.0):
        count = 11
        place = np.stack([rng.normal(3.6, 0.4, count), CARINA_Y + 0.8 + rng.normal(0, 1.0, count)], axis=1)
        heading = np.linspace(-1.5, 1.75, count) + rng.normal(0, 0.15, count)
        radius = rng.uniform(0.24, 0.42, count)
        for _ in range(6):
            steps = 9
            turn = heading[:, None] + np.cumsum(rng.normal(0, 0.07, (len(heading), steps)), axis=1)
            stride = rng.uniform(0.16, 0.34, (len(heading), 1))
            move = np.stack([np.cos(turn), np.sin(turn)], axis=2) * stride[..., None]
            path = place[:, None, :] + np.cumsum(move, axis=1)
            taper = radius[:, None] * np.linspace(1.0, 0.86, steps)
            volume = math.pi * taper**2 * stride
            flat = np.zeros((path.shape[0] * steps, 4))
            flat[:, 0] = side * path[..., 0].ravel()
            flat[:, 1] = path[..., 1].ravel()
            flat[:, 2] = np.repeat(rng.normal(0, 3.0, path.shape[0]), steps)
            flat[:, 3] = volume.ravel()
            parts.append(flat)
            place = np.repeat(path[:, -1], 2, axis=0)
            split = rng.uniform(0.2, 0.55, len(heading))
            heading = np.stack([turn[:, -1] - split, turn[:, -1] + split], axis=1).ravel()
            radius = np.repeat(taper[:, -1], 2) * 0.79
    return np.concatenate(parts)


def _texture(rng: np.random.Generator) -> Array:
    """Unit-variance tissue texture with a power-law spectrum (Burgess 1999: anatomical noise falls about as f^-3)."""
    frequency = np.hypot(np.fft.fftfreq(_TEXTURE_GRID)[:, None], np.fft.rfftfreq(_TEXTURE_GRID)[None, :])
    spectrum = np.fft.rfft2(rng.standard_normal((_TEXTURE_GRID, _TEXTURE_GRID)))
    field = np.fft.irfft2(spectrum / (frequency + 0.015) ** 1.4, s=(_TEXTURE_GRID, _TEXTURE_GRID))
    return (field - field.mean()) / field.std()


def sample_anatomy(rng: np.random.Generator, *, age: float, sex: str) -> Anatomy:
    """Draw one subject's anatomy.

    Heart size grows with age (cardiothoracic ratio about 0.42 to 0.58, Danzer 1919 puts the upper normal at 0.5).

    Args:
        rng: the subject's own generator.
        age: years, 18 to 95.
        sex: "F" or "M".

    Returns:
        The anatomy, point clouds in cm in the patient frame.

    Raises:
        ValueError: if sex is not "F" or "M".
    """
    if sex not in ("F", "M"):
        raise ValueError(f"sex must be 'F' or 'M', got {sex!r}")
    female = sex == "F"
    width = rng.normal(0.93 if female else 1.01, 0.05)
    fat = max(0.0, rng.normal(1.6, 1.2))
    depth = rng.normal(9.6 if female else 10.4, 0.7) + 0.6 * fat
    older = (age - 50.0) / 40.0
    bubble = None
    if rng.random() < 0.45:
        bubble = (_between(rng, 4.5, 8.0), _between(rng, 1.2, 3.0), _between(rng, 0.8, 1.6))
    loops = int(rng.integers(0, 6))
    bowel = np.stack([rng.uniform(-4, 11, loops), rng.uniform(4, 12, loops), rng.uniform(0.7, 1.7, loops)], axis=1)
    return Anatomy(
        sex=sex,
        age=age,
        scale=float(rng.normal(0.95 if female else 1.01, 0.035)),
        width=float(width),
        depth=float(depth),
        fat=float(fat),
        breast=max(0.0, rng.normal(2.2, 1.2)) if female else 0.0,
        heart=(
            float(rng.normal(6.2 + 0.75 * older, 0.45)),
            float(rng.normal(4.7 + 0.5 * older, 0.35)),
            float(rng.normal(0.66 - 0.12 * older, 0.1)),
            float(rng.normal(1.7, 0.35)),
        ),
        knob=float(max(1.1, rng.normal(1.65 + 0.35 * older, 0.2))),
        mediastinum=float(rng.normal(2.3 + 0.25 * older, 0.25)),
        domes=(float(rng.normal(20.6, 0.8)), float(abs(rng.normal(1.3, 0.6)))),
        curve=(float(rng.normal(0, 0.25)), _between(rng, 0, 2 * math.pi)),
        bone_density=float(np.clip(rng.normal(1.0 - 0.12 * older, 0.1), 0.65, 1.3)),
        bubble=bubble,
        bowel=bowel,
        rib_points=_ribs(rng, float(width), float(depth)),
        vessel_points=_vessels(rng),
        vessel_gain=float(np.exp(rng.normal(0.0, 0.22))),
        texture=_texture(rng),
    )


def sample_pose(rng: np.random.Generator, view: View) -> Pose:
    """Draw the positioning of one film: PA at 180 cm in full inspiration, AP nearer and shallower.

    Args:
        rng: the film's own generator.
        view: "PA" or "AP".

    Returns:
        The pose; inspiration is the upward shift of the diaphragm in cm, negative for a deep breath.

    Raises:
        ValueError: if view is neither "PA" nor "AP".
    """
    if view not in ("PA", "AP"):
        raise ValueError(f"view must be 'PA' or 'AP', got {view!r}")
    ap = view == "AP"
    return Pose(
        view=view,
        source_distance=_between(rng, 100, 130) if ap else 180.0,
        field=_between(rng, 35.0, 41.0) if rng.random() < 0.9 else _between(rng, 41.0, 46.0),
        shift=(float(rng.normal(0, 0.8)), float(rng.normal(13.6, 1.2))),
        roll=float(rng.normal(0, 0.045 if ap else 0.022)),
        yaw=float(rng.normal(0, 0.09 if ap else 0.05)),
        inspiration=float(rng.normal(1.9, 1.1) if ap else rng.normal(0.0, 0.8)),
        arm_angle=_between(rng, 0.05, 0.25) if ap else _between(rng, 0.1, 0.55),
        scapula=_between(rng, 0.0, 0.35) if ap else _between(rng, 0.6, 1.0),
    )


def sample_lesions(rng: np.random.Generator, label: str) -> tuple[Lesion, ...]:
    """Draw the disease that goes with a label.

    Args:
        rng: the subject's disease generator.
        label: "normal", "opacity" or "nodule".

    Returns:
        No lesion for normal; one to three consolidations, at times with a blunted costophrenic angle, for opacity;
        one to three spheres of 6 to 25 mm diameter for nodule.

    Raises:
        ValueError: for another label.
    """
    if label == "normal":
        return ()
    if label not in ("opacity", "nodule"):
        raise ValueError(f"unknown label {label!r}")
    found = []
    if label == "nodule":
        for _ in range(int(rng.choice([1, 2, 3], p=[0.3, 0.35, 0.35]))):
            radius = 0.3 + 0.95 * rng.random() ** 0.3
            side = int(rng.choice([-1, 1]))
            low = 0.15 if side < 0 else 0.3
            found.append(
                Lesion(
                    "sphere",
                    side,
                    _between(rng, low, 0.85),
                    _between(rng, 0.12, 0.9),
                    (radius, radius),
                    0.0,
                    _between(rng, 2.0, 3.2),
                    0.12,
                    0.0,
                )
            )
        return tuple(found)
    main = int(rng.choice([-1, 1], p=[0.55, 0.45]))
    lobar = rng.random() < 0.4
    for index in range(1 if lobar else int(rng.choice([1, 2, 3], p=[0.45, 0.35, 0.2]))):
        side = main if index == 0 or rng.random() < 0.5 else -main
        large = (_between(rng, 3.4, 5.6), _between(rng, 2.8, 4.8)) if lobar else None
        radii = large or (_between(rng, 2.0, 4.0), _between(rng, 1.6, 3.4))
        found.append(
            Lesion(
                "blob",
                side,
                _between(rng, 0.1, 0.85),
                0.3 + 0.68 * math.sqrt(rng.random()),
                radii,
                _between(rng, 0, math.pi),
                _between(rng, 0.4, 0.9),
                _between(rng, 0.4, 0.9),
                _between(rng, 0.2, 0.6),
            )
        )
    if rng.random() < 0.35:
        found.append(Lesion("effusion", main, 1.0, 1.0, (4.0, _between(rng, 0.8, 3.5)), 0.0, 0.9, 0.3, 0.0))
    return tuple(found)
