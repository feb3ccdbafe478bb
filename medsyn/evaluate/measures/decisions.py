"""From probabilities to decisions, and how many of them are right, also under bootstrap weights."""

from __future__ import annotations

import numpy as np

GRID = np.linspace(-4, 4, 81)
"""Offsets tried for a class of a multi-class problem, in log probability."""


def balanced_accuracy(decisions: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Mean sensitivity over the classes, ``[B]``.

    Args:
        decisions: Class indices ``[n]``.
        labels: ``[n]``.
        weights: How often each image counts, one row a bootstrap draw, ``[B, n]``; None for once each.
    """
    weights = np.ones((1, len(labels))) if weights is None else weights
    rates = []
    for c in np.unique(labels):
        here = weights[:, labels == c]
        total = here.sum(1)
        hits = here @ (decisions[labels == c] == c).astype(float)
        rates.append(np.divide(hits, total, out=np.full(len(weights), np.nan), where=total > 0))
    return np.mean(rates, axis=0)


def accuracy(decisions: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Share of right decisions, ``[B]``; arguments as in `balanced_accuracy`."""
    weights = np.ones((1, len(labels))) if weights is None else weights
    return weights @ (decisions == labels).astype(float) / weights.sum(1)


def decide(probabilities: np.ndarray, offsets: np.ndarray | None = None) -> np.ndarray:
    """Class with the greatest log probability plus offset, ``[n]``; no offsets: the most probable class."""
    logits = np.log(np.maximum(probabilities, 1e-12))
    return (logits if offsets is None else logits + offsets).argmax(1)


def choose_offsets(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Offsets ``[K]`` that maximise balanced accuracy; meant for val.

    Two classes: every threshold between neighbouring scores is tried, and of the best ones the middle is taken. More
    classes: one class after another over `GRID`, twice.
    """
    classes = probabilities.shape[1]
    logits = np.log(np.maximum(probabilities, 1e-12))
    offsets = np.zeros(classes)
    if classes == 2:
        offsets[1] = _best_offset(logits[:, 1] - logits[:, 0], labels)
        return offsets
    for _ in range(2):
        for c in range(classes):
            tried = np.tile(offsets, (len(GRID), 1))
            tried[:, c] = GRID
            values = [balanced_accuracy((logits + row).argmax(1), labels)[0] for row in tried]
            best = np.flatnonzero(np.isclose(values, max(values)))
            offsets[c] = GRID[best[np.abs(GRID[best]).argmin()]]
    return offsets


def _best_offset(margin: np.ndarray, labels: np.ndarray) -> float:
    edges = np.unique(margin)
    candidates = np.sort(-np.concatenate([(edges[1:] + edges[:-1]) / 2, [0.0]]))
    positives, negatives = (np.sort(-margin[labels == c]) for c in (1, 0))
    # An image is called class 1 where its margin plus the offset is above 0.
    sensitivity = np.searchsorted(positives, candidates, side="left") / len(positives)
    specificity = 1 - np.searchsorted(negatives, candidates, side="left") / len(negatives)
    value = sensitivity + specificity
    best = candidates[np.isclose(value, value.max())]
    return float(best[len(best) // 2])
