"""Which training images each optimiser step sees, and what each counts."""

from __future__ import annotations

import numpy as np

from medsyn.compute import numpy_rng


def batches(labels: np.ndarray, steps: int, batch: int, seed: int, *, balanced: bool = False) -> np.ndarray:
    """Training rows of every step, a pure function of the arguments.

    Args:
        labels: Class indices of the pool ``[n]``.
        steps: Optimiser steps.
        batch: Images a step.
        seed: Repeat number; arms with equal pools get equal batches.
        balanced: Draw the classes equally often (oversampling) instead of as they come.

    Returns:
        int64 ``[steps, batch]``; every image is shown once before any is shown twice (within its class, if balanced).
    """
    total = steps * batch
    if not balanced:
        return _stream(np.arange(len(labels)), total, seed, "pool").reshape(steps, batch)
    present = np.unique(labels)
    # Shuffling whole rounds of the classes keeps every batch balanced to within one round.
    turn = _stream(np.arange(len(present)), total, seed, "turn")
    out = np.empty(total, np.int64)
    for place, label in enumerate(present):
        mine = turn == place
        out[mine] = _stream(np.flatnonzero(labels == label), int(mine.sum()), seed, f"class {label}")
    return out.reshape(steps, batch)


def oversampled(labels: np.ndarray, seed: int) -> np.ndarray:
    """Rows of a pool in which every class is as large as the largest, for classifiers that take no batches.

    Args:
        labels: Class indices ``[n]``.
        seed: Repeat; decides which images occur once more than others of their class.

    Returns:
        int64 ``[m]``, m at least n.
    """
    present, counts = np.unique(labels, return_counts=True)
    return np.concatenate(
        [_stream(np.flatnonzero(labels == c), int(counts.max()), seed, f"class {c}") for c in present]
    )


def class_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """Weight of each class, inverse to its frequency, with mean 1 over the images.

    Returns:
        float64 ``[classes]``; 0 for a class without image.
    """
    counts = np.bincount(labels, minlength=classes)
    weights = np.zeros(classes)
    weights[counts > 0] = len(labels) / (np.count_nonzero(counts) * counts[counts > 0])
    return weights


def _stream(items: np.ndarray, n: int, seed: int, name: str) -> np.ndarray:
    """``n`` items: one permutation after another."""
    rounds = -(-n // len(items))
    return np.concatenate([numpy_rng(name, seed, r).permutation(items) for r in range(rounds)] or [items])[:n]
