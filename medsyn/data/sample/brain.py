"""A simulated head in a slab of MR slices: which tissue lies where, painted with the signal of each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medsyn.data.sample.head import Head, Mass
from medsyn.data.sample.relaxation import Tissue

__all__ = ["Slab", "paint"]

Array = NDArray[np.float32]
Point = tuple[float, float, float]

_LATERAL: tuple[tuple[Point, Point, float], ...] = (
    ((4.5, 20.0, 14.0), (10.0, 33.0, 9.0), 4.6),
    ((5.5, 20.0, 15.0), (8.0, -4.0, 21.0), 5.2),
    ((8.0, -4.0, 21.0), (15.0, -28.0, 20.0), 5.2),
    ((15.0, -28.0, 20.0), (26.0, -40.0, 8.0), 6.6),
    ((25.0, -42.0, 9.0), (21.0, -60.0, 5.0), 3.6),
)
"""Lateral ventricle of one side: frontal horn, body, atrium and occipital horn as capsules (ends, radius), in mm."""

_NUCLEI: tuple[tuple[Point, Point, float, float], ...] = (
    ((12.5, 18.0, 8.0), (5.0, 9.5, 10.0), 0.25, 0.7),
    ((17.0, 2.0, 20.0), (3.6, 13.0, 5.0), 0.1, 0.7),
    ((26.0, 4.0, 4.0), (5.2, 15.0, 10.0), 0.22, 0.7),
    ((11.0, -13.0, 7.0), (9.0, 14.0, 10.0), -0.4, 0.45),
    ((33.5, 4.0, 4.0), (1.2, 15.0, 10.0), 0.1, 0.6),
)
"""Head and body of caudate, putamen, thalamus, claustrum: centre, half axes, rotation outwards in rad, and the share of
grey matter: fibres run through all of them."""


class Slab(NamedTuple):
    """Painted slices.

    Attributes:
        signal: of every voxel, float32 (slices, rows, columns).
        mass: share of a voxel that is tumour, in [0, 1].
        oedema: share that is oedema.
    """

    signal: Array
    mass: Array
    oedema: Array


def paint(head: Head, masses: Sequence[Mass], points: Array, signal: Mapping[Tissue, float], soft: float) -> Slab:
    """Paint the tissues of a head from the outside to the inside, each over what lies there by its share of a voxel.

    Args:
        head: whose.
        masses: tumours; empty for a normal brain.
        points: places of the voxels in the head frame, mm, float32 (3, slices, rows, columns); rows and columns run
            along lines of constant direction and equal steps.
        signal: of a voxel full of each tissue.
        soft: half a voxel in mm: over this distance one tissue fades into the next.
    """
    step = float(np.linalg.norm(points[:, 0, 1, 0] - points[:, 0, 0, 0]))
    depth = _depth(head, points)
    image = np.zeros(points.shape[1:], np.float32)
    _envelope(image, head, points, depth, signal, soft)
    inside = _within(depth, soft)
    inner, effaced = _displaced(points, masses, depth)
    brain = np.full_like(image, signal["white"])
    brain *= 1 + 0.02 * head.texture(inner)
    pial = _pial(head, inner, depth, effaced, step)
    _over(brain, _within(head.cortex - pial, soft), signal["grey"])
    for centre, half, turn, share in _NUCLEI:
        _over(brain, share * _within(_nucleus(inner, centre, half, turn), soft), signal["grey"])
    ventricle = _ventricles(head, inner) - 5 * effaced
    _hyperintensities(brain, head, inner, pial, ventricle, signal)
    tumour, wet = _tumours(brain, masses, points, pial - head.cortex, ventricle, signal, soft)
    _over(brain, _within(ventricle, soft) * (1 - tumour), signal["csf"])
    _over(brain, _within(-pial, soft) * (1 - tumour), signal["csf"])
    image += inside * (brain - image)
    return Slab(image, tumour * inside, wet * inside)


# ---- geometry


def _within(distance: Array, soft: float) -> Array:
    """Share of a voxel that lies on the positive side of a surface."""
    return 1 / (1 + np.exp(np.clip(distance * (-2 / soft), -40, 40)))


def _over(image: Array, share: Array, value: float | Array) -> None:
    image += share * (value - image)


def _depth(head: Head, points: Array) -> Array:
    """Depth below the inner table of the skull in mm, negative outside."""
    x, y, z = points
    a, b, c = head.axes
    width = a * (1 - head.taper * np.clip(y / b, -0.4, 1.2))
    even = 1 + 0.012 * head.outline(points)
    across, along, up = np.abs(x / width), np.abs(y / b), np.abs(z / c)
    rho = (across**2.3 + along**2.3 + up**2.3) ** (1 / 2.3) / even
    distance = np.sqrt(x**2 + y**2 + z**2)
    return distance * (1 / np.maximum(rho, 1e-3) - 1)


def _segment(points: Array, start: Point, end: Point) -> Array:
    """Distance in mm from a line segment."""
    a, b = np.array(start, np.float32), np.array(end, np.float32)
    direction = b - a
    offset = points - a[:, None, None, None]
    share = np.clip(np.tensordot(direction, offset, 1) / float(direction @ direction), 0, 1)
    return np.linalg.norm(offset - direction[:, None, None, None] * share, axis=0)


def _mirrored(points: Array) -> Array:
    """Both sides of the head as one: x as its distance from the midline."""
    return np.concatenate([np.abs(points[:1]), points[1:]])


def _nucleus(points: Array, centre: Point, half: Point, turn: float) -> Array:
    """About the distance inside of an ellipsoid on either side."""
    x, y, z = _mirrored(points) - np.array(centre, np.float32)[:, None, None, None]
    cos, sin = math.cos(turn), math.sin(turn)
    rho = np.sqrt(((cos * x + sin * y) / half[0]) ** 2 + ((cos * y - sin * x) / half[1]) ** 2 + (z / half[2]) ** 2)
    return (1 - rho) * min(half)


# ---- from the outside to the inside


def _envelope(
    image: Array, head: Head, points: Array, depth: Array, signal: Mapping[Tissue, float], soft: float
) -> None:
    """Skin, fat, temporal muscle, bone with its marrow, and the fluid below it."""
    x, y, z = points
    beside = np.exp(-(((y - 22) / 26) ** 2)) * np.clip((np.abs(x) - 40) / 20, 0, 1)
    muscle = 8 * beside * np.clip((34 - z) / 16, 0, 1)
    # The back of the head lies on a cushion, the forehead has the least fat.
    fat = head.scalp * (1 + 0.3 * np.tanh(-y / 60))
    outward = -depth
    surface = head.skull + 0.7 * muscle + fat
    _over(image, _within(surface + 2.2 - outward, soft), signal["skin"])
    _over(image, _within(surface - outward, soft), signal["fat"])
    _over(image, _within(head.skull + muscle - outward, soft) * (muscle > 0.5), signal["muscle"])
    _over(image, _within(head.skull - outward, soft), signal["bone"])
    middle = np.abs(outward - 0.55 * head.skull)
    _over(image, 0.55 * _within(0.2 * head.skull - middle, soft), signal["fat"])


def _displaced(points: Array, masses: Sequence[Mass], depth: Array) -> tuple[Array, Array]:
    """Where the tissue now at each point lay before the masses grew, and how much they press out the fluid there."""
    inner, effaced = points.copy(), np.zeros(points.shape[1:], np.float32)
    # Bone does not give way.
    free = np.clip(depth / 15, 0, 1)
    for mass in masses:
        centre = np.array(mass.centre, np.float32)[:, None, None, None]
        radius = max(mass.radii)
        offset = points - centre
        distance = np.linalg.norm(offset, axis=0) / radius
        near = np.exp(-((distance / 1.9) ** 2))
        inner -= offset * (mass.push * free * near)
        effaced = np.maximum(effaced, np.exp(-((distance / 2.2) ** 2)))
    return inner, effaced


def _pial(head: Head, points: Array, depth: Array, effaced: Array, step: float) -> Array:
    """Distance in mm from the nearest surface of the cortex, negative in the fluid around it and in the sulci."""
    x, y, z = points
    _, b, _ = head.axes
    open_ = (0.75 + 1.1 * head.atrophy) * (1 - 0.85 * effaced)
    distance = depth - 0.7 - 1.3 * open_
    # Folds are drawn near the surface and carried inwards, so that sulci run across it.
    radius = np.sqrt(x**2 + y**2 + z**2)
    carried = points * ((radius + np.clip(depth, 0, 30) * 0.62) / np.maximum(radius, 1.0))
    wave = head.folds(carried)
    slope = np.hypot(*np.gradient(wave, step, axis=(1, 2)))
    sheet = np.abs(wave) / np.sqrt(slope**2 + 0.05**2)
    deepest = 16 + 5 * head.depths(carried) + 2 * head.atrophy
    sulci = np.hypot(sheet, np.clip(depth - deepest, 0, None))
    # Wide where they open to the surface, and at their floor again; no two alike.
    wide = np.exp(0.45 * head.texture(carried))
    gape = open_ * wide * (0.3 + 0.8 * np.exp(-np.clip(depth, 0, None) / 7))
    distance = np.minimum(distance, sulci - gape)
    # Between the hemispheres, above the callosal body all the way and beside its ends elsewhere.
    wobble = x - 1.1 * head.depths(points) * np.clip(1 - np.abs(y) / b, 0.3, 1)
    callosum = np.clip((33 - z) / 6, 0, 1)
    middle = np.hypot(wobble, callosum * np.clip(np.minimum(42 - y, y + 46), 0, None))
    distance = np.minimum(distance, middle - 0.15 - 0.5 * open_ * np.sqrt(wide))
    return np.minimum(distance, _sylvian(head, points, open_))


def _sylvian(head: Head, points: Array, open_: Array) -> Array:
    """Distance from the lateral fissure and the insula at its floor."""
    a = head.axes[0]
    bent = _mirrored(points)
    bent[:2] += 2.0 * head.depths(points) + 0.8 * head.folds(points)
    bent[2] = np.clip(bent[2] - 16, 0, None) * 1.3
    stem = _segment(bent, (0.6 * a, 8.0, 0.0), (a, -6.0, 0.0))
    floor = np.minimum(
        _segment(bent, (0.57 * a, -14.0, 0.0), (0.61 * a, 6.0, 0.0)),
        _segment(bent, (0.61 * a, 6.0, 0.0), (0.55 * a, 23.0, 0.0)),
    )
    return np.minimum(stem - 0.2 - 0.8 * open_, floor - 0.1 - 0.7 * open_)


def _ventricles(head: Head, points: Array) -> Array:
    """About the distance inside of the lateral and third ventricles."""
    bent = _mirrored(points)
    width = head.ventricles * (1 + head.lean * np.sign(points[0]))
    inside = np.full(points.shape[1:], -np.inf, np.float32)
    for start, end, radius in _LATERAL:
        inside = np.maximum(inside, radius * width - _segment(bent, start, end))
    # The septum keeps the two apart.
    inside = np.minimum(inside, bent[0] - 0.9)
    _, y, z = points
    third = (0.7 + 1.1 * head.atrophy) - np.sqrt(bent[0] ** 2 + np.clip(np.abs(y + 8) - 12, 0, None) ** 2)
    return np.maximum(inside, np.minimum(third, 10 - z))


# ---- what is bright in it


def _hyperintensities(
    brain: Array, head: Head, points: Array, pial: Array, ventricle: Array, signal: Mapping[Tissue, float]
) -> None:
    """Caps and spots of age in the white matter, which tumours must be told from."""
    white = np.clip((pial - head.cortex) / 2, 0, 1)
    _, y, _ = points
    horns = np.clip((np.abs(y + 4) - 14) / 18, 0.15, 1)
    reach = np.maximum(head.caps * horns * (1 + 0.35 * head.texture(points)), 0.05)
    share = 0.4 * white * np.exp(-np.clip(-ventricle, 0, None) / reach) * (reach > 0.3)
    for *centre, radius in head.spots:
        place = np.array(centre, np.float32)[:, None, None, None]
        distance = np.linalg.norm(points - place, axis=0)
        share = np.maximum(share, 0.55 * white * _within(radius - distance, 1.2))
    _over(brain, share.astype(np.float32), signal["oedema"])


def _tumours(
    brain: Array,
    masses: Sequence[Mass],
    points: Array,
    subcortical: Array,
    ventricle: Array,
    signal: Mapping[Tissue, float],
    soft: float,
) -> tuple[Array, Array]:
    """Paint masses and their oedema; shares of both."""
    tumour, oedema = np.zeros_like(brain), np.zeros_like(brain)
    for mass in masses:
        offset = points - np.array(mass.centre, np.float32)[:, None, None, None]
        half = np.array(mass.radii, np.float32)[:, None, None, None]
        # Bulges are free, dents are not: every slice that the mass was put into has to meet it.
        uneven = np.clip(mass.waves(points), -0.6, None)
        rho = np.linalg.norm(offset / half, axis=0) / (1 + mass.rough * uneven)
        radius = float(min(mass.radii))
        # Oedema spreads along white matter and spares the cortex, hence its fingers.
        room = np.clip(subcortical / 2.5, 0, 1) * (ventricle < 0)
        wet = room * _within((mass.oedema - rho - 0.15 * uneven) * radius, 3.0) * (mass.oedema > 1.1)
        _over(brain, mass.wet * wet, signal["oedema"])
        share = _within((1 - rho) * radius, max(mass.edge, soft))
        solid = signal["low_grade"] + mass.grade * (signal["high_grade"] - signal["low_grade"])
        value = signal["grey"] + mass.conspicuous * (solid - signal["grey"])
        _over(brain, share, value * (1 + 0.07 * uneven))
        if mass.core:
            _over(brain, 0.9 * _within((mass.core - rho) * radius, 1.2), signal["necrosis"])
        oedema = np.maximum(oedema, wet)
        tumour = np.maximum(tumour, share)
    return tumour, oedema * (1 - tumour)
