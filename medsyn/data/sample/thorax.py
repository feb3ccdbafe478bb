"""Projection of a simulated thorax, with optional disease, to X-ray attenuation line integrals.

Smooth organs are analytic chord lengths; ribs, girdle and vessels are clouds of small volumes pushed through the same
cone-beam geometry, so that superposition and magnification come out by themselves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter, map_coordinates

from medsyn.data.sample.anatomy import CARINA_Y, TEXTURE_CM, Anatomy, Lesion, Pose, profile, wall

__all__ = ["project"]

Array = NDArray[np.float64]

# Linear attenuation per cm near 70 keV, from NIST XCOM mass coefficients (water 0.193 cm2/g, cortical bone 0.26 cm2/g)
# times usual densities; path lengths through bone count its cortex and leave out the marrow.
MU_SOFT = 0.198
MU_LUNG = 0.045
MU_BONE = 0.48


def _grid(pose: Pose, anatomy: Anatomy, size: int, z: float) -> tuple[Array, Array, float]:
    """Patient-frame x and y in cm at depth z for each detector pixel, and the magnification there."""
    centre = (np.arange(size) + 0.5) / size * pose.field - pose.field / 2
    u, v = np.meshgrid(centre, centre)
    cos, sin = math.cos(pose.roll), math.sin(pose.roll)
    zoom = _magnification(pose, anatomy, np.array(z)).item()
    x = (cos * u + sin * v) / (zoom * anatomy.scale) - pose.shift[0] - z * math.sin(pose.yaw)
    y = (-sin * u + cos * v) / (zoom * anatomy.scale) + pose.shift[1]
    return x, y, zoom


def _magnification(pose: Pose, anatomy: Anatomy, z: Array) -> Array:
    gap = anatomy.depth + 1.0 - z if pose.view == "PA" else anatomy.depth + 3.0 + z
    return pose.source_distance / (pose.source_distance - gap)


def _splat(points: Array, pose: Pose, anatomy: Anatomy, size: int) -> Array:
    """Cone-beam projection of a point cloud to path length in cm: volume reaching a pixel over the pixel's area."""
    x = points[:, 0] * math.cos(pose.yaw) + points[:, 2] * math.sin(pose.yaw) + pose.shift[0]
    zoom = _magnification(pose, anatomy, points[:, 2]) * anatomy.scale
    x, y = x * zoom, (points[:, 1] - pose.shift[1]) * zoom
    cos, sin = math.cos(pose.roll), math.sin(pose.roll)
    pitch = pose.field / size
    column = (cos * x - sin * y) / pitch + size / 2 - 0.5
    row = (sin * x + cos * y) / pitch + size / 2 - 0.5
    left, top = np.floor(column).astype(np.intp), np.floor(row).astype(np.intp)
    right, low = column - left, row - top
    wide = size + 2
    seen = (left >= -1) & (left < size) & (top >= -1) & (top < size)
    left, top = np.where(seen, left + 1, 0), np.where(seen, top + 1, 0)
    mass = np.where(seen, points[:, 3] * zoom**2 / pitch**2, 0.0)
    place = top * wide + left
    total = np.zeros(wide * wide)
    for offset, share in (
        (0, (1 - right) * (1 - low)),
        (1, right * (1 - low)),
        (wide, (1 - right) * low),
        (wide + 1, right * low),
    ):
        total += np.bincount(place + offset, mass * share, wide * wide)
    return total.reshape(wide, wide)[1:-1, 1:-1]


@dataclass(frozen=True)
class _Lungs:
    """Lung geometry of one film: gas-bearing depth and lung coordinates, each (size, size)."""

    x: Array
    y: Array
    depth: Array
    wall: Array
    dome: tuple[Array, Array]
    stretch: float


def _step(distance: Array, width: float) -> Array:
    """Smooth edge, 0 to 1 as the signed distance in cm goes from -width to width."""
    t = np.clip(distance / (2 * width) + 0.5, 0.0, 1.0)
    return t * t * (3 - 2 * t)


def _ball(x: Array, y: Array, centre: tuple[float, float], radii: tuple[float, float], angle: float = 0.0) -> Array:
    """Chord of a unit-depth ellipsoid: 1 at its centre, 0 at its rim and beyond."""
    dx, dy = x - centre[0], y - centre[1]
    cos, sin = math.cos(angle), math.sin(angle)
    rho = ((cos * dx + sin * dy) / radii[0]) ** 2 + ((cos * dy - sin * dx) / radii[1]) ** 2
    return np.sqrt(np.clip(1 - rho, 0.0, 1.0))


def _body(anatomy: Anatomy, pose: Pose, size: int) -> Array:
    """Depth of tissue in cm along each ray: neck, trunk, arms and breasts."""
    x, y, _ = _grid(pose, anatomy, size, 0.0)
    pad = anatomy.fat
    half = profile(
        y,
        [-9, -4.5, -2.2, -0.8, 0.6, 2.5, 5, 8, 20, 32],
        [5.6 + 0.4 * pad, 5.8 + 0.5 * pad, 7.0 + 0.7 * pad, 10.2 + 0.6 * pad, 13.5, 15.8, 16.2, 15.8, 15.8, 15.2],
    )
    half = half * np.where(y > 0, anatomy.width, 0.5 + 0.5 * anatomy.width) + pad * _step(y - 2, 4)
    thick = profile(y, [-9, -2, 2, 7, 14, 30], [5.8, 5.8, 7.2, 9.0, 9.9, 10.3])
    thick = thick * (anatomy.depth / 10.0)
    trunk = 2 * thick * np.clip(1 - np.abs(x / half) ** 3.0, 0, 1) ** 0.5
    arms = np.zeros_like(trunk)
    for side in (-1.0, 1.0):
        along, off, length = _arm(anatomy, pose, side, x, y)
        radius = (5.0 + 0.5 * pad - 0.06 * along) * (0.9 if anatomy.sex == "F" else 1.0)
        beyond = np.clip(-along, 0, None) + np.clip(along - length, 0, None)
        arms = np.maximum(arms, 2 * np.sqrt(np.clip(radius**2 - off**2 - beyond**2, 0, None)))
    total = np.maximum(trunk, arms) + 0.25 * np.minimum(trunk, arms)
    for side in (-1.0, 1.0):
        if anatomy.breast > 0:
            low = 17.5 + 0.6 * anatomy.breast
            cup = _ball(x, y, (side * 8.4 * anatomy.width, low), (6.2, 5.2 + 0.3 * pad))
            # The breast leaves the chest wall gradually above and folds under sharply below.
            cup = cup ** (1.0 + 1.5 * _step(low - y, 2.0))
            total = total + anatomy.breast * 1.4 * cup * (total > 0)
        else:
            total = total + 1.2 * _ball(x, y, (side * 8.0, 9.5), (6.5, 6.0)) ** 2 * (total > 0)
    return total


def _arm(anatomy: Anatomy, pose: Pose, side: float, x: Array, y: Array) -> tuple[Array, Array, float]:
    """Distance in cm along and across the upper arm from the shoulder joint, and its length."""
    dx, dy = side * x - 15.6 * anatomy.width, y - 4.6
    sin, cos = math.sin(pose.arm_angle), math.cos(pose.arm_angle)
    return dx * sin + dy * cos, dx * cos - dy * sin, 34.0


def _lungs(anatomy: Anatomy, pose: Pose, size: int) -> _Lungs:
    """Depth of lung in cm along each ray before the heart displaces it."""
    x, y, _ = _grid(pose, anatomy, size, -1.0)
    base = anatomy.domes[0] - pose.inspiration
    stretch = (base - CARINA_Y) / (20.6 - CARINA_Y)
    border = wall(y) * anatomy.width
    depth = np.zeros_like(x)
    domes = []
    half = profile(y, [-0.4, 1, 3, 6, 10, 20], [1.5, 3.0, 4.8, 6.2, 7.2, 7.8]) * (anatomy.depth - 2.0) / 8.0
    inner = profile(y, [-0.4, 0.6, 2, 5, 30], [3.6, 2.7, 2.2, 1.9, 1.7]) * anatomy.mediastinum / 2.3
    for side in (-1.0, 1.0):
        lateral = side * x
        round_in = np.clip((lateral - inner) / 3.0, 0, 1)
        shape = np.clip(1 - np.abs(lateral / border) ** 2.6, 0, 1) ** 0.5 * np.sqrt(1 - (1 - round_in) ** 2)
        top = base + (anatomy.domes[1] if side > 0 else 0.0)
        crest = 6.4 * anatomy.width
        away = (lateral - crest) / np.where(lateral > crest, 6.6 * anatomy.width, 9.0)
        dome = top + np.where(lateral > crest, 4.4, 1.6) * np.abs(away) ** 2.2
        domes.append(dome)
        lung = 2 * half * shape * _step(y + 0.4, 0.5)
        # A ray below the crest leaves the lung over the chord of the dome's curvature, hence the sharp top and the
        # faint posterior recess below it.
        chord = 2 * np.sqrt(2 * 10.0 * np.clip(y - dome + 0.12, 0, None))
        depth += np.clip(lung - chord, 0, None) * (lateral > 0)
    return _Lungs(x, y, depth, border, (domes[0], domes[1]), stretch)


def _mediastinum(anatomy: Anatomy, pose: Pose, size: int, lungs: _Lungs) -> Array:
    """Depth in cm of heart and great vessels standing in the lung's place along each ray."""
    x, y, _ = _grid(pose, anatomy, size, 4.0)
    major, minor, tilt, shift = anatomy.heart
    floor = anatomy.domes[0] + anatomy.domes[1] - pose.inspiration
    # A high diaphragm pushes the heart up and over, widening its shadow.
    wide = 1 + 0.03 * max(0.0, pose.inspiration)
    tilt = max(0.25, tilt - 0.06 * pose.inspiration)
    centre = (shift, floor - minor * 0.6)
    heart = 9.0 * _ball(x, y, centre, (major * wide, minor), tilt)
    atrium = 7.5 * _ball(x, y, (-1.2, floor - 4.6), (3.4, 5.0))
    trunk = 5.5 * _ball(x, y, (1.9, CARINA_Y + 2.0), (2.6, 4.0))
    knob = 5.5 * _ball(x, y, (1.7, 7.6), (anatomy.knob, anatomy.knob * 1.15))
    heart = heart * _step(floor + 0.7 - y, 0.6)
    cava = 4.0 * _ball(x, y, (-1.2, 8.0), (1.6 * anatomy.mediastinum / 2.3, 7.0))
    hila = sum(2.2 * _ball(x, y, (side * 3.9, CARINA_Y + (1.2 if side < 0 else 0.5)), (1.5, 2.2)) for side in (-1, 1))
    aorta = 2.2 * np.sqrt(np.clip(1 - ((lungs.x - 1.2) / 1.5) ** 2, 0, 1)) * _step(lungs.y - 7.5, 1.0)
    return np.maximum(heart, atrium) + np.maximum(trunk, knob) + cava + hila + aorta


def _spine(anatomy: Anatomy, pose: Pose, size: int) -> Array:
    """Bone path in cm through the vertebral column: bodies with thinner discs, pedicles and spinous processes."""
    x, y, _ = _grid(pose, anatomy, size, -5.0)
    x = x - anatomy.curve[0] * np.sin(y / 9.0 + anatomy.curve[1])
    half = np.interp(y, [-8, 0, 30], [1.25, 1.55, 2.15])
    phase = (y + 0.8) / 2.2 * 2 * math.pi
    body = 0.85 * np.clip(1 - (x / half) ** 4, 0, 1) ** 0.5 * (0.72 + 0.28 * _step(np.cos(phase) + 0.55, 0.3))
    pedicle = 0.6 * np.exp(-(((np.abs(x) - 0.72 * half) / 0.3) ** 2)) * np.clip(np.cos(phase - 0.6), 0, 1)
    process = 0.5 * np.exp(-((x / 0.28) ** 2)) * np.clip(np.cos(phase + 0.9), 0, 1)
    wings = 0.3 * _step(3.4 - np.abs(x), 0.3) * np.clip(np.cos(phase - 0.4), 0, 1) ** 2
    return (body + pedicle + process + wings) * (y > -12)


def _rod(path: Sequence[Sequence[float]], radius: float, side: float) -> Array:
    """Point cloud of a curved tubular bone with a dense cortex, mirrored to one side."""
    fine = np.linspace(0.0, 1.0, 160)
    ends = np.array(path)
    if len(path) == 2:
        line = ends[0] + fine[:, None] * (ends[1] - ends[0])
    else:
        line = PchipInterpolator(np.linspace(0.0, 1.0, len(path)), ends)(fine)
    tangent = np.gradient(line, axis=0)
    length = np.hypot(tangent[:, 0], tangent[:, 1])
    normal = np.stack([-tangent[:, 1], tangent[:, 0], np.zeros_like(length)], axis=1) / length[:, None]
    count = max(5, int(radius / 0.08))
    across = (np.arange(count) + 0.5) / count * 2 - 1
    share = np.sqrt(1 - across**2) * (1 + 0.5 * (np.abs(across) > 0.7))
    share /= share.sum()
    points = line[:, None, :] + normal[:, None, :] * (radius * across)[None, :, None]
    points[..., 0] *= side
    volume = length[:, None] * (math.pi * radius**2) * share
    return np.concatenate([points, volume[..., None]], axis=2).reshape(-1, 4)


def _girdle(anatomy: Anatomy, pose: Pose) -> Array:
    """Clavicles, scapulae and humeri of one film as a point cloud; the blades swing outward with pose.scapula."""
    parts = []
    w = anatomy.width
    u, v = np.meshgrid((np.arange(26) + 0.5) / 26, (np.arange(34) + 0.5) / 34)
    for side in (-1.0, 1.0):
        lift = 0.9 if pose.view == "AP" else 0.0
        parts.append(
            _rod(
                [
                    (1.6, 4.0 - lift, 6.5),
                    (6 * w, 3.5 - lift, 6.0),
                    (11 * w, 2.0 - lift, 1.5),
                    (15 * w, 2.2 - lift, -1.5),
                ],
                0.66,
                side,
            )
        )
        out = 4.6 * pose.scapula
        inner_top, inner_low = np.array([8.2 * w + out, 2.6]), np.array([9.4 * w + 1.25 * out, 15.0])
        joint = np.array([14.6 * w + 0.2 * out, 5.0])
        spot = inner_top + v[..., None] * (inner_low - inner_top)
        spot = spot + (u * (1 - v) * 0.95)[..., None] * (joint - inner_top)
        sheet = np.zeros((u.size, 4))
        sheet[:, 0], sheet[:, 1], sheet[:, 2] = side * spot[..., 0].ravel(), spot[..., 1].ravel(), -8.0
        area = 0.5 * abs(float(np.cross(np.append(joint - inner_top, 0), np.append(inner_low - inner_top, 0))[2]))
        sheet[:, 3] = 0.22 * area * 2 * (1 - v).ravel() / u.size
        parts.append(sheet)
        for ends, radius in (
            ((inner_top, inner_low), 0.22),
            ((joint, inner_low), 0.36),
            ((inner_top + np.array([1.5, 1.8]), joint + np.array([0.6, -2.2])), 0.32),
        ):
            start, stop = ends
            parts.append(_rod([(*start, -8.0), (*stop, -8.0)], radius, side))
        sin, cos = math.sin(pose.arm_angle), math.cos(pose.arm_angle)
        head = np.array([15.8 * w, 4.4])
        shaft = [(*(head + t * np.array([sin, cos])), 0.0) for t in (0.0, 30.0)]
        parts.append(_rod(shaft, 1.0, side))
        ring = np.sqrt((u.ravel() * 31.0) % 1.0)
        turn = 2 * math.pi * v.ravel()
        bulb = np.zeros((u.size, 4))
        bulb[:, 0], bulb[:, 1] = side * (head[0] + 2.3 * ring * np.cos(turn)), head[1] + 2.3 * ring * np.sin(turn)
        bulb[:, 3] = 18.0 / u.size
        parts.append(bulb)
    return np.concatenate(parts)


def _lesion(item: Lesion, lungs: _Lungs, anatomy: Anatomy, texture: Array) -> tuple[Array, Array]:
    """Airless share of the lung depth in [0, 1], and added soft tissue in cm, of one lesion."""
    middle = 5.0
    dome = lungs.dome[0 if item.side < 0 else 1]
    bottom = float(np.median(dome[np.abs(item.side * lungs.x - 6.5) < 1.5])) if dome.size else 20.0
    cy = 1.0 + item.down * (bottom - 1.0)
    reach = float(wall(np.array(cy))) * anatomy.width - 0.6
    cx = item.side * (2.6 + item.across * (reach - 2.6))
    none = np.zeros_like(lungs.x)
    if item.kind == "sphere":
        radius = item.radii[0]
        inside = _ball(lungs.x, lungs.y, (cx, cy), (radius * 1.08, radius * 1.08))
        return none, 2 * radius * item.strength * inside
    if item.kind == "effusion":
        lateral = np.clip((item.side * lungs.x - middle) / 8.0, 0, 1.2)
        level = dome + 2.0 - item.radii[1] * (0.3 + lateral**2) - 1.2 * lateral
        return item.strength * _step(lungs.y - level, 0.7) * (item.side * lungs.x > 0), none
    dx, dy = lungs.x - cx, lungs.y - cy
    cos, sin = math.cos(item.angle), math.sin(item.angle)
    rho = np.hypot((cos * dx + sin * dy) / item.radii[0], (cos * dy - sin * dx) / item.radii[1])
    inside = _step((1 - rho + item.rough * 0.35 * texture), item.edge)
    return item.strength * inside * (1 + 0.15 * item.rough * texture) * (item.side * lungs.x > 0), none


def project(anatomy: Anatomy, pose: Pose, lesions: Sequence[Lesion], *, size: int) -> Array:
    """Line integrals of attenuation through a posed thorax.

    Args:
        anatomy: the subject.
        pose: the film's positioning.
        lesions: disease to place, in lung coordinates; empty for a normal chest.
        size: pixels per side of the square detector.

    Returns:
        float64 array (size, size), sum of mu times path in nepers: 0 in air, about 1.5 to 3 in lung and 4 to 6
        through the mediastinum. Rows run caudally, columns to the patient's left.

    Raises:
        ValueError: if size is less than 16.
    """
    if size < 16:
        raise ValueError(f"size must be at least 16 pixels, got {size}")
    pitch = pose.field / size
    body = _body(anatomy, pose, size)
    lungs = _lungs(anatomy, pose, size)
    spot = np.stack([lungs.y + TEXTURE_CM / 4, lungs.x + TEXTURE_CM / 2]) * (len(anatomy.texture) / TEXTURE_CM)
    texture = map_coordinates(anatomy.texture, spot, order=1, mode="wrap")
    solid = _mediastinum(anatomy, pose, size, lungs)
    lung = np.maximum(lungs.depth - solid, 0.14 * lungs.depth)
    lung = np.minimum(lung, 0.85 * body)
    aerated, added = np.ones_like(lung), np.zeros_like(lung)
    # Texture moves with the lung but must not be cut off at its edge, or lesions would show a second outline.
    for item in lesions:
        share, tissue = _lesion(item, lungs, anatomy, texture)
        aerated *= 1 - np.clip(share, 0, 0.97)
        added = np.maximum(added, tissue)
    added = np.minimum(added, lung)
    in_lung = np.clip(lung / 3.0, 0, 1)
    vessels = anatomy.vessel_points.copy()
    vessels[:, 1] = CARINA_Y + (vessels[:, 1] - CARINA_Y) * np.where(vessels[:, 1] > CARINA_Y, lungs.stretch, 1.0)
    vessels[:, 3] *= anatomy.vessel_gain
    vascular = gaussian_filter(_splat(vessels, pose, anatomy, size), 0.12 / pitch) * in_lung
    ribs = _splat(anatomy.rib_points, pose, anatomy, size)
    girdle = _splat(_girdle(anatomy, pose), pose, anatomy, size)
    bone = gaussian_filter(ribs + girdle, 0.1 / pitch) + _spine(anatomy, pose, size)
    gas = _gas(anatomy, pose, size)
    air = lung * aerated
    integral = MU_SOFT * (body * (1 + 0.012 * texture) - gas) - (MU_SOFT - MU_LUNG) * (air - added)
    integral += MU_LUNG * 0.07 * texture * air + (MU_SOFT - MU_LUNG) * np.minimum(vascular, 0.6 * lung) * aerated
    integral += (MU_BONE - MU_SOFT) * anatomy.bone_density * bone * (body > 0)
    return np.clip(integral, 0.0, None)


def _gas(anatomy: Anatomy, pose: Pose, size: int) -> Array:
    """Depth in cm of gas outside the lungs: trachea and main bronchi, stomach bubble and bowel loops."""
    x, y, _ = _grid(pose, anatomy, size, 0.0)
    centre = 0.25 + anatomy.curve[0] * np.sin(y / 9.0 + anatomy.curve[1])
    gas = 1.7 * np.sqrt(np.clip(1 - ((x - centre) / 0.9) ** 2, 0, 1)) * _step(CARINA_Y - y, 0.6)
    for side, slope in ((-1.0, 1.6), (1.0, 0.9)):
        along = side * (x - centre)
        off = (y - CARINA_Y - slope * along) / math.hypot(1, slope)
        gas = gas + 1.1 * np.sqrt(np.clip(1 - (off / 0.7) ** 2, 0, 1)) * (along > 0) * _step(3.5 - along, 0.8)
    floor = anatomy.domes[0] + anatomy.domes[1] - pose.inspiration
    if anatomy.bubble is not None:
        at, wide, tall = anatomy.bubble
        pocket = _ball(x, y, (at, floor + 1.4 + tall), (wide * 1.4, tall * 1.5))
        # Supine gas spreads forward, so only the upright (PA) film shows a fluid level.
        level = _step(floor + 1.4 + tall * 1.3 - y, 0.15) if pose.view == "PA" else 1.0
        gas = gas + 5.0 * pocket * level
    for at, below, radius in anatomy.bowel:
        gas = gas + 2.2 * _ball(x, y, (at, floor + below), (radius * 1.3, radius))
    return gas
