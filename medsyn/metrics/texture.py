"""First-order and texture features of single images; no network."""

from __future__ import annotations

import numpy as np
from skimage.feature import graycomatrix, graycoprops, local_binary_pattern

GREY_LEVELS = 32
ANGLES = (0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)
PERCENTILES = (5, 25, 50, 75, 95)
CO_OCCURRENCE = ("contrast", "homogeneity", "energy", "correlation")
NEIGHBOURS = 8
NAMES = (
    "mean",
    "deviation",
    "skewness",
    "kurtosis",
    "entropy",
    *(f"percentile {p}" for p in PERCENTILES),
    *CO_OCCURRENCE,
    *(f"binary pattern {i}" for i in range(NEIGHBOURS + 2)),
)

_NARROWEST = 1e-3
_FARTHEST = 10.0


def texture_features(images: np.ndarray) -> np.ndarray:
    """First-order statistics, co-occurrence (Haralick 1973) and local binary patterns (Ojala 2002) of every image.

    Args:
        images: float32 ``[n, C, H, W]`` in [0, 1]; channels are averaged.

    Returns:
        float64 ``[n, len(NAMES)]``. Entropy is in bits over `GREY_LEVELS` levels; co-occurrence is at distance 1,
        symmetric, mean of four angles; patterns are the shares of the uniform, rotation-invariant ones.
    """
    out = np.empty((len(images), len(NAMES)))
    for row, image in zip(out, images, strict=True):
        row[:] = _features(image.mean(0, dtype=np.float64))
    return out


def _features(grey: np.ndarray) -> np.ndarray:
    mean, deviation = grey.mean(), grey.std()
    z = (grey - mean) / max(deviation, 1e-8)
    square = z * z
    level = np.clip(grey * GREY_LEVELS, 0, GREY_LEVELS - 1).astype(np.uint8)
    share = np.bincount(level.ravel(), minlength=GREY_LEVELS) / grey.size
    share = share[share > 0]
    pairs = graycomatrix(level, [1], ANGLES, levels=GREY_LEVELS, symmetric=True, normed=True)
    # scikit-image warns that floating point makes a pattern of rounding errors; 8 bits do not.
    pattern = local_binary_pattern(np.rint(np.clip(grey, 0, 1) * 255).astype(np.uint8), NEIGHBOURS, 1, "uniform")
    return np.concatenate(
        [
            [mean, deviation, (square * z).mean(), (square * square).mean() - 3, -(share * np.log2(share)).sum()],
            np.percentile(grey, PERCENTILES),
            [graycoprops(pairs, name).mean() for name in CO_OCCURRENCE],
            np.bincount(pattern.astype(int).ravel(), minlength=NEIGHBOURS + 2) / grey.size,
        ]
    )


def texture_distance(real: np.ndarray, fake: np.ndarray) -> float:
    """Mean over features of the Wasserstein-1 distance, in standard deviations of the real images.

    Unlike a difference of means it sees spread and shape, and unlike a Frechet distance it needs no covariance.

    Args:
        real: `texture_features` of a set; it alone sets the unit.
        fake: The same of another, of the same size.

    Raises:
        ValueError: Sets of different size.
    """
    if len(real) != len(fake):
        raise ValueError(f"needs two sets of one size, got {len(real)} and {len(fake)}")
    # A feature that hardly varies (the black margin's percentile) must not drown all the others.
    unit = np.maximum(real.std(0), _NARROWEST)
    a, b = (np.clip((s - real.mean(0)) / unit, -_FARTHEST, _FARTHEST) for s in (real, fake))
    return float(np.abs(np.sort(a, axis=0) - np.sort(b, axis=0)).mean())
