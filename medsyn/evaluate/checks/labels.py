"""Do labels mean what they say: those of synthetic images, and those of the dataset itself?"""

from __future__ import annotations

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from medsyn.evaluate.inputs.sample import Sample
from medsyn.evaluate.measures.ranking import auroc
from medsyn.evaluate.results import Estimate, Labels
from medsyn.evaluate.statistics import bootstrap_weights

KEPT = 0.5
"""Labels are called out that keep less than this share of the reference's excess over chance."""

LEAST = 0.6
"""AUROC on real val below which real labels cannot be told, and nothing is said about synthetic ones."""

COMPONENTS = 64
SMALLEST = 5
DRAWS = 300


def test(train: Sample, val: Sample, synthetic: Sample, seed: int) -> Labels:
    """Measure a classifier of real images on the synthetic ones.

    A logistic regression on `COMPONENTS` principal components of the features, fitted on real training images, ranks
    val and the synthetic set, each by its own labels and over the classes that both hold. Labels are called out where
    the synthetic AUROC keeps less than half of val's excess over 0.5, and the upper end of its 95 % interval lies below
    val's value.

    Args:
        train: Real images that the classifier learns from.
        val: Real images of other subjects.
        synthetic: The synthetic images.
        seed: Of the bootstrap.
    """
    classes = [c for c in np.unique(train.labels) if _least((val, synthetic), c) >= SMALLEST]
    if len(classes) < 2:
        return untested(f"fewer than two classes have {SMALLEST} images in val and in the synthetic set")
    train, val, synthetic = (s.take(np.isin(s.labels, classes)) for s in (train, val, synthetic))
    model = classifier(min(COMPONENTS, len(train) - 1)).fit(train.features, train.labels)
    reference = _auroc(model, val, classes)[0]
    units = np.arange(len(synthetic)).astype(str)
    weights = bootstrap_weights(units, synthetic.labels, DRAWS, seed)
    values = _auroc(model, synthetic, classes, np.vstack([np.ones(len(synthetic)), weights]))
    value, high = float(values[0]), float(values[0] + 1.96 * np.nanstd(values[1:], ddof=1))
    if reference < LEAST:
        result = untested(f"a classifier of real images hardly tells the classes of real val, AUROC {reference:.2f}")
        return result.model_copy(update={"auroc": value, "reference": float(reference)})
    found = value < 0.5 + KEPT * (reference - 0.5) and high < reference
    measured = f"a classifier of real images reaches AUROC {value:.2f} on them and {reference:.2f} on real val"
    if found:
        sentence = (
            f"The synthetic labels do not mean what the real ones do: {measured}. Check how labels were assigned, and "
            "whether the images show their class at all."
        )
    else:
        sentence = f"The synthetic labels mean what the real ones do: {measured}."
    return Labels(tested=True, auroc=value, reference=float(reference), found=found, sentence=sentence)


def untested(why: str) -> Labels:
    """The result where nothing could be measured."""
    return Labels(tested=False, auroc=None, reference=None, found=False, sentence=f"Labels were not tested: {why}.")


def random(control: Estimate) -> str | None:
    """A sentence where the control's AUROC cannot be told from chance: labels may be random, or invisible."""
    if control.low is None or control.low > 0.5:
        return None
    return (
        f"The real-only control was not shown to rank better than chance (AUROC {control.value:.2f}, 95 % "
        f"interval {control.low:.2f} to {control.high:.2f}): the labels of this dataset may be random, not "
        "visible in its images, or too few to learn from."
    )


def classifier(components: int) -> Pipeline:
    """Principal components of standardised features, then logistic regression with balanced classes."""
    reduce = PCA(components, svd_solver="randomized", random_state=0)
    return make_pipeline(
        StandardScaler(), reduce, StandardScaler(), LogisticRegression(C=0.1, max_iter=500, class_weight="balanced")
    )


def _least(samples: tuple[Sample, ...], c: int) -> int:
    return min(int((s.labels == c).sum()) for s in samples)


def _auroc(model: Pipeline, sample: Sample, classes: list[int], weights: np.ndarray | None = None) -> np.ndarray:
    return auroc(model.predict_proba(sample.features), np.searchsorted(classes, sample.labels), weights)
