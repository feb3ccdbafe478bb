"""How many different images a set really holds."""

from __future__ import annotations

import numpy as np
import torch

from medsyn.compute import numpy_rng
from medsyn.metrics.fidelity import distances, neighbour_distance, unit_numbers

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of MS-SSIM's five scales, from the finest (Wang et al. 2003, table 1)."""

WINDOW = 11
"""Side of SSIM's Gaussian window in pixels."""

LARGEST_SIDE = 128
"""Larger images are averaged down to this side first: MS-SSIM's time goes with their area, variety is coarse."""


def vendi(vectors: np.ndarray, width: float) -> float:
    """Vendi score: the effective number of distinct vectors (Friedman and Dieng 2023, eq. 1).

    Args:
        vectors: ``[n, d]``; the n x n kernel is held whole, so n should stay below some thousands.
        width: Of the Gaussian kernel, in the unit of the distances.

    Returns:
        Between 1 (all alike) and n (all far apart).
    """
    kernel = np.vstack([np.exp(-((d / width) ** 2) / 2) for _, d in distances(vectors, vectors)])
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
    width = bandwidth(real)
    return vendi(fake, width) / vendi(real, width)


def bandwidth(real: np.ndarray) -> float:
    """Kernel width of `effective_diversity`: median distance to the nearest other vector of ``[n, d]``, n >= 2."""
    spacing = neighbour_distance(real)
    return float(np.median(spacing)) or float(spacing.mean()) or 1.0


def ms_ssim_diversity(images: np.ndarray, seed: int, pairs: int = 100, units: np.ndarray | None = None) -> float | None:
    """Mean multi-scale structural similarity of random pairs within a set: high is little variety (Odena et al. 2017).

    Args:
        images: float32 ``[n, C, H, W]`` in [0, 1], of one class.
        seed: Of the pairs.
        pairs: How many.
        units: Subject of each image; no pair is of one subject. None or "": each its own.

    Returns:
        Between 0 and 1, or None where no pair of two subjects exists or a side is below `WINDOW` pixels.
    """
    from monai.metrics.regression import compute_ms_ssim

    scales = _scales(min(*images.shape[-2:], LARGEST_SIDE))
    number = unit_numbers(len(images), units)
    if scales == 0 or number.max(initial=0) < 1:
        return None
    rng = numpy_rng("ms-ssim", seed, len(images))
    a, b = rng.integers(len(images), size=(2, 20 * pairs))
    # A set of one large subject and a few others may yield fewer pairs: the draw is bounded, not endless.
    apart = np.flatnonzero(number[a] != number[b])[:pairs]
    if not len(apart):
        return None
    x, y = (torch.from_numpy(images[side[apart]]) for side in (a, b))
    if max(x.shape[-2:]) > LARGEST_SIDE:
        size = [min(s, LARGEST_SIDE) for s in x.shape[-2:]]
        x, y = (torch.nn.functional.interpolate(t, size, mode="area") for t in (x, y))
    weights = np.array(SCALE_WEIGHTS[:scales]) / sum(SCALE_WEIGHTS[:scales])
    return float(compute_ms_ssim(x, y, 2, kernel_size=WINDOW, weights=weights.tolist()).mean())


def _scales(side: int) -> int:
    """Scales, each half the one before, that have room for the window; MONAI asks for more room from four scales on."""
    fits = [s for s in range(1, len(SCALE_WEIGHTS) + 1) if side // max(2 ** (s - 1), (s - 1) ** 2) >= WINDOW]
    return max(fits, default=0)
