"""Distances between two sets of feature vectors: KID, FID, precision, recall, density, coverage."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from medsyn.compute import numpy_rng

CHUNK = 512
"""Rows of a distance or kernel matrix held at once: memory grows with n, not with its square."""


@dataclass(frozen=True)
class Kid:
    """Kernel Inception Distance with a 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Prdc:
    """Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020)."""

    precision: float
    recall: float
    density: float
    coverage: float


def kid(
    real: np.ndarray,
    fake: np.ndarray,
    draws: int = 200,
    seed: int = 0,
    real_units: np.ndarray | None = None,
    fake_units: np.ndarray | None = None,
) -> Kid:
    """Unbiased squared maximum mean discrepancy with the kernel (x.y/d + 1)^3 (Bińkowski et al. 2018, eq. 4).

    The interval comes from half-samples of subjects without replacement: for a mean their spread equals that of the
    whole sample, and unlike a bootstrap they never repeat an image, which would enter the kernel sums as a false
    match. Two images of one subject are such a match, too: their pair is left out like an image's with itself.

    Args:
        real: ``[n, d]``, of 4 subjects or more.
        fake: ``[m, d]``, of 4 subjects or more.
        draws: Half-samples.
        seed: Of the half-samples.
        real_units: Subject of each real vector ``[n]``. None or "": each its own.
        fake_units: The same of ``fake``.

    Raises:
        ValueError: Fewer than 4 subjects in a set.
    """
    a, b = unit_numbers(len(real), real_units), unit_numbers(len(fake), fake_units)
    n, m = (int(units.max(initial=-1)) + 1 for units in (a, b))
    if min(n, m) < 4:
        raise ValueError(f"KID needs 4 subjects a set, got {n} and {m}")
    rng = numpy_rng("kid", seed, n, m)
    in_real = np.vstack([np.ones(n), _halves(rng, draws, n)])[:, a]
    in_fake = np.vstack([np.ones(m), _halves(rng, draws, m)])[:, b]
    values = (
        _within(real, in_real, a)
        + _within(fake, in_fake, b)
        - 2 * _kernel_sum(real, fake, in_real, in_fake) / (in_real.sum(1) * in_fake.sum(1))
    )
    value, half = float(values[0]), 1.96 * float(values[1:].std(ddof=1))
    return Kid(value, value - half, value + half)


def kid_doubt(real: np.ndarray, fake: np.ndarray, other: np.ndarray, units: np.ndarray | None = None) -> float:
    """Standard error of the difference between the KIDs of two sets, both of the same real images.

    What is common to both comparisons falls out, so that few real images may tell which of two sets is nearer though
    neither KID is known well. The error is that of the choice of real subjects alone, not that of the samples.

    Args:
        real: ``[n, d]``.
        fake: ``[m, d]``.
        other: ``[k, d]``.
        units: Subject of each real vector ``[n]``. None or "": each its own.

    Returns:
        0 or more; infinite for a single subject.
    """
    toward = [((real.astype(np.float64) @ x.T / real.shape[1] + 1) ** 3).mean(1) for x in (fake, other)]
    apart = toward[0] - toward[1]
    of_unit = np.bincount(unit_numbers(len(real), units), apart - apart.mean())
    if len(of_unit) < 2:
        return math.inf
    return float(2 * np.sqrt((of_unit**2).sum() * len(of_unit) / (len(of_unit) - 1)) / len(real))


def unit_numbers(n: int, units: np.ndarray | None) -> np.ndarray:
    """Subjects as numbers from 0, int64 ``[n]``; where there is no name every image is its own."""
    if units is None:
        return np.arange(n)
    names = [f"subject {unit}" if unit != "" else i for i, unit in enumerate(units)]
    number = {name: i for i, name in enumerate(dict.fromkeys(names))}
    return np.array([number[name] for name in names], np.int64)


def _halves(rng: np.random.Generator, draws: int, n: int) -> np.ndarray:
    chosen = np.zeros((draws, n))
    for row in chosen:
        row[rng.permutation(n)[: n // 2]] = 1
    return chosen


def _within(vectors: np.ndarray, chosen: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Mean kernel value between chosen vectors of different subjects, one number a row of ``chosen``."""
    of_unit = np.stack([np.bincount(units, row) for row in chosen])
    return np.asarray(_kernel_sum(vectors, vectors, chosen, chosen, units) / (chosen.sum(1) ** 2 - (of_unit**2).sum(1)))


def _kernel_sum(
    a: np.ndarray, b: np.ndarray, in_a: np.ndarray, in_b: np.ndarray, units: np.ndarray | None = None
) -> np.ndarray:
    a, b = a.astype(np.float64), b.astype(np.float64)
    total = np.zeros(len(in_a))
    for start in range(0, len(a), CHUNK):
        part = slice(start, start + CHUNK)
        kernel = (a[part] @ b.T / a.shape[1] + 1) ** 3
        if units is not None:
            kernel[units[part, None] == units] = 0
        total += ((in_b @ kernel.T) * in_a[:, part]).sum(1)
    return total


def fid(real: np.ndarray, fake: np.ndarray) -> float:
    """Frechet distance of two Gaussians fitted to the vectors (Heusel et al. 2017; Dowson and Landau 1982, eq. 4).

    The trace of the root of a product of two sample covariances is the sum of singular values of the centred
    vectors' cross products (one factor a set), so no d x d root of a singular matrix is taken and n may be below d. The
    estimate stays biased upward by sampling, about as 1/n: compare only at equal n, and against a floor.

    Args:
        real: ``[n, d]``, n >= 2.
        fake: ``[m, d]``, m >= 2.

    Raises:
        ValueError: Fewer than 2 vectors in a set.
    """
    if min(len(real), len(fake)) < 2:
        raise ValueError(f"FID needs 2 vectors a set, got {len(real)} and {len(fake)}")
    a, b = (s.astype(np.float64) for s in (real, fake))
    shift = a.mean(0) - b.mean(0)
    a, b = ((s - s.mean(0)) / np.sqrt(len(s) - 1) for s in (a, b))
    if len(a) > a.shape[1]:
        a = np.asarray(np.linalg.qr(a, mode="r"))
    if len(b) > b.shape[1]:
        b = np.asarray(np.linalg.qr(b, mode="r"))
    root = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return float(shift @ shift + (a**2).sum() + (b**2).sum() - 2 * root)


def prdc(real: np.ndarray, fake: np.ndarray, k: int = 5) -> Prdc:
    """Precision, recall, density and coverage with k-nearest-neighbour balls.

    Args:
        real: ``[n, d]``, n > k.
        fake: ``[m, d]``, m > k.
        k: Neighbours that set the radius of a ball; the point itself does not count.

    Raises:
        ValueError: Too few vectors for ``k``.
    """
    if min(len(real), len(fake)) <= k:
        raise ValueError(f"k = {k} needs more than {k} vectors a set, got {len(real)} and {len(fake)}")
    real_radius, fake_radius = neighbour_distance(real, k), neighbour_distance(fake, k)
    precise, inside = np.zeros(len(fake), bool), 0
    recalled, nearest = np.zeros(len(real), bool), np.full(len(real), np.inf)
    for part, distance in distances(fake, real):
        within = distance < real_radius
        precise[part] = within.any(1)
        inside += int(within.sum())
        recalled |= (distance < fake_radius[part, None]).any(0)
        nearest = np.minimum(nearest, distance.min(0))
    return Prdc(
        precision=float(precise.mean()),
        recall=float(recalled.mean()),
        density=inside / (k * len(fake)),
        coverage=float((nearest < real_radius).mean()),
    )


def neighbour_distance(vectors: np.ndarray, k: int = 1) -> np.ndarray:
    """Euclidean distance of every vector to its k-th nearest other one, float64 ``[n]``."""
    out = np.empty(len(vectors))
    for part, distance in distances(vectors, vectors):
        rows = np.arange(len(distance))
        distance[rows, rows + part.start] = np.inf
        out[part] = np.partition(distance, k - 1, axis=1)[:, k - 1]
    return out


def distances(a: np.ndarray, b: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Euclidean distances of ``a`` to ``b`` in chunks of rows: ``(rows of a, float64 [rows, len(b)])``."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    square_b = np.einsum("ij,ij->i", b, b)
    for start in range(0, len(a), CHUNK):
        part = a[start : start + CHUNK]
        square = np.einsum("ij,ij->i", part, part)[:, None] + square_b - 2 * part @ b.T
        yield slice(start, start + len(part)), np.sqrt(np.maximum(square, 0))
