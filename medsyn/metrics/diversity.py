"""How many different images a set really holds."""

from __future__ import annotations

import numpy as np

from medsyn.metrics.fidelity import distances, neighbour_distance


def vendi(vectors: np.ndarray, bandwidth: float) -> float:
    """Vendi score: the effective number of distinct vectors (Friedman and Dieng 2023, eq. 1).

    Args:
        vectors: ``[n, d]``; the n x n kernel is held whole, so n should stay below some thousands.
        bandwidth: Of the Gaussian kernel, in the unit of the distances.

    Returns:
        Between 1 (all alike) and n (all far apart).
    """
    kernel = np.vstack([np.exp(-((d / bandwidth) ** 2) / 2) for _, d in distances(vectors, vectors)])
    eigenvalues = np.linalg.eigvalsh(kernel / len(vectors))
    eigenvalues = eigenvalues[eigenvalues > 1e-12]
    return float(np.exp(-(eigenvalues * np.log(eigenvalues)).sum()))


def effective_diversity(real: np.ndarray, fake: np.ndarray) -> float:
    """Effective number of distinct fake vectors over that of real ones.

    The kernel's width is the median distance of a real vector to its nearest real neighbour: two images count as
    different when they differ as much as neighbouring patients do.

    Args:
        real: ``[n, d]``, n >= 2.
        fake: ``[n, d]``: the ratio depends on n, so both sets must have one size.

    Returns:
        About 1 for an honest set, 1/n-ish for one image repeated.

    Raises:
        ValueError: Sets of different size, or of fewer than 2.
    """
    if len(real) != len(fake) or len(real) < 2:
        raise ValueError(f"needs two sets of one size, at least 2, got {len(real)} and {len(fake)}")
    spacing = neighbour_distance(real)
    bandwidth = float(np.median(spacing)) or float(spacing.mean()) or 1.0
    return vendi(fake, bandwidth) / vendi(real, bandwidth)
