"""Which candidates there are, and which are fit to be kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from medsyn.generator import Generator

BLOCK = 256
"""Candidates drawn at a time; memory stays flat, and no pixel depends on it."""


@dataclass(frozen=True)
class Block:
    """Consecutive candidates of one class.

    Attributes:
        index: Candidate numbers, int64 ``[n]``.
        pixels: uint8 ``[n, C, H, W]``.
        reasons: Why not fit, or None, one a candidate.
    """

    label: str
    index: np.ndarray
    pixels: np.ndarray
    reasons: list[str | None]


def draw(generator: Generator, label: str, wanted: int, seed: int, max_tries: int) -> Iterator[Block]:
    """Yield candidates of one class in order until ``wanted`` are fit.

    Candidate ``k`` has class ``k mod number of classes`` and is a pure function of checkpoint, seed and ``k``: a larger
    set begins with the smaller one, whatever the balance.

    Args:
        generator: The model.
        label: One of its classes.
        wanted: Fit candidates to reach; the last block ends at the last one needed.
        seed: Of the set.
        max_tries: Candidates at most, as a multiple of ``wanted``.
    """
    classes = generator.classes
    place, fit, drawn = classes.index(label), 0, 0
    while fit < wanted and drawn < max_tries * wanted:
        index = (np.arange(drawn, drawn + min(BLOCK, wanted - fit), dtype=np.int64)) * len(classes) + place
        images = generator.sample(np.full(len(index), place, np.int64), seed, index)
        reasons = [unfit(image) for image in images]
        pixels = np.rint(np.nan_to_num(images).clip(0, 1) * 255).astype(np.uint8)
        fit += reasons.count(None)
        drawn += len(index)
        yield Block(label, index, pixels, reasons)


def unfit(image: np.ndarray) -> str | None:
    """A technical reason against an image ``[C, H, W]`` in [0, 1], or None."""
    if not np.isfinite(image).all():
        return "not_finite"
    if float(image.std()) < 0.01:
        return "constant"
    if float(((image <= 0) | (image >= 1)).mean()) > 0.9:
        return "saturated"
    return None


class NearestTraining:
    """Root mean square grey difference to the nearest training image of the same class.

    Args:
        images: Training images, float32 ``[n, C, H, W]`` in [0, 1].
        labels: Class names, ``[n]``.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self._by_class = {str(c): images[labels == c].reshape((labels == c).sum(), -1) for c in np.unique(labels)}
        self._norms = {c: (x**2).sum(1) for c, x in self._by_class.items()}

    def __call__(self, label: str, pixels: np.ndarray) -> np.ndarray:
        """Distances of uint8 images ``[n, C, H, W]`` of one class, float64 ``[n]`` in [0, 1]."""
        x = pixels.reshape(len(pixels), -1).astype(np.float32) / 255
        reference = self._by_class[label]
        squared = (x**2).sum(1)[:, None] + self._norms[label][None] - 2 * x @ reference.T
        return np.sqrt(squared.min(1).clip(0) / x.shape[1]).astype(np.float64)
