"""Pictures for the tests of the report."""

from __future__ import annotations

import numpy as np
from evaluate.report_sample import CLASSES
from scipy.ndimage import gaussian_filter

from medsyn.evaluate.checks.galleries import Galleries, NearestPair


def blobs(n: int, seed: int, channels: int = 1, side: int = 48) -> np.ndarray:
    """Smooth random pictures, uint8 [n, channels, side, side]."""
    noise = np.random.default_rng(seed).normal(size=(n, channels, side, side))
    smooth = gaussian_filter(noise, (0, 0, 5, 5))
    low, high = smooth.min((1, 2, 3), keepdims=True), smooth.max((1, 2, 3), keepdims=True)
    return ((smooth - low) / (high - low) * 255).astype(np.uint8)


def make_galleries(classes: list[str] | None = None) -> Galleries:
    names = classes or CLASSES
    pairs = zip(blobs(8, 1), blobs(8, 2), strict=True)
    return Galleries(
        synthetic={name: blobs(12, 10 + k) for k, name in enumerate(names)},
        real={name: blobs(12, 20 + k) for k, name in enumerate(names)},
        closest=[NearestPair(a, b, names[k % len(names)], 0.131 + 0.07 * k) for k, (a, b) in enumerate(pairs)],
    )
