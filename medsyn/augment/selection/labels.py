"""Label consistency: does a classifier of real training images see the class that was asked for?"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from medsyn.augment.selection.limits import lowest

COMPONENTS = 64
PENALTY = 0.1
FOLDS = 5
SHARE = 0.05
"""Of real images of each class that the rule would reject."""


class LabelRule:
    """Logistic regression on principal components of features, of real training images alone.

    No network that `evaluate` trains, though its `probe` is a relative. An image fails where the log odds of its label
    against the most likely other class are lower than those of all but `SHARE` of the real training images of that
    class, each judged by a classifier that has not seen its subject.

    Args:
        arrays: ``mean`` ``[d]``, ``components`` ``[p, d]`` (of unit variance on training images), ``weights``
            ``[p, K]``, ``offsets`` ``[K]`` and ``limits`` ``[K]``, the lowest log odds allowed; -inf: any.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.arrays = dict(arrays)

    @classmethod
    def fit(cls, features: np.ndarray, labels: np.ndarray, units: np.ndarray, classes: int) -> LabelRule:
        """Train and calibrate.

        Args:
            features: Of real training images ``[n, d]``.
            labels: Class indices ``[n]``.
            units: Subject of each ``[n]``.
            classes: Number of classes.
        """
        pca = PCA(
            min(COMPONENTS, features.shape[1], max(2, len(features) // 4)), svd_solver="randomized", random_state=0
        ).fit(features)
        components = pca.components_ / np.sqrt(pca.explained_variance_)[:, None]
        z = (features - pca.mean_) @ components.T
        limits = np.full(classes, -np.inf)
        folds = min(FOLDS, len(np.unique(units)), int(np.bincount(labels).max()))
        if folds > 1:
            odds = np.full(len(z), np.nan)
            # A class of fewer subjects than folds is left out of some; sklearn warns of that.
            with warnings.catch_warnings(action="ignore", category=UserWarning):
                splits = list(StratifiedGroupKFold(folds, shuffle=True, random_state=0).split(z, labels, units))
            for fit, held in splits:
                if len(np.unique(labels[fit])) == classes:
                    weights, offsets = _train(z[fit], labels[fit])
                    odds[held] = log_odds(z[held] @ weights + offsets, labels[held])
            for c in range(classes):
                known = odds[(labels == c) & np.isfinite(odds)]
                limits[c] = lowest(known, SHARE) if len(known) else -np.inf
        weights, offsets = _train(z, labels)
        return cls(
            {
                "mean": pca.mean_.astype(np.float32),
                "components": components.astype(np.float32),
                "weights": weights.astype(np.float32),
                "offsets": offsets.astype(np.float32),
                "limits": limits,
            }
        )

    def score(self, features: np.ndarray, label: int) -> np.ndarray:
        """Odds that the limit asks for over odds that were found, ``[n]``: above 1 fails, at most a million.

        Args:
            features: ``[n, d]``.
            label: Class that was asked for.
        """
        a = self.arrays
        logits = ((features - a["mean"]) @ a["components"].T) @ a["weights"] + a["offsets"]
        odds = log_odds(logits, np.full(len(features), label))
        return np.exp(np.clip(a["limits"][label] - odds, -14, 14))


def log_odds(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Of the label against the most likely other class, ``[n]``, from logits ``[n, K]``."""
    rows = np.arange(len(logits))
    others = logits.astype(np.float64)
    own = others[rows, labels].copy()
    others[rows, labels] = -np.inf
    return own - others.max(1)


def _train(z: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights ``[p, K]`` and offsets ``[K]``."""
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):  # near enough to its end
        found = LogisticRegression(C=PENALTY, class_weight="balanced", max_iter=500).fit(z, labels)
    if len(found.classes_) == 2:  # one row of weights, for the second class
        zero = np.zeros_like(found.coef_)
        return np.concatenate([zero, found.coef_]).T, np.array([0.0, found.intercept_[0]])
    return found.coef_.T, found.intercept_
