"""Intervals for arms and for their paired differences.

Two things would come out differently if the study were repeated: the training (initial weights, batch order,
augmentation, which synthetic images are drawn), which a *seed* stands for, and the *test subjects*. Images of one
subject are no independent observations, so subjects, not images, are resampled. With S seeds that share the test
subjects, the variance of a mean over seeds is estimated by

    se^2 = s_seed^2 / S + var_boot,

``s_seed`` the standard deviation of the per-seed values on the whole test split and ``var_boot`` the variance of the
mean over seeds when subjects are redrawn. Quantiles are Student's with Welch and Satterthwaite's degrees of freedom,

    df = se^4 / ((s_seed^2 / S)^2 / (S - 1) + var_boot^2 / (U - 1)),    U subjects,

because with 3 seeds a normal quantile would promise more than 3 numbers can hold. U counts the subjects of the
smallest class: with 5 of one class and 50 of another, the 5 decide how well the variance is known. A difference is
formed seed by seed and draw by draw before anything is averaged: what both arms share cancels.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import t as student

from medsyn.compute import numpy_rng
from medsyn.evaluate.results import Estimate

LEVEL = 0.95


def bootstrap_weights(units: np.ndarray, labels: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """How often each image counts when subjects are drawn with replacement, within strata of equal labels.

    Strata (the set of labels that a subject has) keep a rare class in every draw. Of a stratum with n subjects n - 1
    are drawn and weighed n / (n - 1) (Rao and Wu 1988): n draws would understate its variance by that factor. A
    subject alone in its stratum counts once in every draw.

    Args:
        units: Subject of each image ``[n]``.
        labels: Class indices ``[n]``.
        draws: Bootstrap draws B.
        seed: Of the draws.

    Returns:
        float64 ``[B, n]``.
    """
    names, place = np.unique(units, return_inverse=True)
    kinds: dict[frozenset[int], list[int]] = {}
    for unit in range(len(names)):
        kinds.setdefault(frozenset(labels[place == unit].tolist()), []).append(unit)
    rng = numpy_rng("bootstrap", seed, len(names))
    counts = np.zeros((draws, len(names)))
    for kind in sorted(kinds, key=sorted):
        members = np.array(kinds[kind])
        n = len(members)
        drawn = rng.multinomial(n - 1, np.full(n, 1 / n), size=draws)
        counts[:, members] = drawn * (n / (n - 1)) if n > 1 else 1
    return counts[:, place]


def fewest_units(units: np.ndarray, labels: np.ndarray) -> int:
    """Subjects of the class that has the fewest, from units ``[n]`` and labels ``[n]``."""
    return min(len(np.unique(units[labels == c])) for c in np.unique(labels))


def estimate(per_seed: np.ndarray, per_draw: np.ndarray, units: int) -> Estimate:
    """Mean over seeds with its interval.

    Args:
        per_seed: Value of each seed on the whole split ``[S]``, or its paired difference.
        per_draw: The same in each bootstrap draw ``[S, B]``; draws with NaN are left out.
        units: Subjects of the smallest class of the split.
    """
    value, seeds = float(per_seed.mean()), len(per_seed)
    means = per_draw.mean(0)
    means = means[np.isfinite(means)]
    from_seeds = float(per_seed.var(ddof=1)) / seeds if seeds > 1 else 0.0
    from_units = float(means.var(ddof=1)) if len(means) > 1 else 0.0
    half = 0.0
    if from_seeds + from_units > 0:
        spread = from_units**2 / max(units - 1, 1) + (from_seeds**2 / (seeds - 1) if seeds > 1 else 0.0)
        df = (from_seeds + from_units) ** 2 / spread
        half = float(student.ppf((1 + LEVEL) / 2, df)) * float(np.sqrt(from_seeds + from_units))
    return Estimate(value=value, low=value - half, high=value + half, per_seed=[float(v) for v in per_seed])
