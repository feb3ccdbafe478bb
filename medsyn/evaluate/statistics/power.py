"""How small a difference a comparison finds, and what it would take to find a smaller one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.stats import t as student

from medsyn.evaluate.results import Estimate
from medsyn.evaluate.statistics.estimate import LEVEL, NOTHING, Components, components

POWER = 0.80
MOST = 10_000_000
"""Larger numbers are no advice."""


def detectable(estimate: Estimate) -> float:
    """True difference that 80 % of repetitions would tell from 0, two-sided at 5 %.

    ``se (t_0.975 + t_0.8)`` with the estimate's own degrees of freedom, which must have been filled by `estimate`.
    """
    assert estimate.se is not None
    return estimate.se * _quantiles(float("inf") if estimate.df is None else estimate.df)


def needed_subjects(per_seed: np.ndarray, per_draw: np.ndarray, units: int, margin: float) -> int | None:
    """Test subjects of the smallest class that would make a difference of ``margin`` detectable, with as many seeds.

    What the subjects and their interaction with the seeds contribute falls with their number; what the seeds
    contribute does not.

    Args:
        per_seed: Paired difference of each seed ``[S]``.
        per_draw: In each bootstrap draw ``[S, B]``.
        units: Subjects of the smallest class now.
        margin: Difference to be found with 80 % power.

    Returns:
        The number; None where the variance between seeds alone forbids it (then more seeds are needed), or where
        nothing varied that could be projected.
    """
    now = components(per_seed, per_draw, units)
    seed = max(now.between - now.interaction, 0.0)

    def with_subjects(n: int) -> Components:
        scale = units / n
        between = seed + min(now.interaction, now.between) * scale
        return replace(now, between=between, subjects=now.subjects * scale, units=n)

    return _least(with_subjects, margin) if now.variance > NOTHING else None


def needed_seeds(per_seed: np.ndarray, per_draw: np.ndarray, units: int, margin: float) -> int | None:
    """Seeds that would make a difference of ``margin`` detectable on the same test subjects.

    Arguments as in `needed_subjects`; None where the subjects alone forbid it (then more of them are needed).
    """
    now = components(per_seed, per_draw, units)
    return _least(lambda n: replace(now, seeds=n), margin) if now.variance > NOTHING else None


def _quantiles(df: float) -> float:
    return float(student.ppf((1 + LEVEL) / 2, df) + student.ppf(POWER, df))


def _least(at: Callable[[int], Components], margin: float) -> int | None:
    def found(n: int) -> bool:
        parts = at(n)
        return float(np.sqrt(parts.variance)) * _quantiles(parts.df) <= margin

    high = 2
    while not found(high):
        high *= 2
        if high > MOST:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if found(middle) else (middle, high)
    return high
