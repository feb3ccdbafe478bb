"""Measures of how well one score ranks positives above negatives, under many sets of image weights at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEVEL_TOLERANCE = 1e-9
"""A rate counts as reached within this: rates are sums of weights, and sums round."""


@dataclass(frozen=True)
class Ranked:
    """The ROC curve of one score: a point for every distinct value, from the highest down.

    Attributes:
        up: Weight of the positives at each value ``[B, m]``.
        down: Weight of the negatives at each value ``[B, m]``.
    """

    up: np.ndarray
    down: np.ndarray

    @classmethod
    def of(cls, score: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> Ranked:
        """Sort once for all draws.

        Args:
            score: ``[n]``, higher is more likely positive.
            positive: bool ``[n]``.
            weights: How often each image counts, ``[B, n]``.
        """
        order = np.argsort(-score, kind="stable")
        score, positive, weights = score[order], positive[order], weights[:, order].astype(np.float64, copy=False)
        up, down = weights * positive, weights * ~positive
        starts = np.flatnonzero(np.r_[True, score[1:] != score[:-1]])
        if len(starts) < len(score):
            up, down = np.add.reduceat(up, starts, axis=1), np.add.reduceat(down, starts, axis=1)
        return cls(up, down)

    @property
    def positives(self) -> np.ndarray:
        """Weight of all positives ``[B]``."""
        return self.up.sum(1)

    @property
    def negatives(self) -> np.ndarray:
        """Weight of all negatives ``[B]``."""
        return self.down.sum(1)

    def wins(self) -> np.ndarray:
        """Pairs ranked rightly, ties counted half ``[B]``: of ``positives * negatives`` pairs (Mann and Whitney)."""
        above = self.down.cumsum(1) - self.down / 2
        return self.positives * self.negatives - (self.up * above).sum(1)

    def precision_sum(self) -> np.ndarray:
        """Precision at every positive, summed ``[B]``: average precision times `positives`, nothing interpolated."""
        found = self.up.cumsum(1)
        called = found + self.down.cumsum(1)
        return (self.up * np.divide(found, called, out=np.zeros_like(called), where=called > 0)).sum(1)

    def sensitivity_at(self, specificity: float) -> np.ndarray:
        """Highest sensitivity at a specificity, on straight lines between the points of the ROC curve ``[B]``."""
        return _height(_rates(self.down), _rates(self.up), 1 - specificity)

    def specificity_at(self, sensitivity: float) -> np.ndarray:
        """Highest specificity at a sensitivity, on straight lines between the points of the ROC curve ``[B]``."""
        # Read from the other end of the curve, where the negatives come first.
        return _height(_rates(self.up[:, ::-1]), _rates(self.down[:, ::-1]), 1 - sensitivity)


def auroc(probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Area under the ROC curve: of class 1 with two classes, else the mean of one class against the rest.

    Args:
        probabilities: ``[n, K]``.
        labels: ``[n]``.
        weights: How often each image counts, one row a bootstrap draw, ``[B, n]``; None for once each.

    Returns:
        ``[B]`` (``[1]`` without weights); NaN where a draw lacks a class or its rest.
    """
    weights = np.ones((1, len(labels))) if weights is None else weights
    classes = [1] if probabilities.shape[1] == 2 else range(probabilities.shape[1])
    found = []
    for c in classes:
        ranked = Ranked.of(probabilities[:, c], labels == c, weights)
        pairs = ranked.positives * ranked.negatives
        found.append(np.divide(ranked.wins(), pairs, out=np.full(len(weights), np.nan), where=pairs > 0))
    return np.mean(found, axis=0)


def _rates(weight: np.ndarray) -> np.ndarray:
    total = weight.sum(1, keepdims=True)
    rates = np.divide(weight.cumsum(1), total, out=np.full(weight.shape, np.nan), where=total > 0)
    return np.concatenate([np.zeros((len(weight), 1)), rates], axis=1)


def _height(x: np.ndarray, y: np.ndarray, at: float) -> np.ndarray:
    """``y`` where ``x`` reaches ``at``, the last of equal ``x``; both ``[B, m]``, not falling, from 0 to 1."""
    beyond = x > at + LEVEL_TOLERANCE
    after = np.where(beyond.any(1), beyond.argmax(1), x.shape[1] - 1)
    rows, before = np.arange(len(x)), np.maximum(after - 1, 0)
    step = x[rows, after] - x[rows, before]
    share = np.divide(at - x[rows, before], step, out=np.ones_like(step), where=step > 0)
    return y[rows, before] + np.clip(share, 0, 1) * (y[rows, after] - y[rows, before])
