"""Redrawing of test subjects."""

from __future__ import annotations

import numpy as np

from medsyn.compute import numpy_rng


def bootstrap_weights(units: np.ndarray, labels: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """How often each image counts when subjects are drawn with replacement, within strata of equal labels.

    Images of one subject are no independent observations, so subjects, not images, are drawn. Strata (the set of
    labels that a subject has) keep a rare class in every draw. Of a stratum with n subjects n - 1 are drawn and
    weighed n / (n - 1) (Rao and Wu 1988): n draws would understate its variance by that factor. A subject alone in its
    stratum counts once in every draw.

    Args:
        units: Subject of each image ``[n]``.
        labels: Class indices ``[n]``.
        draws: Bootstrap draws B.
        seed: Of the draws.

    Returns:
        float32 ``[B, n]``.
    """
    names, place = np.unique(units, return_inverse=True)
    has = np.zeros((len(names), int(labels.max()) + 1), bool)
    has[place, labels] = True
    kinds, kind = np.unique(has, axis=0, return_inverse=True)
    rng = numpy_rng("bootstrap", seed, len(names))
    counts = np.ones((draws, len(names)), np.float32)
    for k in range(len(kinds)):
        members = np.flatnonzero(kind.ravel() == k)
        n = len(members)
        if n > 1:
            for row in counts:
                row[members] = np.bincount(rng.integers(0, n, n - 1), minlength=n) * (n / (n - 1))
    return counts[:, place]


def fewest_units(units: np.ndarray, labels: np.ndarray) -> int:
    """Subjects of the class that has the fewest, from units ``[n]`` and labels ``[n]``."""
    return min(len(np.unique(units[labels == c])) for c in np.unique(labels))
