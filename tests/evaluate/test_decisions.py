"""Ranking and decisions against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from medsyn.evaluate.measures import decisions, ranking


@pytest.fixture(params=[2, 3])
def case(request):
    rng = np.random.default_rng(request.param)
    labels = rng.integers(0, request.param, 90)
    p = rng.dirichlet(np.ones(request.param), 90).round(1) + 0.05  # rounding makes ties
    p[np.arange(90), labels] += 0.2
    return p / p.sum(1, keepdims=True), labels, rng.multinomial(90, np.full(90, 1 / 90), size=4)


def test_auroc(case):
    p, labels, weights = case
    repeated = [np.repeat(np.arange(90), w) for w in weights]
    if p.shape[1] == 2:
        expected = [metrics.roc_auc_score(labels[i], p[i, 1]) for i in repeated]
    else:
        expected = [metrics.roc_auc_score(labels[i], p[i], multi_class="ovr") for i in repeated]
    assert ranking.auroc(p, labels, weights) == pytest.approx(expected)
    assert ranking.auroc(p, labels).shape == (1,)


def test_decisions(case):
    p, labels, weights = case
    d = decisions.decide(p)
    assert np.array_equal(d, p.argmax(1))
    repeated = [np.repeat(np.arange(90), w) for w in weights]
    assert decisions.balanced_accuracy(d, labels, weights) == pytest.approx(
        [metrics.balanced_accuracy_score(labels[i], d[i]) for i in repeated]
    )
    assert decisions.accuracy(d, labels, weights) == pytest.approx([np.mean(labels[i] == d[i]) for i in repeated])


def test_a_draw_without_a_class_is_nan():
    assert np.isnan(ranking.auroc(np.array([[0.2, 0.8], [0.6, 0.4]]), np.array([1, 0]), np.array([[2.0, 0.0]]))[0])


def test_offsets_are_the_best_on_val(case):
    p, labels, _ = case
    shifted = p * np.array([8.0, *[1.0] * (p.shape[1] - 1)])  # a prior that is wrong by a factor of 8
    shifted /= shifted.sum(1, keepdims=True)
    plain, moved = decisions.decide(shifted), decisions.decide(shifted, decisions.choose_offsets(shifted, labels))
    chosen = decisions.balanced_accuracy(moved, labels)[0]
    assert chosen > decisions.balanced_accuracy(plain, labels)[0] + 0.05
    if p.shape[1] == 2:
        thresholds = np.unique(shifted[:, 1])
        best = max(metrics.balanced_accuracy_score(labels, shifted[:, 1] > t) for t in thresholds)
        assert chosen == pytest.approx(best)
