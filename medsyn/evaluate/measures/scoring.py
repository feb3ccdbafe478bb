"""All measures of an arm on one split, of every seed, on the whole split and under bootstrap weights.

Definitions. With two classes, measures of one class are those of class 1; with more, the mean of each class against
the rest, over the classes that are present (macro average, unweighted).

- ``auroc``: Mann and Whitney's, ties count half. ``auprc``: average precision, not interpolated.
- ``sensitivity_at_specificity`` and its reverse: on the ROC curve of this very split, with straight lines between its
  points (as the area under it is taken), the best value where the curve is vertical. A property of the ranking: the
  threshold is *not* one that was chosen beforehand.
- ``balanced_accuracy``: mean sensitivity over the classes. ``ppv`` and ``npv``: by Bayes' theorem from sensitivity,
  specificity and the stated prevalence, or the split's own; as ``f1``, 0 where nothing was called so (scikit-learn's
  choice).
- ``brier``: mean squared error of the probability of class 1; with more classes summed over the classes (in [0, 2]).
- ``calibration_error``: of the probability of class 1 (with more classes: of the most probable class), in 10 bins of
  equal width: absolute difference of mean probability and share, weighed by the images in the bin (Guo et al. 2017).

Scores of models from different cross-validation folds are no common scale. Ranking measures are taken within folds
and averaged: AUROC by pairs of a positive and a negative, average precision and sensitivities by positives,
specificities by negatives. Decisions and probabilities are pooled.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from medsyn.errors import UsageError
from medsyn.evaluate import statistics
from medsyn.evaluate.measures.ranking import Ranked
from medsyn.evaluate.results import DECISIONS, FIXED, MEASURES, RANKING, CalibrationBin, Estimate

PER_CLASS = ("auroc", "auprc", "sensitivity", "specificity", "f1")
BINS = 10
CHUNK = 4_000_000
"""Weights looked at in one go: 32 MB as float64, a few such arrays at a time."""


@dataclass(frozen=True)
class Scores:
    """Measures of one arm on one split.

    Attributes:
        per_seed: measure -> values on the whole split ``[S]``.
        per_draw: measure -> values in its bootstrap draws ``[S, B]``.
        units: Subjects of the smallest class.
    """

    per_seed: dict[str, np.ndarray]
    per_draw: dict[str, np.ndarray]
    units: int

    def estimates(self) -> dict[str, Estimate]:
        """Every measure with its interval, cut to the values it can take; one that is undefined is left out."""
        found = {}
        for measure, values in self.per_seed.items():
            if np.isfinite(values).all():
                estimate = statistics.estimate(values, self.per_draw[measure], self.units)
                found[measure] = _possible(estimate, 2.0 if measure == "brier" else 1.0)
        return found

    def minus(self, other: Scores, measure: str) -> Estimate:
        """Paired difference, seed by seed and draw by draw."""
        found = statistics.estimate(*self.difference(other, measure), self.units)
        most = 2.0 if measure == "brier" else 1.0
        low, high = (None if v is None else min(most, max(-most, v)) for v in (found.low, found.high))
        return found.model_copy(update={"low": low, "high": high})

    def difference(self, other: Scores, measure: str) -> tuple[np.ndarray, np.ndarray]:
        """Paired differences ``[S]`` and ``[S, B]``, as the functions of `statistics` take them."""
        return (
            self.per_seed[measure] - other.per_seed[measure],
            self.per_draw[measure] - other.per_draw[measure],
        )


def _possible(estimate: Estimate, most: float) -> Estimate:
    low, high = (None if v is None else min(most, max(0.0, v)) for v in (estimate.low, estimate.high))
    return estimate.model_copy(update={"low": low, "high": high})


def score(
    probabilities: np.ndarray,
    decisions: np.ndarray | None,
    labels: np.ndarray,
    units: np.ndarray,
    weights: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    measures: Sequence[str] = MEASURES,
    specificity: float = 0.9,
    sensitivity: float = 0.9,
    prevalence: float | None = None,
) -> Scores:
    """Score the seeds of an arm.

    Args:
        probabilities: ``[S, n, K]``.
        decisions: Class indices ``[S, n]``; None where no measure of decisions is asked for.
        labels: Class indices ``[n]``.
        units: Subject of each image ``[n]``.
        weights: Bootstrap weights ``[B, n]``, of `statistics.bootstrap_weights`.
        groups: Cross-validation fold of each image ``[n]``.
        measures: Some of `results.MEASURES`.
        specificity: At which ``sensitivity_at_specificity`` is taken.
        sensitivity: At which ``specificity_at_sensitivity`` is taken.
        prevalence: Of class 1 for PPV and NPV; None: the split's own.

    Raises:
        UsageError: A prevalence with more than two classes, or not between 0 and 1.
        ValueError: No decisions, but a measure of them.
    """
    classes = probabilities.shape[2]
    if decisions is None:
        if set(measures) & set(DECISIONS):
            raise ValueError(f"no decisions for {', '.join(m for m in measures if m in DECISIONS)}")
        decisions = np.full(probabilities.shape[:2], -1)
    if prevalence is not None and (classes != 2 or not 0 < prevalence < 1):
        raise UsageError(
            f"a prevalence of {prevalence:g} with {classes} classes",
            where="--prevalence",
            mend="It must lie between 0 and 1, and is of the second of two classes.",
        )
    order = _fold_order(groups, len(labels))
    blocks = []
    for chunk in _chunks(weights):
        block: dict[str, np.ndarray] = {}
        ones = []
        for c in [1] if classes == 2 else range(classes):
            wanted = [m for m in measures if m not in _WHOLE]
            positive = labels == c
            ones.append(
                {
                    **_ranking(probabilities[:, :, c], positive, chunk, order, wanted, specificity, sensitivity),
                    **_decided(decisions == c, positive, chunk, wanted, prevalence),
                }
            )
        for measure in ones[0]:
            block[measure] = _mean([one[measure] for one in ones])
        for measure in measures:
            if measure in _WHOLE:
                block[measure] = _WHOLE[measure](probabilities, decisions, labels, chunk)
        blocks.append(block)
    return _join(blocks, measures, statistics.fewest_units(units, labels))


def per_class(
    probabilities: np.ndarray,
    decisions: np.ndarray,
    labels: np.ndarray,
    units: np.ndarray,
    weights: np.ndarray,
    *,
    groups: np.ndarray | None = None,
) -> list[Scores]:
    """`PER_CLASS` of each class against the rest, in the order of the classes; arguments as in `score`."""
    order = _fold_order(groups, len(labels))
    found = []
    for c in range(probabilities.shape[2]):
        positive, called = labels == c, decisions == c
        blocks = [
            {
                **_ranking(probabilities[:, :, c], positive, chunk, order, PER_CLASS, 0.9, 0.9),
                **_decided(called, positive, chunk, PER_CLASS, None),
            }
            for chunk in _chunks(weights)
        ]
        found.append(_join(blocks, PER_CLASS, statistics.fewest_units(units, positive.astype(int))))
    return found


def calibration(probabilities: np.ndarray, labels: np.ndarray) -> list[CalibrationBin]:
    """Predicted against observed, in `BINS` bins of equal width; empty bins are left out.

    Args:
        probabilities: ``[S, n, K]``; the predictions of all seeds are pooled, so ``n`` of a bin counts predictions.
        labels: ``[n]``.
    """
    predicted, right, place = (a.ravel() for a in _calibration_parts(probabilities, labels))
    count = np.bincount(place, minlength=BINS)
    sums = [np.bincount(place, weights=v, minlength=BINS) for v in (predicted, right)]
    return [
        CalibrationBin(predicted=float(sums[0][b] / n), observed=float(sums[1][b] / n), n=int(n))
        for b, n in enumerate(count)
        if n
    ]


def _chunks(weights: np.ndarray) -> Iterator[np.ndarray]:
    """The whole split first, then the draws, as many at a time as `CHUNK` allows."""
    draws, n = weights.shape
    yield np.ones((1, n))
    step = max(1, CHUNK // n)
    for start in range(0, draws, step):
        yield weights[start : start + step].astype(np.float64)


def _join(blocks: list[dict[str, np.ndarray]], measures: Sequence[str], units: int) -> Scores:
    table = {m: np.concatenate([block[m] for block in blocks], axis=1) for m in measures}
    return Scores({m: v[:, 0] for m, v in table.items()}, {m: v[:, 1:] for m, v in table.items()}, units)


def _mean(values: list[np.ndarray]) -> np.ndarray:
    """Over classes; one that is absent has NaN and is left out."""
    stacked = np.stack(values)
    known = np.isfinite(stacked)
    return _ratio(np.where(known, stacked, 0).sum(0), known.sum(0))


def _ratio(a: np.ndarray, b: np.ndarray, otherwise: float = np.nan) -> np.ndarray:
    return np.divide(a, b, out=np.full(np.broadcast(a, b).shape, float(otherwise)), where=b > 0)


# ---- ranking


def _fold_order(groups: np.ndarray | None, n: int) -> list[np.ndarray]:
    if groups is None:
        return [np.arange(n)]
    return [np.flatnonzero(groups == g) for g in np.unique(groups)]


def _ranking(
    scores: np.ndarray,
    positive: np.ndarray,
    weights: np.ndarray,
    folds: list[np.ndarray],
    measures: Sequence[str],
    specificity: float,
    sensitivity: float,
) -> dict[str, np.ndarray]:
    """Ranking measures ``[S, B]`` of one class, from its probabilities ``[S, n]``."""
    wanted = [m for m in measures if m in (*RANKING, *FIXED)]
    found: dict[str, list[np.ndarray]] = {m: [] for m in wanted}
    if not wanted:
        return {}
    for seed in scores:
        sums = {m: np.zeros(len(weights)) for m in wanted}
        totals = {m: np.zeros(len(weights)) for m in wanted}
        for fold in folds:
            ranked = Ranked.of(seed[fold], positive[fold], weights[:, fold])
            up, down = ranked.positives, ranked.negatives
            both = (up > 0) & (down > 0)
            for m in wanted:
                if m == "auroc":
                    value, total = ranked.wins(), up * down
                elif m == "auprc":
                    value, total = ranked.precision_sum(), up
                elif m == "sensitivity_at_specificity":
                    value, total = ranked.sensitivity_at(specificity) * up, up
                else:
                    value, total = ranked.specificity_at(sensitivity) * down, down
                sums[m] += np.where(both, value, 0)
                totals[m] += np.where(both, total, 0)
        for m in wanted:
            found[m].append(_ratio(sums[m], totals[m]))
    return {m: np.stack(v) for m, v in found.items()}


# ---- decisions


def _decided(
    called: np.ndarray,
    positive: np.ndarray,
    weights: np.ndarray,
    measures: Sequence[str],
    prevalence: float | None,
) -> dict[str, np.ndarray]:
    """Measures ``[S, B]`` of calling one class, bool ``[S, n]``."""
    wanted = [m for m in measures if m in ("sensitivity", "specificity", "f1", "ppv", "npv")]
    if not wanted:
        return {}
    true = (weights @ (called & positive).T.astype(float)).T
    false = (weights @ (called & ~positive).T.astype(float)).T
    positives, negatives = weights @ positive.astype(float), weights @ (~positive).astype(float)
    hit, miss = _ratio(true, positives), _ratio(false, negatives)
    share = positives / (positives + negatives) if prevalence is None else prevalence
    table = {
        "sensitivity": hit,
        "specificity": 1 - miss,
        "f1": _ratio(2 * true, true + false + positives, 0),
        "ppv": _ratio(hit * share, hit * share + miss * (1 - share), 0),
        "npv": _ratio((1 - miss) * (1 - share), (1 - miss) * (1 - share) + (1 - hit) * share, 0),
    }
    known = (positives > 0) & (negatives > 0)
    return {m: np.where(known, table[m], np.nan) for m in wanted}


def _accuracy(probabilities: np.ndarray, decisions: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return (weights @ (decisions == labels).T.astype(float)).T / weights.sum(1)


def _balanced_accuracy(
    probabilities: np.ndarray, decisions: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    right = (decisions == labels).astype(float)
    rates = []
    for c in np.unique(labels):
        here = weights[:, labels == c]
        rates.append(_ratio((here @ right[:, labels == c].T).T, here.sum(1)))
    return _mean(rates)


# ---- probabilities


def _brier(probabilities: np.ndarray, decisions: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    classes = probabilities.shape[2]
    if classes == 2:
        error = (probabilities[:, :, 1] - (labels == 1)) ** 2
    else:
        error = ((probabilities - np.eye(classes)[labels]) ** 2).sum(2)
    return (weights @ error.T).T / weights.sum(1)


def _calibration_parts(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probability, whether it came true, and its bin, ``[S, n]`` each."""
    if probabilities.shape[2] == 2:
        predicted = probabilities[:, :, 1]
        right = np.broadcast_to(labels == 1, predicted.shape)
    else:
        predicted, right = probabilities.max(2), probabilities.argmax(2) == labels
    return predicted, right.astype(float), np.minimum((predicted * BINS).astype(int), BINS - 1)


def _calibration_error(
    probabilities: np.ndarray, decisions: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    predicted, right, place = _calibration_parts(probabilities, labels)
    found = []
    for gap, bins in zip(predicted - right, place, strict=True):
        sums = sum(np.abs(weights[:, bins == b] @ gap[bins == b]) for b in np.unique(bins))
        found.append(sums / weights.sum(1))
    return np.stack(found)


_WHOLE = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "brier": _brier,
    "calibration_error": _calibration_error,
}
"""Measures of all classes at once."""
