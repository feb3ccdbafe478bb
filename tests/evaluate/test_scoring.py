"""Every measure against scikit-learn, on the whole split and in every bootstrap draw."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from medsyn.errors import UsageError
from medsyn.evaluate import statistics
from medsyn.evaluate.measures import scoring
from medsyn.evaluate.measures.ranking import Ranked
from medsyn.evaluate.results import MEASURES, RANKING

N, SEEDS, DRAWS = 90, 2, 4


@pytest.fixture(params=[2, 3])
def case(request):
    """Probabilities with ties, decisions, labels, units, and weights that are whole numbers."""
    rng = np.random.default_rng(request.param)
    labels = rng.integers(0, request.param, N)
    p = rng.dirichlet(np.ones(request.param), (SEEDS, N)).round(1) + 0.05
    p[:, np.arange(N), labels] += 0.2
    p /= p.sum(2, keepdims=True)
    decisions = np.where(rng.random((SEEDS, N)) < 0.2, rng.integers(0, request.param, (SEEDS, N)), p.argmax(2))
    return p, decisions, labels, np.arange(N), rng.multinomial(N, np.full(N, 1 / N), size=DRAWS).astype(float)


def curve_height(labels, score, at, reverse=False):
    false, true, _ = metrics.roc_curve(labels, score, drop_intermediate=False)
    x, y = (1 - true, 1 - false) if reverse else (false, true)
    x, y = (x[::-1], y[::-1]) if reverse else (x, y)
    # Of the points at one x the last, between two of them a straight line.
    last = np.flatnonzero(np.r_[x[1:] != x[:-1], True])
    before = np.flatnonzero(x <= at + 1e-12)[-1]
    if before == len(x) - 1 or (before in last and abs(x[before] - at) < 1e-12):
        return y[before]
    return np.interp(at, x[before : before + 2], y[before : before + 2])


def reference(measure, p, d, y):
    """By scikit-learn, from images that are repeated as often as they were drawn."""
    k = p.shape[1]
    two = k == 2
    classes = [1] if two else list(range(k))
    rates = []
    for c in classes:
        table = metrics.confusion_matrix(y == c, d == c, labels=[False, True])
        (tn, fp), (fn, tp) = table
        rates.append((tp / (tp + fn), tn / (tn + fp), tp / (tp + fp), tn / (tn + fn)))
    if measure in ("sensitivity", "specificity", "ppv", "npv"):
        return np.mean([r[("sensitivity", "specificity", "ppv", "npv").index(measure)] for r in rates])
    return {
        "auroc": lambda: np.mean([metrics.roc_auc_score(y == c, p[:, c]) for c in classes]),
        "auprc": lambda: np.mean([metrics.average_precision_score(y == c, p[:, c]) for c in classes]),
        "accuracy": lambda: metrics.accuracy_score(y, d),
        "balanced_accuracy": lambda: metrics.balanced_accuracy_score(y, d),
        "f1": lambda: metrics.f1_score(y, d) if two else metrics.f1_score(y, d, average="macro"),
        "sensitivity_at_specificity": lambda: np.mean([curve_height(y == c, p[:, c], 0.1) for c in classes]),
        "specificity_at_sensitivity": lambda: np.mean([curve_height(y == c, p[:, c], 0.1, True) for c in classes]),
        "brier": lambda: (
            metrics.brier_score_loss(y, p[:, 1]) if two else metrics.brier_score_loss(y, p, scale_by_half=False)
        ),
        "calibration_error": lambda: slow_calibration_error(p, y),
    }[measure]()


def slow_calibration_error(p, y):
    predicted, right = (p[:, 1], y == 1) if p.shape[1] == 2 else (p.max(1), p.argmax(1) == y)
    total = 0.0
    for b in range(10):
        inside = (predicted >= b / 10) & (predicted < (b + 1) / 10) | (b == 9) & (predicted == 1)
        if inside.any():
            total += inside.mean() * abs(predicted[inside].mean() - right[inside].mean())
    return total


@pytest.mark.parametrize("measure", MEASURES)
def test_against_scikit_learn(case, measure):
    p, decisions, labels, units, weights = case
    found = scoring.score(p, decisions, labels, units, weights, measures=(measure,))
    for s in range(SEEDS):
        assert found.per_seed[measure][s] == pytest.approx(reference(measure, p[s], decisions[s], labels))
        for b, w in enumerate(weights.astype(int)):
            i = np.repeat(np.arange(N), w)
            expected = reference(measure, p[s][i], decisions[s][i], labels[i])
            assert found.per_draw[measure][s, b] == pytest.approx(expected), (s, b)


def test_chunks_change_nothing(case, monkeypatch):
    whole = scoring.score(*case)
    monkeypatch.setattr(scoring, "CHUNK", 3 * N)
    parts = scoring.score(*case)
    for m in MEASURES:
        assert np.allclose(whole.per_draw[m], parts.per_draw[m], rtol=1e-12)
        assert np.array_equal(whole.per_seed[m], parts.per_seed[m])


def test_weights_of_unequal_size_are_weights(case):
    p, d, labels, units, _ = case
    w = np.random.default_rng(0).random((1, N))
    found = scoring.score(p, d, labels, units, w, measures=RANKING)
    for m, function in (("auroc", metrics.roc_auc_score), ("auprc", metrics.average_precision_score)):
        classes = [1] if p.shape[2] == 2 else range(p.shape[2])
        expected = np.mean([function(labels == c, p[0][:, c], sample_weight=w[0]) for c in classes])
        assert found.per_draw[m][0, 0] == pytest.approx(expected)


def test_scores_of_different_folds_are_not_ranked_against_each_other():
    rng = np.random.default_rng(0)
    labels = np.tile([0, 1], 40)
    folds = np.repeat([0, 1], [50, 30])
    good = 1 / (1 + np.exp(-(2.0 * labels + rng.normal(size=80))))
    shifted = np.where(folds == 1, good * 0.01, good)  # the second model is as good, on another scale
    p = np.stack([1 - shifted, shifted], 1)[None]
    weights = np.ones((3, 80))
    found = scoring.score(p, p.argmax(2), labels, np.arange(80), weights, groups=folds)
    pairs = [25 * 25, 15 * 15]
    areas = [metrics.roc_auc_score(labels[folds == f], shifted[folds == f]) for f in (0, 1)]
    assert found.per_seed["auroc"][0] == pytest.approx(np.average(areas, weights=pairs))
    precision = [metrics.average_precision_score(labels[folds == f], shifted[folds == f]) for f in (0, 1)]
    assert found.per_seed["auprc"][0] == pytest.approx(np.average(precision, weights=[25, 15]))
    assert found.per_seed["auroc"][0] > metrics.roc_auc_score(labels, shifted) + 0.05
    pooled = scoring.score(p, p.argmax(2), labels, np.arange(80), weights)
    for m in ("accuracy", "sensitivity", "brier", "calibration_error"):
        assert found.per_seed[m] == pytest.approx(pooled.per_seed[m])


def test_stated_prevalence():
    p = np.array([[[0.2, 0.8], [0.7, 0.3], [0.4, 0.6], [0.9, 0.1], [0.8, 0.2]]])
    labels, d = np.array([1, 1, 0, 0, 0]), np.array([[1, 0, 1, 0, 0]])
    weights, units = np.ones((2, 5)), np.arange(5)
    found = scoring.score(p, d, labels, units, weights, prevalence=0.1)
    sensitivity, specificity = 1 / 2, 2 / 3
    ppv = sensitivity * 0.1 / (sensitivity * 0.1 + (1 - specificity) * 0.9)
    npv = specificity * 0.9 / (specificity * 0.9 + (1 - sensitivity) * 0.1)
    assert found.per_seed["ppv"][0] == pytest.approx(ppv)
    assert found.per_seed["npv"][0] == pytest.approx(npv)
    three = np.full((1, 3, 3), 1 / 3)
    with pytest.raises(UsageError, match="--prevalence"):
        scoring.score(three, three.argmax(2), np.arange(3), np.arange(3), np.ones((1, 3)), prevalence=0.1)


def test_nothing_called_positive_is_0_as_in_scikit_learn():
    p = np.tile([0.9, 0.1], (1, 6, 1))
    labels = np.array([0, 1] * 3)
    found = scoring.score(p, np.zeros((1, 6), int), labels, np.arange(6), np.ones((2, 6)))
    assert found.per_seed["ppv"][0] == metrics.precision_score(labels, np.zeros(6), zero_division=0) == 0
    assert found.per_seed["f1"][0] == 0
    assert found.per_seed["auroc"][0] == 0.5
    assert set(found.estimates()) == set(MEASURES)


def test_an_absent_class_is_left_out():
    rng = np.random.default_rng(0)
    p, labels = rng.dirichlet([1, 1, 1], (2, 30)), np.arange(30) % 2
    found = scoring.score(p, p.argmax(2), labels, np.arange(30), np.ones((3, 30)))
    expected = np.mean([metrics.roc_auc_score(labels == c, p[0][:, c]) for c in (0, 1)])
    assert found.per_seed["auroc"][0] == pytest.approx(expected)
    two = scoring.score(p[:, :, :2], p.argmax(2), np.zeros(30, int), np.arange(30), np.ones((3, 30)))
    assert "auroc" not in two.estimates()
    assert "accuracy" in two.estimates()


def test_measures_of_decisions_need_decisions(case):
    p, _, labels, units, weights = case
    assert scoring.score(p, None, labels, units, weights, measures=("auroc", "brier")).per_seed["auroc"].shape == (
        SEEDS,
    )
    with pytest.raises(ValueError, match="no decisions for f1"):
        scoring.score(p, None, labels, units, weights, measures=("auroc", "f1"))


def test_per_class(case):
    p, d, labels, units, weights = case
    found = scoring.per_class(p, d, labels, units, weights)
    assert len(found) == p.shape[2]
    for c, scores in enumerate(found):
        assert tuple(scores.per_seed) == scoring.PER_CLASS
        assert scores.per_seed["auroc"][1] == pytest.approx(metrics.roc_auc_score(labels == c, p[1][:, c]))
        assert scores.per_seed["f1"][1] == pytest.approx(metrics.f1_score(labels == c, d[1] == c))
        assert scores.units == min((labels == c).sum(), (labels != c).sum())


def test_calibration_bins():
    p = np.array([[0.05, 0.05, 0.95, 1.0], [0.05, 0.15, 0.95, 1.0]])
    bins = scoring.calibration(np.stack([1 - p, p], 2), np.array([0, 1, 1, 1]))
    assert [(b.n, b.observed) for b in bins] == [(3, pytest.approx(1 / 3)), (1, 1.0), (4, 1.0)]
    assert bins[2].predicted == pytest.approx(0.975)


def test_estimates_stay_where_the_measure_can_lie_and_differences_are_paired():
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    p = np.clip(labels + rng.normal(0, 0.35, (5, 40)), 0, 1)
    p = np.stack([1 - p, p], 2)
    weights = statistics.bootstrap_weights(np.arange(40), labels, 100, 0)
    scores = scoring.score(p, p.argmax(2), labels, np.arange(40), weights)
    for estimate in scores.estimates().values():
        assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
    other = scoring.Scores(
        {m: v - 0.1 for m, v in scores.per_seed.items()}, {m: v - 0.1 for m, v in scores.per_draw.items()}, scores.units
    )
    difference = scores.minus(other, "auroc")
    assert difference.value == pytest.approx(0.1)
    assert difference.per_seed == pytest.approx([0.1] * 5)


def test_the_curve_is_read_with_straight_lines_and_at_its_highest():
    ranked = Ranked.of(np.array([4.0, 3, 3, 2, 1]), np.array([True, True, False, True, False]), np.ones((1, 5)))
    # Points (false, true): (0, 0), (0, 1/3), (1/2, 2/3), (1/2, 1), (1, 1).
    assert ranked.sensitivity_at(1.0)[0] == pytest.approx(1 / 3)
    assert ranked.sensitivity_at(0.75)[0] == pytest.approx(0.5)
    assert ranked.sensitivity_at(0.5)[0] == pytest.approx(1)
    assert ranked.specificity_at(0.5)[0] == pytest.approx(0.75)
    assert ranked.specificity_at(1.0)[0] == pytest.approx(0.5)
