"""Intervals and measures against other libraries, closed forms and simulated readers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, norm
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import aggregate_raters, fleiss_kappa
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from medsyn.readers import statistics
from medsyn.readers.scoring import decide


def of(k: int, n: int) -> np.ndarray:
    return np.arange(n) < k


@pytest.mark.parametrize(("k", "n"), [(0, 8), (5, 8), (8, 8), (41, 60), (700, 1000)])
def test_shares_have_the_exact_interval(k: int, n: int) -> None:
    found = statistics.share(of(k, n))
    assert (found.k, found.n, found.value) == (k, n, k / n)
    assert (found.low, found.high) == pytest.approx(proportion_confint(k, n, method="beta"), abs=1e-9, nan_ok=True)


def test_a_share_of_nothing_has_no_value() -> None:
    assert statistics.share(of(0, 0)).value is None


@pytest.mark.parametrize("preference", [0.5, 0.8, 0.95])
def test_who_guesses_is_seldom_called_able_whatever_is_preferred(preference: float) -> None:
    """Half real, half synthetic: the exact distribution of right calls, by both kinds."""
    half = 30
    real, synthetic = (binom.pmf(np.arange(half + 1), half, p) for p in (preference, 1 - preference))
    right = np.convolve(real, synthetic)
    shares = [statistics.share(of(k, 2 * half)) for k in range(2 * half + 1)]
    wrong = np.array([decide(s.low, s.high) != "not told apart" for s in shares])
    assert right @ wrong <= 0.05
    assert right @ np.arange(2 * half + 1) == pytest.approx(half)


@pytest.mark.parametrize(("k", "n", "p"), [(15, 20, 0.041389), (10, 20, 1.0), (0, 0, 1.0)])
def test_the_test_of_chance_is_the_exact_one(k: int, n: int, p: float) -> None:
    assert statistics.p_of_chance(k, n) == pytest.approx(p, abs=1e-6)


@pytest.mark.parametrize("n", [20, 60, 200])
def test_the_detectable_accuracy_is_found_in_four_of_five_studies(n: int) -> None:
    accuracy = statistics.detectable(n)
    assert accuracy is not None
    above = np.array([statistics.share(of(k, n)).low > 0.5 for k in range(n + 1)])
    assert binom.pmf(np.arange(n + 1), n, accuracy) @ above == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize(("n", "percent"), [(20, 80), (60, 69), (200, 60)])
def test_the_sizes_that_the_docs_name(n: int, percent: int) -> None:
    assert round(100 * statistics.detectable(n)) == percent


def test_four_cases_can_show_nothing() -> None:
    assert statistics.detectable(4) is None


def test_d_prime_is_the_distance_of_two_normals() -> None:
    n, wanted, criterion = 200_000, 1.3, 0.25
    hits = statistics.share(of(round(n * norm.sf(criterion - wanted / 2)), n))
    right = statistics.share(of(round(n * norm.cdf(criterion + wanted / 2)), n))
    found, leaning = statistics.d_prime(hits, right)
    assert found.value == pytest.approx(wanted, abs=1e-3)
    assert leaning == pytest.approx(criterion, abs=1e-3)


def test_d_prime_covers_what_simulated_readers_have() -> None:
    rng = np.random.default_rng(0)
    n, wanted = 50, 1.0
    shares = [[statistics.share(of(k, n)) for k in rng.binomial(n, norm.cdf(wanted / 2), 2000)] for _ in range(2)]
    found = [statistics.d_prime(hits, right)[0] for hits, right in zip(*shares, strict=True)]
    covered = np.mean([e.low <= wanted <= e.high for e in found])
    assert 0.94 <= covered <= 0.98


def test_all_right_has_a_finite_d_prime() -> None:
    found, leaning = statistics.d_prime(statistics.share(of(10, 10)), statistics.share(of(10, 10)))
    assert 2 < found.value < 5
    assert leaning == pytest.approx(0)


@pytest.mark.parametrize(("a", "b"), [((8, 10), (10, 10)), ((15, 30), (15, 30)), ((0, 12), (12, 12))])
def test_differences_have_newcombes_interval(a: tuple[int, int], b: tuple[int, int]) -> None:
    found = statistics.difference(statistics.share(of(*a)), statistics.share(of(*b)))
    assert found.value == pytest.approx(a[0] / a[1] - b[0] / b[1])
    assert (found.low, found.high) == pytest.approx(confint_proportions_2indep(*a, *b, method="newcomb"), abs=1e-9)


def test_kappa_of_two_is_cohens_and_of_more_fleiss() -> None:
    rng = np.random.default_rng(1)
    answers = rng.integers(0, 3, (4, 50))
    answers[1, :30] = answers[0, :30]
    ones = np.ones((1, 50))
    assert statistics.kappa(answers[:2], 3, ones)[0] == pytest.approx(cohen_kappa_score(*answers[:2]), abs=1e-12)
    table, _ = aggregate_raters(answers.T, n_cat=3)
    assert statistics.kappa(answers, 3, ones)[0] == pytest.approx(fleiss_kappa(table), abs=1e-12)
    # Weights repeat cases.
    times = rng.integers(1, 4, 50)
    again = np.repeat(answers, times, axis=1)
    assert statistics.kappa(answers[:2], 3, times[None])[0] == pytest.approx(cohen_kappa_score(*again[:2]), abs=1e-12)
    table, _ = aggregate_raters(again.T, n_cat=3)
    assert statistics.kappa(answers, 3, times[None])[0] == pytest.approx(fleiss_kappa(table), abs=1e-12)


def test_readers_who_all_say_the_same_have_no_kappa() -> None:
    found = statistics.agreement(np.zeros((2, 12), int), np.arange(12) % 2, 2)
    assert found.kappa is None
    assert found.share == 1


@pytest.mark.parametrize(("able", "hard"), [(0.0, 0.0), (0.5, 1.0)])
def test_the_mean_of_readers_covers_other_readers_and_other_cases(able: float, hard: float) -> None:
    """Readers of other ability, cases of other difficulty that all of them share: pooled answers would be too sure."""
    rng = np.random.default_rng(2)
    readers, n, strata = 5, 60, np.arange(60) % 2
    draws = norm.cdf(rng.normal(0.8, np.hypot(able, hard), 200_000)).mean()
    covered, pooled = [], []
    for _ in range(300):
        chance = norm.cdf(0.8 + rng.normal(0, able, (readers, 1)) + rng.normal(0, hard, n))
        right = rng.random((readers, n)) < chance
        found = statistics.mean_of_readers(right, strata)
        covered.append(found.low <= draws <= found.high)
        naive = statistics.share(right.ravel())
        pooled.append(naive.low <= draws <= naive.high)
    assert np.mean(covered) >= 0.92
    if hard:
        assert np.mean(pooled) < 0.9


def test_times_are_in_seconds() -> None:
    found = statistics.times(np.array([1000, 2000, 9000]))
    assert found is not None
    assert (found.median, found.quartile_low, found.quartile_high) == (2.0, 1.5, 5.5)
    assert statistics.times(np.array([])) is None
