"""Random draws that define a simulated MR examination of the brain: a head, its disease, and how it was scanned.

The head frame is in millimetres with its origin in the middle of the cranial cavity and axes as in NIfTI: x to the
patient's right, y to the front, z to the top.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

__all__ = ["Exam", "Head", "Mass", "Waves", "rotation", "sample_exam", "sample_head", "sample_masses"]

Array = NDArray[np.float32]

LOWEST, HIGHEST = 8.0, 44.0
"""Levels in mm above the centre of the cranial cavity between which slabs lie: basal ganglia to centrum semiovale."""


@dataclass(frozen=True)
class Waves:
    """A smooth random field in space: a sum of plane waves of random direction, near a Gaussian field of unit variance.

    Attributes:
        vectors: wave vectors in rad/mm, float32 (n, 3).
        phases: float32 (n,).
    """

    vectors: Array
    phases: Array

    @classmethod
    def draw(cls, rng: np.random.Generator, count: int, shortest: float, longest: float) -> Waves:
        """Waves with lengths between two bounds in mm, uniform in their logarithm."""
        direction = rng.standard_normal((count, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        length = np.exp(rng.uniform(math.log(shortest), math.log(longest), count))
        vectors = direction * (2 * math.pi / length)[:, None]
        return cls(vectors.astype(np.float32), rng.uniform(0, 2 * math.pi, count).astype(np.float32))

    def __call__(self, points: Array) -> Array:
        """The field at points (3, ...) in mm, float32 (...)."""
        flat = points.reshape(3, -1)
        out = np.cos(self.vectors @ flat + self.phases[:, None]).sum(axis=0)
        return (out * math.sqrt(2 / len(self.phases))).reshape(points.shape[1:])


@dataclass(frozen=True)
class Head:
    """One simulated subject; lengths in mm.

    Attributes:
        age: years.
        axes: half axes of the cranial cavity.
        taper: how much narrower the front is than the back, as a fraction.
        skull: thickness of the bone.
        scalp: thickness of the fat under the skin.
        cortex: thickness of the cortical grey matter.
        atrophy: 0 in a young brain, about 1 in an old one: wide sulci and ventricles.
        ventricles: radius of the lateral ventricles over that of the mean young adult.
        lean: sideways asymmetry of the ventricles.
        caps: how far bright caps reach from the ventricles into the white matter.
        spots: bright spots of small-vessel disease, rows of x, y, z and radius.
        folds: where the sulci run.
        depths: how deep they go.
        texture: unevenness of the tissue.
        outline: unevenness of the outline of the head.
    """

    age: float
    axes: tuple[float, float, float]
    taper: float
    skull: float
    scalp: float
    cortex: float
    atrophy: float
    ventricles: float
    lean: float
    caps: float
    spots: NDArray[np.float64]
    folds: Waves
    depths: Waves
    texture: Waves
    outline: Waves


@dataclass(frozen=True)
class Mass:
    """One tumour.

    Attributes:
        centre: in the head frame, mm.
        radii: half axes in mm, before the outline is made uneven.
        rough: how uneven the outline is, as a fraction of the radius.
        edge: softness of the outline in mm.
        grade: 0 to 1: from the relaxation times of low-grade tumours to those of high-grade ones.
        conspicuous: 0 to 1: how far these are reached; at 0 the mass looks like grey matter.
        core: share of the radius that is necrotic or cystic, 0 for none.
        oedema: how far oedema reaches, in radii; 1 for none.
        wet: 0 to 1: how much free water the oedema holds.
        push: mass effect: share of the radius by which tissue is displaced.
        waves: its own outline.
    """

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    rough: float
    edge: float
    grade: float
    conspicuous: float
    core: float
    oedema: float
    wet: float
    push: float
    waves: Waves


@dataclass(frozen=True)
class Exam:
    """How one volume was acquired; lengths in mm, angles in radians.

    Attributes:
        level: height of the middle slice in the head frame.
        gap: distance of slices.
        field: side of the square field of view.
        tilt: rotation of the head against the scanner about x, y and z.
        oblique: rotation of the slices against the scanner, which follows the tilt as far as the operator saw it.
        shift: offset of the head in the slice.
        gain: signal of white matter in stored units, arbitrary in MR.
        noise: standard deviation of either channel over the signal of white matter.
        bias: coefficients of the receive field's logarithm: x, y, xx, yy, xy over half a field.
        blur: width of the point spread in pixels.
        fat: signal of fat over what its relaxation times say: echo trains raise it, suppression lowers it.
    """

    level: float
    gap: float
    field: float
    tilt: tuple[float, float, float]
    oblique: tuple[float, float, float]
    shift: tuple[float, float]
    gain: float
    noise: float
    bias: tuple[float, ...]
    blur: float
    fat: float

    def height(self, x: float, y: float) -> float:
        """Height in mm at which the middle slice passes a place in the head frame."""
        turn = rotation(self.tilt).T
        normal = turn @ rotation(self.oblique)[:, 2]
        at = turn @ [-self.shift[0], -self.shift[1], 0.0]
        return self.level + float(at[2] - (normal[0] * (x - at[0]) + normal[1] * (y - at[1])) / normal[2])


def rotation(angles: tuple[float, float, float]) -> NDArray[np.float64]:
    """Matrix (3, 3) of rotations in radians about the fixed axes x, y and z, one after the other."""
    return Rotation.from_euler("xyz", angles).as_matrix()


def sample_head(rng: np.random.Generator) -> Head:
    """Draw one subject's head, in outline, folding and age.

    Cranial cavities of adults measure about 135 x 170 x 140 mm; lateral ventricles widen and sulci open with age, and
    white matter gets bright caps and spots (Fazekas et al. 1987), with or without any tumour.
    """
    age = float(np.clip(rng.normal(54, 17), 18, 90))
    older = (age - 54) / 36
    atrophy = float(np.clip(0.35 + 0.45 * older + rng.normal(0, 0.15), 0, 1.2))
    burden = max(0.0, older + rng.normal(0.1, 0.4))
    count = int(rng.poisson(5 * burden))
    side = rng.choice([-1.0, 1.0], count)
    spots = np.stack(
        [
            side * rng.uniform(16, 42, count),
            rng.uniform(-48, 46, count),
            rng.uniform(LOWEST - 6, HIGHEST + 4, count),
            rng.uniform(1.2, 2.4, count) * (1 + 0.5 * burden),
        ],
        axis=1,
    )
    scale = float(rng.normal(1.0, 0.03))
    return Head(
        age=age,
        axes=(
            scale * float(rng.normal(67, 2.6)),
            scale * float(rng.normal(84, 3.2)),
            scale * float(rng.normal(78, 2.5)),
        ),
        taper=float(rng.uniform(0.05, 0.16)),
        skull=float(rng.normal(6.8, 0.9)),
        scalp=float(max(2.0, rng.normal(4.6, 1.3))),
        cortex=float(rng.normal(3.1, 0.2) - 0.3 * atrophy),
        atrophy=atrophy,
        ventricles=float(np.exp(rng.normal(0, 0.16)) * (0.85 + 0.6 * atrophy)),
        lean=float(rng.normal(0, 0.08)),
        caps=float(max(0.0, rng.normal(1.2, 0.8) + 2.4 * burden)),
        spots=spots,
        folds=Waves.draw(rng, 30, 14.0, 28.0),
        depths=Waves.draw(rng, 10, 22.0, 60.0),
        texture=Waves.draw(rng, 14, 8.0, 40.0),
        outline=Waves.draw(rng, 8, 60.0, 160.0),
    )


def sample_masses(rng: np.random.Generator, head: Head, exam: Exam) -> tuple[Mass, ...]:
    """Draw the tumours of one subject, the first so that every slice of its examination meets it.

    Most are single infiltrating masses; a quarter are two to four small round ones with wide oedema, as metastases are.

    Args:
        rng: the subject's disease generator.
        head: whose.
        exam: how it was scanned; of this, only where the slices lie matters.
    """
    several = rng.random() < 0.25
    found: list[Mass] = []
    for index in range(int(rng.integers(2, 5)) if several else 1):
        radius = float(rng.uniform(7.5, 12)) if several else 7.5 + 14 * float(rng.random()) ** 1.3
        # Where the disc in this slice still holds the mass: not in the midline, not in the skull.
        angle, reach = rng.uniform(0, 2 * math.pi), 0.3 + 0.42 * math.sqrt(rng.random())
        a, b, c = head.axes
        here = math.sqrt(1 - (exam.level / c) ** 2)
        x, y = reach * a * here * math.cos(angle), reach * b * here * math.sin(angle)
        x = math.copysign(max(abs(x), 0.6 * radius + 4), x)
        z = exam.height(x, y) + (rng.uniform(-1, 1) if index == 0 else rng.uniform(-6, 6))
        grade = float(rng.random())
        stretch = np.exp(rng.normal(0, 0.03 if several else 0.14, 3))
        found.append(
            Mass(
                centre=(float(x), float(y), float(z)),
                radii=(radius * stretch[0], radius * stretch[1], max(8.5, radius * stretch[2])),
                rough=float(rng.uniform(0.02, 0.08) if several else rng.uniform(0.08, 0.25)),
                edge=float(rng.uniform(0.8, 1.6) if several else rng.uniform(1.0, 4.0)),
                grade=grade,
                conspicuous=float(rng.uniform(0.05, 0.55)),
                core=float(rng.uniform(0.35, 0.7)) if rng.random() < 0.25 + 0.4 * grade else 0.0,
                oedema=float(rng.uniform(1.3, 2.4) if several else 1 + 0.9 * grade * rng.random()),
                wet=float(rng.uniform(0.1, 0.4)),
                push=float(rng.uniform(0.15, 0.55)),
                waves=Waves.draw(rng, 10, 0.9 * radius, 2.6 * radius),
            )
        )
    return tuple(found)


def sample_exam(rng: np.random.Generator) -> Exam:
    """Draw how a volume was acquired; nothing of it depends on the disease."""
    a, b, c = map(float, rng.normal(0, [0.09, 0.05, 0.06]))
    followed = rng.uniform(0.3, 1.0)
    return Exam(
        level=float(rng.uniform(LOWEST, HIGHEST)),
        gap=float(rng.choice([3.5, 4.0, 5.0])),
        field=float(rng.uniform(208, 232)),
        tilt=(a, b, c),
        oblique=(followed * a, followed * b, followed * c),
        shift=(float(rng.normal(0, 3)), float(rng.normal(0, 4))),
        gain=float(np.exp(rng.normal(math.log(420), 0.35))),
        noise=float(rng.uniform(0.015, 0.045)),
        bias=tuple(float(v) for v in rng.normal(0, [0.1, 0.12, 0.12, 0.12, 0.08])),
        blur=float(rng.uniform(0.35, 0.6)),
        fat=float(rng.uniform(0.8, 2.2)),
    )
