"""The intervals, tests and numbers needed hold what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import nct, norm
from scipy.stats import t as student
from statsmodels.stats.multitest import multipletests

from medsyn.evaluate import statistics, verdict
from medsyn.evaluate.measures import scoring
from medsyn.evaluate.results import Estimate

SIMULATIONS = 200


def simulate(rng, effect, subjects=(30, 30), per_subject=2, seeds=5, between_seeds=0.25):
    """Two arms on clustered test images: separations 1.2 and 1.2 + effect, each seed with its own luck."""
    units = np.repeat(np.arange(sum(subjects)).astype(str), per_subject)
    labels = np.repeat(np.repeat([0, 1], subjects), per_subject)
    shared = np.repeat(rng.normal(size=sum(subjects)), per_subject) * np.sqrt(0.4)  # the subject, seen by both arms
    weights = statistics.bootstrap_weights(units, labels, 100, int(rng.integers(1 << 30)))
    arms = []
    for separation in (1.2, 1.2 + effect):
        luck = rng.normal(0, between_seeds, seeds)
        # What a subject is to one training and not to the next: the interaction.
        mood = np.repeat(rng.normal(size=(seeds, sum(subjects))), per_subject, axis=1) * np.sqrt(0.3)
        noise = rng.normal(size=(seeds, len(labels))) * np.sqrt(0.3)
        p = norm.cdf((separation + luck)[:, None] * labels + shared + mood + noise - 0.6)
        arms.append(scoring.score(np.stack([1 - p, p], 2), None, labels, units, weights, measures=("auroc",)))
    return arms[1].minus(arms[0], "auroc")


def expected(separation, between_seeds=0.25):
    """AUROC of unit-variance normal scores with a normal separation, averaged over its law."""
    return float(norm.cdf(separation / np.sqrt(2 + between_seeds**2)))


@pytest.mark.parametrize(("effect", "subjects"), [(0.0, (30, 30)), (0.5, (30, 30)), (0.0, (55, 5))])
def test_coverage(effect, subjects):
    rng = np.random.default_rng(11)
    truth = expected(1.2 + effect) - expected(1.2)
    found = [simulate(rng, effect, subjects) for _ in range(SIMULATIONS)]
    margin = 3 * np.sqrt(0.95 * 0.05 / SIMULATIONS)
    assert np.mean([e.low <= truth <= e.high for e in found]) >= 0.95 - margin
    if min(subjects) > 5:  # Neither are the intervals wide for nothing: the estimated variance is that of the values.
        assert np.mean([e.se**2 for e in found]) == pytest.approx(np.var([e.value for e in found]), rel=0.35)
    decisions = [verdict.decide(e, 0.01) for e in found]
    if effect == 0:
        assert np.mean([d in ("helps", "hurts") for d in decisions]) <= 0.05 + margin
    else:
        assert decisions.count("helps") > 20 * max(decisions.count("hurts"), 1)


def crossed(rng, seed, interaction, subjects, seeds=5, units=80, draws=4000):
    """Values of a mean over units with known components, and the bootstrap that belongs to it."""
    scale = np.sqrt(units)
    x = rng.normal(0, np.sqrt(subjects) * scale, units) + rng.normal(0, np.sqrt(interaction) * scale, (seeds, units))
    x += rng.normal(0, np.sqrt(seed), (seeds, 1))
    w = rng.multinomial(units - 1, np.full(units, 1 / units), draws) / (units - 1)
    return x.mean(1), x @ w.T


def test_the_variance_is_that_of_the_model():
    rng = np.random.default_rng(0)
    parts = [statistics.components(*crossed(rng, 0.5, 2.0, 1.0, draws=150), units=80) for _ in range(400)]
    # (seed + interaction) / S + subjects; the plain sum with the bootstrap of the mean would give 1.9.
    assert np.mean([p.variance for p in parts]) == pytest.approx((0.5 + 2.0) / 5 + 1.0, rel=0.08)
    assert np.mean([p.interaction for p in parts]) == pytest.approx(2.0, rel=0.1)
    assert np.mean([p.between for p in parts]) == pytest.approx(2.5, rel=0.1)


def test_the_interval_is_the_documented_formula():
    per_seed, per_draw = crossed(np.random.default_rng(1), 0.5, 1.0, 2.0, draws=500)
    e = statistics.estimate(per_seed, per_draw, units=40)
    covariance = np.cov(per_draw)
    a, b = per_seed.var(ddof=1) / 5, (covariance.sum() - np.trace(covariance)) / 20
    df = (a + b) ** 2 / (a**2 / 4 + b**2 * (1 / 39 + 1 / 499))
    assert e.value == pytest.approx(per_seed.mean())
    assert (e.se, e.df) == (pytest.approx(np.sqrt(a + b)), pytest.approx(df))
    assert e.high - e.value == pytest.approx(student.ppf(0.975, df) * e.se) == e.value - e.low
    assert e.p_value == pytest.approx(2 * student.sf(abs(e.value) / e.se, df))
    assert e.per_seed == per_seed.tolist()


def test_seeds_without_a_common_part_are_a_plain_t_test():
    rng = np.random.default_rng(3)
    per_seed, noise = rng.normal(0.1, 0.05, 6), rng.normal(size=(6, 300))
    e = statistics.estimate(per_seed, noise - noise.mean(0), units=50)  # draws that cancel in the mean
    interval = student.interval(0.95, 5, per_seed.mean(), per_seed.std(ddof=1) / np.sqrt(6))
    assert (e.low, e.high) == pytest.approx(interval)


def test_draws_that_are_undefined_are_left_out():
    per_seed, per_draw = crossed(np.random.default_rng(1), 0.5, 1.0, 2.0, draws=300)
    holed = np.insert(per_draw, [5, 100], np.nan, axis=1)
    holed[1:, 5] = 0.0
    assert statistics.estimate(per_seed, holed, 40) == statistics.estimate(per_seed, per_draw, 40)


@pytest.mark.parametrize("units", [5, 60, 3000])
def test_nothing_varies_is_not_certainty(units):
    e = statistics.estimate(np.zeros(5), np.zeros((5, 100)), units)
    # Clopper and Pearson's upper end for 0 of n, two-sided.
    assert (1 - e.high) ** units == pytest.approx(0.025)
    assert e.low == -e.high
    assert (e.p_value, e.df) == (1.0, None)
    assert verdict.decide(e, 0.01) == ("equivalent" if units == 3000 else "no evidence")


# ---- bootstrap


def test_bootstrap_draws_whole_subjects_and_keeps_every_class():
    units, labels = np.array(list("aabbbcdd")), np.array([0, 0, 1, 1, 1, 0, 1, 1])
    weights = statistics.bootstrap_weights(units, labels, 50, 0)
    for unit in "abcd":
        assert (np.ptp(weights[:, units == unit], axis=1) == 0).all()
    assert (weights[:, labels == 0].sum(1) > 0).all()
    assert (weights[:, labels == 1].sum(1) > 0).all()
    assert np.array_equal(weights, statistics.bootstrap_weights(units, labels, 50, 0))
    assert not np.array_equal(weights, statistics.bootstrap_weights(units, labels, 50, 1))


def test_subjects_with_images_of_two_classes_are_a_stratum_of_their_own():
    units, labels = np.array(list("aabbccdd")), np.array([0, 1, 0, 1, 0, 0, 0, 0])
    weights = statistics.bootstrap_weights(units, labels, 50, 0)
    assert weights[:, :4].sum(1) == pytest.approx(4)
    assert weights[:, 4:].sum(1) == pytest.approx(4)


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


# ---- power


def test_detectable_is_found_in_four_of_five():
    e = Estimate(value=0.0, low=-1, high=1, se=0.02, df=7.0)
    limit = student.isf(0.025, 7.0)
    assert nct.sf(limit, 7.0, statistics.detectable(e) / 0.02) == pytest.approx(0.80, abs=0.01)


def test_needed_numbers_make_the_margin_detectable_and_one_less_does_not():
    now = crossed(np.random.default_rng(5), 0.02, 0.5, 1.0)
    parts = statistics.components(*now, units=80)
    margin = 1.2
    n = statistics.needed_subjects(*now, 80, margin)
    assert n is not None
    assert n > 80

    def at(units):
        seed = max(parts.between - parts.interaction, 0)
        a, b = (seed + parts.interaction * 80 / units) / 5, parts.subjects * 80 / units
        df = (a + b) ** 2 / (a**2 / 4 + b**2 * (1 / (units - 1) + 1 / 3999))
        return statistics.detectable(Estimate(value=0, low=0, high=0, se=np.sqrt(a + b), df=df))

    assert at(n) <= margin < at(n - 1)


def test_luck_of_the_trainings_is_not_mended_by_subjects_nor_the_reverse():
    lucky = crossed(np.random.default_rng(5), 4.0, 0.01, 0.01)
    assert statistics.needed_subjects(*lucky, 80, 0.5) is None
    assert 5 < statistics.needed_seeds(*lucky, 80, 0.5) < 1000
    few = crossed(np.random.default_rng(5), 0.01, 0.01, 4.0)
    assert statistics.needed_seeds(*few, 80, 0.5) is None
    assert 80 < statistics.needed_subjects(*few, 80, 0.5) < 10_000
    assert statistics.needed_subjects(np.zeros(5), np.zeros((5, 50)), 80, 0.5) is None


# ---- Holm


def test_holm():
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])  # by hand
    p = np.random.default_rng(0).random(40) ** 3
    assert statistics.holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    assert statistics.holm([]) == []


# ---- DeLong


def slow_delong(a, b, labels):
    """By its definition: the kernel of every pair, variances of its row and column means."""
    kernels = []
    for score in (a, b):
        gap = score[labels == 1][:, None] - score[labels == 0][None]
        kernels.append((gap > 0) + 0.5 * (gap == 0))
    k = kernels[0] - kernels[1]
    return k.mean(), k.mean(1).var(ddof=1) / k.shape[0] + k.mean(0).var(ddof=1) / k.shape[1]


@pytest.mark.parametrize("digits", [1, 8])
def test_delong_is_its_definition(digits):
    rng = np.random.default_rng(digits)
    labels = (rng.random(120) < 0.3).astype(int)
    shared = rng.normal(size=120)
    a, b = ((labels * s + shared + rng.normal(size=120)).round(digits) for s in (1.5, 0.8))
    difference, variance, p = statistics.delong(a, b, labels)
    assert (difference, variance) == pytest.approx(slow_delong(a, b, labels))
    assert p == pytest.approx(2 * norm.sf(abs(difference) / np.sqrt(variance)))
    clustered = statistics.delong(a, b, labels, np.arange(120))
    assert clustered == pytest.approx((difference, variance, p))
    assert statistics.delong(b, a, labels)[0] == -difference


def test_delong_agrees_with_a_published_value():
    # Ratings of 109 CT images (Hanley and McNeil, Radiology 1982; 143: 29-36): AUROC 0.8932, DeLong's standard error
    # 0.0307 as Stata's manual gives it. A second score that is constant has AUROC 0.5 and no variance.
    normal, abnormal = [33, 6, 6, 11, 2], [3, 2, 2, 11, 33]
    ratings = np.concatenate([np.repeat(np.arange(5.0), counts) for counts in (normal, abnormal)])
    labels = np.repeat([0, 1], [58, 51])
    difference, variance, _ = statistics.delong(ratings, np.zeros(109), labels)
    assert difference + 0.5 == pytest.approx(0.8932, abs=5e-5)
    assert np.sqrt(variance) == pytest.approx(0.0307, abs=5e-5)


@pytest.mark.parametrize("mixed", [False, True])
def test_delong_with_clusters_agrees_with_a_bootstrap_of_subjects(mixed):
    rng = np.random.default_rng(0)
    subjects, per_subject = 150, 4
    units = np.repeat(np.arange(subjects), per_subject)
    labels = np.tile([0, 0, 1, 1], subjects) if mixed else np.repeat(np.arange(subjects) % 2, per_subject)
    of_arm = [np.repeat(rng.normal(size=subjects), per_subject) for _ in range(2)]
    a, b = (labels * 1.0 + own + rng.normal(size=len(labels)) for own in of_arm)
    difference, variance, _ = statistics.delong(a, b, labels, units)
    weights = statistics.bootstrap_weights(units, labels, 2000, 0)
    p = np.stack([norm.cdf(a), norm.cdf(b)])
    scores = scoring.score(np.stack([1 - p, p], 2), None, labels, units, weights, measures=("auroc",))
    draws = scores.per_draw["auroc"][0] - scores.per_draw["auroc"][1]
    assert difference == pytest.approx(np.subtract(*scores.per_seed["auroc"]))
    assert variance == pytest.approx(draws.var(ddof=1), rel=0.12)
    if not mixed:
        assert variance > 1.5 * statistics.delong(a, b, labels)[1]


def test_delong_of_equal_scores():
    score, labels = np.arange(20.0), np.arange(20) % 2
    assert statistics.delong(score, score, labels) == (0.0, 0.0, 1.0)


def test_the_smallest_class_is_counted_in_subjects():
    units = np.repeat([f"subject{i}" for i in range(60)], 2)
    assert statistics.fewest_units(units, np.repeat([0] * 55 + [1] * 5, 2)) == 5
