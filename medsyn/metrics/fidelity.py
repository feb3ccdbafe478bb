"""Distances between two sets of feature vectors: KID, precision, recall, density, coverage."""

from __future__ import annotations

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


def kid(real: np.ndarray, fake: np.ndarray, draws: int = 200, seed: int = 0) -> Kid:
    """Unbiased squared maximum mean discrepancy with the kernel (x.y/d + 1)^3 (Bińkowski et al. 2018, eq. 4).

    The interval comes from half-samples without replacement: for a mean their spread equals that of the whole
    sample, and unlike a bootstrap they never repeat an image, which would enter the kernel sums as a false match.

    Args:
        real: ``[n, d]``, n >= 4.
        fake: ``[m, d]``, m >= 4.
        draws: Half-samples.
        seed: Of the half-samples.

    Raises:
        ValueError: Fewer than 4 vectors in a set.
    """
    n, m = len(real), len(fake)
    if min(n, m) < 4:
        raise ValueError(f"KID needs 4 vectors a set, got {n} and {m}")
    rng = numpy_rng("kid", seed, n, m)
    in_real = np.vstack([np.ones(n), _halves(rng, draws, n)])
    in_fake = np.vstack([np.ones(m), _halves(rng, draws, m)])
    values = (
        _kernel_mean(real, real, in_real, in_real, same=True)
        + _kernel_mean(fake, fake, in_fake, in_fake, same=True)
        - 2 * _kernel_mean(real, fake, in_real, in_fake, same=False)
    )
    value, half = float(values[0]), 1.96 * float(values[1:].std(ddof=1))
    return Kid(value, value - half, value + half)


def _halves(rng: np.random.Generator, draws: int, n: int) -> np.ndarray:
    chosen = np.zeros((draws, n))
    for row in chosen:
        row[rng.permutation(n)[: n // 2]] = 1
    return chosen


def _kernel_mean(a: np.ndarray, b: np.ndarray, in_a: np.ndarray, in_b: np.ndarray, *, same: bool) -> np.ndarray:
    """Mean kernel value between the chosen members of ``a`` and ``b``, one number a row of ``in_a``."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    total = np.zeros(len(in_a))
    for start in range(0, len(a), CHUNK):
        part = slice(start, start + CHUNK)
        kernel = (a[part] @ b.T / a.shape[1] + 1) ** 3
        if same:
            kernel[np.arange(len(kernel)), np.arange(start, start + len(kernel))] = 0
        total += ((in_b @ kernel.T) * in_a[:, part]).sum(1)
    size_a, size_b = in_a.sum(1), in_b.sum(1)
    return total / (size_a * (size_a - 1) if same else size_a * size_b)


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
