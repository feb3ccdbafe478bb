"""The intervals hold what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from scipy.stats import t as student

from medsyn.evaluate import comparison, statistics, verdict
from medsyn.evaluate.inputs import Images

SIMULATIONS = 300


def simulate(rng, effect, subjects=(30, 30), per_subject=2, seeds=3, between_seeds=0.25):
    """Two arms on clustered test images: separations 1.2 and 1.2 + effect, each seed with its own luck."""
    units = np.repeat(np.arange(sum(subjects)).astype(str), per_subject)
    labels = np.repeat(np.repeat([0, 1], subjects), per_subject)
    shared = np.repeat(rng.normal(size=sum(subjects)), per_subject) * np.sqrt(0.5)  # the subject, seen by both arms
    arms = []
    for separation in (1.2, 1.2 + effect):
        luck = rng.normal(0, between_seeds, seeds)
        noise = rng.normal(size=(seeds, len(labels))) * np.sqrt(0.5)
        score = (separation + luck)[:, None] * labels + shared + noise
        p = norm.cdf(score - 0.6)
        arms.append(np.stack([1 - p, p], 2))
    images = Images(np.empty((len(labels), 0)), labels, units, np.arange(len(labels)))
    weights = statistics.bootstrap_weights(units, labels, 200, int(rng.integers(1 << 30)))
    a, b = (comparison.score(p, [None] * seeds, images, weights) for p in arms)
    return b.minus(a, "auroc")


def expected(separation, between_seeds=0.25):
    """AUROC of unit-variance normal scores with a normal separation, averaged over its law."""
    nodes, weight = np.polynomial.hermite_e.hermegauss(40)
    return float(weight @ norm.cdf((separation + between_seeds * nodes) / np.sqrt(2)) / weight.sum())


@pytest.mark.parametrize("subjects", [(30, 30), (55, 5)])
@pytest.mark.parametrize("effect", [0.0, 0.5])
def test_coverage(effect, subjects):
    rng = np.random.default_rng(11)
    truth = expected(1.2 + effect) - expected(1.2)
    found = [simulate(rng, effect, subjects) for _ in range(SIMULATIONS)]
    covered = np.mean([e.low <= truth <= e.high for e in found])
    margin = 3 * np.sqrt(0.95 * 0.05 / SIMULATIONS)
    assert covered >= 0.95 - margin
    decisions = [verdict.decide(e) for e in found]
    if effect == 0:
        assert np.mean([d != "no evidence" for d in decisions]) <= 0.05 + margin
    elif min(subjects) > 5:
        assert decisions.count("helps") > 20 * max(decisions.count("hurts"), 1)


def test_the_interval_is_the_documented_formula():
    rng = np.random.default_rng(0)
    per_seed, per_draw = np.array([0.80, 0.84, 0.79]), rng.normal(0.81, 0.02, (3, 500))
    e = statistics.estimate(per_seed, per_draw, units=40)
    a, b = per_seed.var(ddof=1) / 3, per_draw.mean(0).var(ddof=1)
    df = (a + b) ** 2 / (a**2 / 2 + b**2 / 39)
    assert e.value == pytest.approx(0.81)
    assert e.high - e.value == pytest.approx(student.ppf(0.975, df) * np.sqrt(a + b))
    assert e.per_seed == per_seed.tolist()


def test_bootstrap_draws_whole_subjects_and_keeps_every_class():
    units, labels = np.array(list("aabbbcdd")), np.array([0, 0, 1, 1, 1, 0, 1, 1])
    weights = statistics.bootstrap_weights(units, labels, 50, 0)
    for unit in "abcd":
        assert (np.ptp(weights[:, units == unit], axis=1) == 0).all()
    assert (weights[:, labels == 0].sum(1) > 0).all()
    assert (weights[:, labels == 1].sum(1) > 0).all()
    assert np.array_equal(weights, statistics.bootstrap_weights(units, labels, 50, 0))


def test_small_strata_are_not_understated():
    # The variance of a mean over n drawn subjects is s^2 / n; plain resampling gives (n - 1) / n of it.
    values = np.array([0.0, 1.0, 5.0, 2.0, 2.0, 9.0])
    units, labels = np.array(list("abcdef")), np.array([0, 0, 0, 1, 1, 1])
    weights = statistics.bootstrap_weights(units, labels, 20_000, 0)
    assert weights[:, :3].sum(1) == pytest.approx(3)
    for part in (slice(0, 3), slice(3, 6)):
        means = weights[:, part] @ values[part] / 3
        assert means.var() == pytest.approx(values[part].var(ddof=1) / 3, rel=0.05)
    alone = statistics.bootstrap_weights(units, np.array([0, 1, 1, 1, 1, 1]), 50, 0)
    assert (alone[:, 0] == 1).all()


def test_the_smallest_class_sets_the_degrees_of_freedom():
    units = np.repeat([f"subject{i}" for i in range(60)], 2)
    labels = np.repeat([0] * 55 + [1] * 5, 2)
    images = Images(np.empty((120, 0)), labels, units, np.arange(120))
    p = np.random.default_rng(0).dirichlet([1, 1], (3, 120))
    assert comparison.score(p, [None] * 3, images, np.ones((4, 120))).units == 5
