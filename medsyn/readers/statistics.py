"""Intervals and measures of a reader study, each with its source.

**Accuracy against 50 %.** Cases are of different patients and are answered without being told the truth, so a reader's
right calls are counted as independent. The interval is the exact one of Clopper and Pearson (Biometrika 1934;26:404),
the test the exact binomial one: for studies of tens of cases, and for accuracies near 1, normal approximations are too
narrow. Half of the cases being real is fixed, so that the count is a sum of two binomials; its variance is at most that
of one (Hoeffding, Ann Math Stat 1956;27:713), so that both hold, and are a little wide, for a reader who prefers one of
the answers. Such a preference cannot move accuracy away from 50 %, because both kinds are equally many.

**Sensitivity and specificity** (synthetic called synthetic, real called real): Clopper and Pearson as well. **d′** is
their distance apart from any preference (Green and Swets 1966), with half a case added to every cell (Hautus, Behav Res
Methods 1995;27:46) and the variance of Gourevitch and Galanter (Psychometrika 1967;32:25).

**Difference of two shares** on different cases: Newcombe's hybrid score interval (Stat Med 1998;17:873, method 10).

**Several readers** read the same cases, so their answers may not be pooled as if they were new cases. The interval of
their mean is that of readers crossed with cases (Obuchowski and Rockette, Commun Stat Simul 1995;24:285; degrees of
freedom as Hillis, Stat Med 2007;26:596), see `medsyn.evaluate.statistics.estimate`. **Agreement** is Cohen's kappa of
two readers (Educ Psychol Meas 1960;20:37), Fleiss' of more (Psychol Bull 1971;76:378), its interval from draws of
cases with replacement.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import binom, binomtest, norm

from medsyn.evaluate import statistics
from medsyn.evaluate.results import Estimate
from medsyn.readers.results import Agreement, Share, Times

LEVEL = statistics.LEVEL
DRAWS = 2000
POWER = 0.8
CHANCE = 0.5


def share(right: np.ndarray) -> Share:
    """How many are true, with the interval of Clopper and Pearson; bool ``[n]``."""
    k, n = int(right.sum()), len(right)
    if n == 0:
        return Share(k=0, n=0, value=None, low=None, high=None)
    ends = binomtest(k, n).proportion_ci(LEVEL, method="exact")
    return Share(k=k, n=n, value=k / n, low=float(ends.low), high=float(ends.high))


def p_of_chance(k: int, n: int) -> float:
    """Exact binomial test of ``k`` of ``n`` against `CHANCE`, two-sided."""
    return float(binomtest(k, n, CHANCE).pvalue) if n else 1.0


def detectable(n: int) -> float | None:
    """The smallest accuracy that `POWER` of studies of ``n`` cases tell from `CHANCE`; None: no accuracy."""
    counts = np.arange(n + 1)
    above = counts[binom.sf(counts - 1, n, CHANCE) < (1 - LEVEL) / 2]  # where the exact interval begins above CHANCE
    steps = np.arange(CHANCE, 1.0005, 0.001)
    reached = steps[binom.sf(above[0] - 1, n, steps) >= POWER] if len(above) else steps[:0]
    return round(float(reached[0]), 3) if len(reached) else None


def d_prime(hits: Share, right_rejections: Share) -> tuple[Estimate, float]:
    """d′ with its interval, and the criterion, from sensitivity and specificity."""
    h = (hits.k + 0.5) / (hits.n + 1)
    f = (right_rejections.n - right_rejections.k + 0.5) / (right_rejections.n + 1)
    zh, zf = float(norm.ppf(h)), float(norm.ppf(f))
    variance = sum(
        p * (1 - p) / (n * norm.pdf(z) ** 2) for p, z, n in ((h, zh, hits.n + 1), (f, zf, right_rejections.n + 1))
    )
    se = float(np.sqrt(variance))
    half = float(norm.isf((1 - LEVEL) / 2)) * se
    value = zh - zf
    return Estimate(value=value, low=value - half, high=value + half, se=se), -(zh + zf) / 2


def difference(a: Share, b: Share) -> Estimate:
    """``a`` minus ``b``, each of at least one case, with Newcombe's interval."""
    p, q = a.k / a.n, b.k / b.n
    (al, ah), (bl, bh) = (_wilson(s) for s in (a, b))
    low = p - q - float(np.hypot(p - al, bh - q))
    high = p - q + float(np.hypot(ah - p, q - bl))
    return Estimate(value=p - q, low=low, high=high)


def _wilson(s: Share) -> tuple[float, float]:
    ends = binomtest(s.k, s.n).proportion_ci(LEVEL, method="wilson")
    return float(ends.low), float(ends.high)


def times(milliseconds: np.ndarray) -> Times | None:
    """Median and quartiles in seconds; None of no case."""
    if not len(milliseconds):
        return None
    low, middle, high = (float(v) / 1000 for v in np.percentile(milliseconds, [25, 50, 75]))
    return Times(median=middle, quartile_low=low, quartile_high=high)


def weights(strata: np.ndarray) -> np.ndarray:
    """Bootstrap draws of cases within strata ``[n]``: how often each counts, ``[DRAWS, n]``."""
    return statistics.bootstrap_weights(np.arange(len(strata)).astype(str), strata, DRAWS, 0)


def mean_of_readers(right: np.ndarray, strata: np.ndarray) -> Estimate:
    """Mean share over readers, within 0 and 1.

    Args:
        right: bool ``[readers, n]``.
        strata: Kind of each case ``[n]``, whose numbers are fixed by design.
    """
    drawn = weights(strata)
    per_draw = right @ drawn.T / drawn.sum(1)
    found = statistics.estimate(right.mean(1), per_draw, int(np.bincount(strata)[np.unique(strata)].min()))
    low, high = (min(1.0, max(0.0, v)) for v in (found.low, found.high) if v is not None)
    return found.model_copy(update={"low": low, "high": high, "p_value": None})


def agreement(answers: np.ndarray, strata: np.ndarray, categories: int) -> Agreement:
    """Kappa of all readers with its bootstrap interval.

    Args:
        answers: Category of each case by each reader, int ``[readers, n]``.
        strata: As in `mean_of_readers`.
        categories: How many there are.
    """
    table = np.stack([(answers == c).sum(0) for c in range(categories)], 1)
    readers = len(answers)
    agreeing = (table * (table - 1)).sum(1) / (readers * (readers - 1))
    value = float(kappa(answers, categories, np.ones((1, answers.shape[1])))[0])
    drawn = kappa(answers, categories, weights(strata))
    drawn = drawn[np.isfinite(drawn)]
    found = None
    if np.isfinite(value):
        low, high = (float(v) for v in np.percentile(drawn, [50 * (1 - LEVEL), 50 * (1 + LEVEL)]))
        found = Estimate(value=value, low=low, high=high)
    return Agreement(kappa=found, share=float(agreeing.mean()))


def kappa(answers: np.ndarray, categories: int, weights: np.ndarray) -> np.ndarray:
    """Cohen's kappa of two readers, Fleiss' of more, for every row of case weights; NaN where chance alone agrees.

    Args:
        answers: int ``[readers, n]``.
        categories: How many there are.
        weights: ``[draws, n]``.
    """
    given = np.stack([answers == c for c in range(categories)]).astype(float)  # [categories, readers, n]
    total, readers = weights.sum(1), len(answers)
    if readers == 2:
        observed = weights @ (answers[0] == answers[1]) / total
        each = np.einsum("crn,bn->bcr", given, weights) / total[:, None, None]
        chance = each.prod(2).sum(1)
    else:
        table = given.sum(1)
        pairs = (table * (table - 1)).sum(0) / (readers * (readers - 1))
        observed = weights @ pairs / total
        chance = ((weights @ table.T / (readers * total[:, None])) ** 2).sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(chance < 1 - 1e-12, (observed - chance) / (1 - chance), np.nan)
