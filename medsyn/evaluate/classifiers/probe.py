"""Logistic regression on frozen features."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from medsyn.evaluate.classifiers.augmentation import augmented_copies
from medsyn.evaluate.classifiers.base import Balance, Task
from medsyn.evaluate.classifiers.sampling import oversampled
from medsyn.evaluate.measures.ranking import auroc
from medsyn.metrics.features import extractor

STRENGTHS = (0.001, 0.01, 0.1)
"""Values of C tried on val."""

COMPONENTS = 128
"""Of the features kept: the fit takes a fifth of the time, and the rest is noise at the sizes we meet."""


@dataclass(frozen=True)
class ProbeClassifier:
    """Logistic regression on the features of each image and, with augmentation, of one augmented copy of each.

    It has no optimiser steps: all arms fit to convergence, and all choose C by the AUROC on val.
    """

    name: str = "probe"

    def fit_predict(self, task: Task) -> dict[str, np.ndarray]:
        """See `base.Classifier`."""
        task.check_stop()
        extract = task.extract or extractor("imagenet", task.device)
        images = {"train": task.images, **task.wanted}
        features = {
            name: task.features[name] if name in task.features else extract(pixels) for name, pixels in images.items()
        }
        pool, labels = features["train"], task.labels
        if task.augmentation is not None:
            task.check_stop()
            pool = np.concatenate([pool, extract(augmented_copies(task.images, task.augmentation, task.seed))])
            labels = np.concatenate([labels, labels])
        task.check_stop()
        model = train(
            pool, labels, features["val"], task.val_labels, task.classes, balance=task.balance, seed=task.seed
        )
        return {name: model.predict(features[name]) for name in task.wanted}


@dataclass(frozen=True)
class Probe:
    """A fitted probe over ``classes`` classes."""

    pipeline: Pipeline
    classes: int

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Class probabilities, float64 ``[n, classes]``; 0 for a class that was not trained on."""
        out = np.zeros((len(features), self.classes))
        out[:, self.pipeline.classes_] = self.pipeline.predict_proba(features)
        return out


def train(
    features: np.ndarray,
    labels: np.ndarray,
    val_features: np.ndarray,
    val_labels: np.ndarray,
    classes: int,
    *,
    balance: Balance = "none",
    seed: int = 0,
) -> Probe:
    """Fit with every C of `STRENGTHS` and keep the one with the best AUROC on val.

    Args:
        features: Training features ``[n, d]``.
        labels: Class indices ``[n]``, of two classes at least.
        val_features: ``[v, d]``.
        val_labels: ``[v]``.
        classes: Number of classes.
        balance: What is done about unequal classes.
        seed: Of the oversampling.
    """
    if balance == "oversample":
        rows = oversampled(labels, seed)
        features, labels = features[rows], labels[rows]
    components = min(COMPONENTS, len(features) - 1, features.shape[1])
    # The randomised solver, because an exact one takes 4 s here for what logistic regression fits in 0.1 s.
    reduce = make_pipeline(StandardScaler(), PCA(components, svd_solver="randomized", random_state=0))
    reduced = reduce.fit_transform(features)
    fitted = []
    for strength in STRENGTHS:
        # "balanced" is n / (classes * count): inverse frequency with mean 1 over the images.
        model = LogisticRegression(C=strength, max_iter=300, class_weight="balanced" if balance == "weights" else None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(reduced, labels)
        fitted.append(Probe(make_pipeline(reduce, model), classes))
    return max(fitted, key=lambda probe: float(auroc(probe.predict(val_features), val_labels)[0]))
