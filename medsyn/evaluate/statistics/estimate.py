"""Intervals for arms and for their paired differences.

Two things would come out differently if the study were repeated: the training (initial weights, batch order,
augmentation, which synthetic images are drawn, a retrained generator), which a *seed* stands for, and the *test
subjects*. They are crossed random factors: every seed is measured on the same subjects. The value of seed s on the
test subjects T is taken to be

    value_s(T) = mean + seed_s + subjects(T) + interaction_s(T),

so that the mean over S seeds has variance

    (var_seed + var_interaction) / S + var_subjects.

The first term is the variance of the S observed values over S. The second is the covariance of two seeds' values when
the subjects are redrawn, estimated as the mean covariance between seeds over the bootstrap draws; simply adding the
bootstrap variance of the mean would count the interaction twice. This is the model by which readers are compared on
common cases, seeds in the place of readers (Obuchowski and Rockette 1995). Quantiles are Student's with Welch and
Satterthwaite's degrees of freedom,

    df = se^4 / ((s^2 / S)^2 / (S - 1) + cov^2 (1 / (U - 1) + 1 / (B - 1))),

the first term as in Hillis 2007, the second because a covariance learnt from U subjects and B draws is not known
either. U counts the subjects of the smallest class: with 5 of one class and 50 of another, the 5 decide how well the
variance is known. A difference is formed seed by seed and draw by draw before anything is averaged: what both arms
share cancels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from medsyn.evaluate.results import Estimate

LEVEL = 0.95
NOTHING = 1e-12
"""Variances below this are rounding."""


@dataclass(frozen=True)
class Components:
    """Where the variance of a mean over seeds comes from.

    Attributes:
        between: Variance of the seeds' values on the same subjects (seed and interaction), of one seed.
        interaction: The part of ``between`` that more subjects would make smaller.
        subjects: Variance that all seeds share, by the choice of test subjects.
        seeds: S.
        units: Subjects of the smallest class.
        draws: B.
    """

    between: float
    interaction: float
    subjects: float
    seeds: int
    units: int
    draws: int

    @property
    def variance(self) -> float:
        """Of the mean over seeds."""
        return self.between / self.seeds + self.subjects

    @property
    def df(self) -> float:
        """Welch and Satterthwaite's degrees of freedom of `variance`."""
        known = 1 / max(self.units - 1, 1) + 1 / max(self.draws - 1, 1)
        spread = self.subjects**2 * known + (self.between / self.seeds) ** 2 / max(self.seeds - 1, 1)
        return self.variance**2 / spread if spread > 0 else float("inf")


def components(per_seed: np.ndarray, per_draw: np.ndarray, units: int) -> Components:
    """Split the variance; arguments as in `estimate`."""
    seeds = len(per_seed)
    per_draw = per_draw[:, np.isfinite(per_draw).all(0)]
    draws = per_draw.shape[1]
    if draws < 2:
        between = float(per_seed.var(ddof=1)) if seeds > 1 else 0.0
        return Components(between, 0.0, 0.0, seeds, units, draws)
    of_mean = float(per_draw.mean(0).var(ddof=1))
    if seeds == 1:
        return Components(0.0, 0.0, of_mean, 1, units, draws)
    alone = float(per_draw.var(axis=1, ddof=1).mean())
    shared = max((seeds * of_mean - alone) / (seeds - 1), 0.0)
    return Components(float(per_seed.var(ddof=1)), max(alone - shared, 0.0), shared, seeds, units, draws)


def estimate(per_seed: np.ndarray, per_draw: np.ndarray, units: int) -> Estimate:
    """Mean over seeds with its interval.

    Where nothing varies at all (two arms that both rank every image rightly, or the same predictions twice) the
    bootstrap sees no uncertainty, but unseen subjects could still differ: the interval then is that of a share of
    which 0 of U subjects showed anything (Clopper and Pearson 1934), ``1 - 0.025^(1/U)`` to either side.

    Args:
        per_seed: Value of each seed on the whole split ``[S]``, or its paired difference.
        per_draw: The same in each bootstrap draw ``[S, B]``; draws with NaN are left out.
        units: Subjects of the smallest class of the split.
    """
    value = float(per_seed.mean())
    parts = components(per_seed, per_draw, units)
    tail = (1 - LEVEL) / 2
    if parts.variance > NOTHING:
        se, df = float(np.sqrt(parts.variance)), parts.df
        half, p = float(student.isf(tail, df)) * se, float(2 * student.sf(abs(value) / se, df))
    else:
        half, df = 1 - tail ** (1 / units), None
        se = half / float(norm.isf(tail))
        p = float(2 * norm.sf(abs(value) / se))
    return Estimate(
        value=value,
        low=value - half,
        high=value + half,
        per_seed=[float(v) for v in per_seed],
        se=se,
        df=df,
        p_value=p,
    )
