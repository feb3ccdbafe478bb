"""Ranking and decisions of a classifier on one split, also under bootstrap weights."""

from __future__ import annotations

import numpy as np

GRID = np.linspace(-4, 4, 81)
"""Offsets tried for a class of a multi-class problem, in log probability."""


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
    return np.mean([_auroc(probabilities[:, c], labels == c, weights) for c in classes], axis=0)


def _auroc(score: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    # Mann-Whitney with ties counted half: negatives below, plus half of those level, for every positive.
    order = np.argsort(score, kind="stable")
    score, positive, weights = score[order], positive[order], weights[:, order]
    starts = np.flatnonzero(np.r_[True, score[1:] != score[:-1]])
    up = np.add.reduceat(weights * positive, starts, axis=1)
    down = np.add.reduceat(weights * ~positive, starts, axis=1)
    wins = (up * (np.cumsum(down, axis=1) - down / 2)).sum(1)
    pairs = up.sum(1) * down.sum(1)
    return np.divide(wins, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)


def balanced_accuracy(decisions: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Mean sensitivity over the classes, ``[B]``; arguments as in `auroc`, ``decisions`` are class indices ``[n]``."""
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
        margin = logits[:, 1] - logits[:, 0]
        edges = np.unique(margin)
        candidates = -np.concatenate([(edges[1:] + edges[:-1]) / 2, [0.0]])
        offsets[1] = _best(candidates, margin, labels)
        return offsets
    for _ in range(2):
        for c in range(classes):
            tried = np.tile(offsets, (len(GRID), 1))
            tried[:, c] = GRID
            values = [balanced_accuracy((logits + row).argmax(1), labels)[0] for row in tried]
            best = np.flatnonzero(np.isclose(values, max(values)))
            offsets[c] = GRID[best[np.abs(GRID[best]).argmin()]]
    return offsets


def _best(candidates: np.ndarray, margin: np.ndarray, labels: np.ndarray) -> float:
    decisions = margin[None] + candidates[:, None] > 0
    sensitivity = decisions[:, labels == 1].mean(1)
    specificity = 1 - decisions[:, labels == 0].mean(1)
    value = sensitivity + specificity
    best = np.sort(candidates[np.isclose(value, value.max())])
    return float(best[len(best) // 2])
