"""Can a classifier tell two sets of images apart?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from medsyn.compute import keyed_seed
from medsyn.metrics.fidelity import unit_numbers

FOLDS = 5
COMPONENTS = 48
PENALTY = 0.1

_OVERLAP = (1 / FOLDS + 1 / (FOLDS - 1)) * FOLDS
"""What the variance of a cross-validated mean grows by since the folds share training data (Nadeau and Bengio 2003)."""


@dataclass(frozen=True)
class TwoSample:
    """AUROC of telling the sets apart, with a 95 % interval: 0.5 cannot, 1 always."""

    auroc: float
    low: float
    high: float


def c2st(
    real: np.ndarray,
    fake: np.ndarray,
    seed: int = 0,
    real_units: np.ndarray | None = None,
    fake_units: np.ndarray | None = None,
) -> TwoSample:
    """Classifier two-sample test (Lopez-Paz and Oquab 2017): logistic regression, cross-validated by subject.

    Features are reduced to their principal components first, on both sets together: that never sees which set a
    vector is of, so it cannot make the sets look apart. AUROC is within folds, since scores of different folds have
    different origins. The interval is of the placement values (DeLong 1988) summed by subject (Obuchowski 1997).

    Args:
        real: ``[n, d]``.
        fake: ``[m, d]``.
        seed: Of the folds.
        real_units: Subject of each vector; no subject is in two folds. None or "": each its own.
        fake_units: The same of ``fake``.

    Raises:
        ValueError: A set of fewer than twice `FOLDS` subjects.
    """
    a, b = unit_numbers(len(real), real_units), unit_numbers(len(fake), fake_units)
    if min(a.max(), b.max()) + 1 < 2 * FOLDS:
        raise ValueError(f"needs {2 * FOLDS} subjects a set, got {a.max() + 1} and {b.max() + 1}")
    x = np.concatenate([real, fake]).astype(np.float32)
    y = np.repeat([0, 1], [len(real), len(fake)])
    groups = _shared_groups(a, b, real_units, fake_units)
    number = keyed_seed("c2st", seed, len(real), len(fake)) % 2**32
    components = min(COMPONENTS, x.shape[1], len(x) // 4)
    x = PCA(components, svd_solver="randomized", whiten=True, random_state=number).fit_transform(x)
    placement = np.full(len(x), np.nan)
    # Where every image is a subject of its own the grouped splitter finds the same kind of folds, 50 times slower.
    grouped = len(np.unique(groups)) < len(groups)
    splitter = (StratifiedGroupKFold if grouped else StratifiedKFold)(FOLDS, shuffle=True, random_state=number)
    for fit, held in splitter.split(x, y, groups if grouped else None):
        if len(np.unique(y[fit])) < 2 or len(np.unique(y[held])) < 2:
            continue  # one subject that holds most of a set fills a fold
        score = LogisticRegression(C=PENALTY).fit(x[fit], y[fit]).decision_function(x[held])
        placement[held] = _placements(score, y[held])
    known = np.isfinite(placement)
    if not known.any():
        return TwoSample(0.5, 0.0, 1.0)
    sides = [(placement[known & (y == c)], units[known[y == c]]) for c, units in ((0, a), (1, b))]
    auroc = float(np.mean([values.mean() for values, _ in sides]))
    spread = sum(_clustered_variance(values, units) for values, units in sides)
    half = 1.96 * float(np.sqrt(spread * _OVERLAP))
    return TwoSample(auroc, max(0.0, auroc - half), min(1.0, auroc + half))


def _shared_groups(
    a: np.ndarray, b: np.ndarray, real_units: np.ndarray | None, fake_units: np.ndarray | None
) -> np.ndarray:
    """Subjects of both sets together: one that is in both is one group."""
    b = b + a.max() + 1
    if real_units is not None and fake_units is not None:
        first = {unit: number for unit, number in zip(real_units, a, strict=True) if unit != ""}
        b = np.array([first.get(unit, number) for unit, number in zip(fake_units, b, strict=True)])
    return np.concatenate([a, b])


def _placements(score: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Share of the other set that a vector stands on the right side of; ties count half."""
    rank, n = rankdata(score), np.array([(y == 0).sum(), (y == 1).sum()])
    out = np.empty(len(y))
    for c in (0, 1):
        below = (rank[y == c] - rankdata(score[y == c])) / n[1 - c]
        out[y == c] = below if c else 1 - below
    return out


def _clustered_variance(values: np.ndarray, units: np.ndarray) -> float:
    """Variance of the mean of values that come in clusters."""
    sums = np.bincount(np.unique(units, return_inverse=True)[1], values - values.mean())
    return float((sums**2).sum() / len(values) ** 2 * len(sums) / max(len(sums) - 1, 1))
