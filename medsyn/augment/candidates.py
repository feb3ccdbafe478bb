"""Which candidates there are, and which are fit to be kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from medsyn.generator import Generator

BLOCK = 512
"""Candidates drawn at a time; memory stays flat, and no pixel depends on it."""


@dataclass(frozen=True)
class Candidate:
    """One drawn image.

    Attributes:
        index: Candidate number.
        label: Class name.
        pixels: uint8 ``[C, H, W]``.
        reason: Why it is not fit, or None.
    """

    index: int
    label: str
    pixels: np.ndarray
    reason: str | None


def draw(
    generator: Generator, wanted: Mapping[str, int], seed: int, max_tries: int, truncation: float = 1.0
) -> Iterator[list[Candidate]]:
    """Yield candidates in order of their number until every class has as many fit ones as wanted.

    Candidate ``k`` has class ``k mod number of classes`` and is a pure function of checkpoint, seed and ``k``: of each
    class, a larger set begins with the smaller one, whatever the balance.

    Args:
        generator: The model.
        wanted: Class -> fit candidates to reach; candidates of a class that has enough are passed over.
        seed: Of the set.
        max_tries: Candidates of a class at most, as a multiple of what is wanted of it.
        truncation: As of `Generator.draw`.
    """
    classes = generator.classes
    missing = {label: wanted.get(label, 0) for label in classes}
    tries = {label: max_tries * number for label, number in missing.items()}
    start = 0
    while any(missing[c] and tries[c] for c in classes):
        index = np.arange(start, start + BLOCK, dtype=np.int64)
        place = index % len(classes)
        needed = np.array([bool(missing[c] and tries[c]) for c in classes])[place]
        index, place = index[needed], place[needed]
        images = generator.sample(place, seed, index, truncation)
        pixels = np.rint(np.nan_to_num(images).clip(0, 1) * 255).astype(np.uint8)
        found = []
        for k, at, image, grey in zip(index, place, images, pixels, strict=True):
            label = classes[at]
            if not (missing[label] and tries[label]):
                continue
            reason = unfit(image)
            missing[label] -= reason is None
            tries[label] -= 1
            found.append(Candidate(int(k), label, grey, reason))
        yield found
        start += BLOCK


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

    def of(self, found: list[Candidate]) -> list[float]:
        """Distances of candidates, in their order."""
        distances = np.zeros(len(found))
        for label in {c.label for c in found}:
            rows = [i for i, c in enumerate(found) if c.label == label]
            distances[rows] = self(label, np.stack([found[i].pixels for i in rows]))
        return distances.tolist()

    def __call__(self, label: str, pixels: np.ndarray) -> np.ndarray:
        """Distances of uint8 images ``[n, C, H, W]`` of one class, float64 ``[n]`` in [0, 1]."""
        x = pixels.reshape(len(pixels), -1).astype(np.float32) / 255
        reference = self._by_class[label]
        squared = (x**2).sum(1)[:, None] + self._norms[label][None] - 2 * x @ reference.T
        return np.sqrt(squared.min(1).clip(0) / x.shape[1]).astype(np.float64)
