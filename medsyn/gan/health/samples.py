"""What a handful of samples tell about collapse, at the price of a fraction of a step."""

from __future__ import annotations

from typing import NamedTuple

import torch

MOST = 32
"""Samples of a class; fewer where there are many classes."""

IN_ALL = 256
FEWEST = 4
"""Of which a distance to the nearest other one says something."""


class Glance(NamedTuple):
    """Samples against real training images. All are ratios: 1 is as in real images, 0 is collapse."""

    spread: list[float]  # of a class over the seeds, as root of the summed variances of pixels; a class each
    nearest: list[float]  # distance from a sample to the nearest other one of its class, median; a class each
    between: float  # distance of classes at one seed, against that of the real classes' means


class Samples:
    """Measures samples; the same noise for every class and every time.

    Args:
        images: Training images, float ``[n, C, H, W]``.
        labels: int64 ``[n]``; every class occurs.
    """

    def __init__(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        classes = int(labels.max()) + 1
        self.classes = classes
        self.per_class = max(FEWEST, min(MOST, IN_ALL // classes))
        means, self._spread, self._nearest, self._shown = [], [], [], []
        for c in range(classes):
            own = images[labels == c].flatten(1)
            means.append(own.mean(0))
            self._spread.append(_spread(own))
            self._shown.append(min(len(own), self.per_class))
            self._nearest.append(_nearest(own[: self.per_class]))
        self._between = _apart(torch.stack(means)[:, None])

    def glance(self, fake: torch.Tensor) -> Glance:
        """Compare samples with the real images.

        Args:
            fake: ``[classes, per_class, C, H, W]``, where sample k of every class has the same noise.
        """
        flat = fake.flatten(2).clamp(0, 1)
        return Glance(
            [_ratio(_spread(x), real) for x, real in zip(flat, self._spread, strict=True)],
            [_ratio(_nearest(x[:n]), real) for x, n, real in zip(flat, self._shown, self._nearest, strict=True)],
            _ratio(_apart(flat), self._between),
        )


def _spread(x: torch.Tensor) -> float:
    return float(x.var(0, correction=0).sum().sqrt())


def _nearest(x: torch.Tensor) -> float:
    """0 where there are too few to say."""
    if len(x) < FEWEST:
        return 0.0
    distance = torch.cdist(x, x)
    return float(distance.fill_diagonal_(float("inf")).amin(1).median())


def _apart(x: torch.Tensor) -> float:
    """Root mean square distance of the classes from their middle, ``[classes, n, D]``."""
    return float((x - x.mean(0)).square().sum(-1).mean().sqrt())


def _ratio(found: float, real: float) -> float:
    """1, which accuses nobody, where the real images themselves do not differ."""
    return found / real if real > 1e-6 else 1.0
