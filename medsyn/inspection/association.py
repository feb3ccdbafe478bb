"""How strongly two groupings of images go together, and whether that can be chance: the subject is the unit."""

from __future__ import annotations

import numpy as np

DRAWS = 999
UNITS_PER_CLASS = 1000
"""The permutation takes at most so many subjects a class, drawn at random: more would only take longer."""


def cramers_v(table: np.ndarray, n: int) -> float:
    """Bias-corrected Cramér's V (Bergsma 2013, J. Korean Stat. Soc. 42:323, eq. 6 to 8).

    Args:
        table: Counts ``[K, L]``.
        n: Independent observations behind them: subjects, not images.

    Returns:
        0 (none) to 1; 0 where a side has one level only.
    """
    table = table[table.sum(1) > 0][:, table.sum(0) > 0]
    r, c = table.shape
    if r < 2 or c < 2 or n < 2:
        return 0.0
    excess = max(0.0, phi2(table) - (r - 1) * (c - 1) / (n - 1))
    smaller = min(r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1)) - 1
    return float(min(1.0, np.sqrt(excess / smaller))) if smaller > 0 else 0.0


def phi2(table: np.ndarray) -> float:
    """Pearson's chi-square over the total; 0 where a side has one level only."""
    expected = np.outer(table.sum(1), table.sum(0))
    filled = expected > 0
    return max(0.0, float((table[filled] ** 2 / expected[filled]).sum()) - 1)


def permutation_p(classes: np.ndarray, levels: np.ndarray, units: np.ndarray, seed: int, draws: int = DRAWS) -> float:
    """Chance of a table at least as uneven if the levels had nothing to do with the classes.

    Each draw gives every subject the levels of another one, as shares; its number of images and its classes stay.
    The images of a subject so count as one observation, however many there are.

    Args:
        classes: Class index of each image, int ``[n]``, 0 and up.
        levels: Level index of each image, int ``[n]``, 0 and up.
        units: Subject index of each image, int ``[n]``.
        seed: Of the draws.
        draws: How many; the least p is 1 / (draws + 1).
    """
    rng = np.random.default_rng(seed)
    kept = _some_units(classes, units, rng)
    classes, levels = classes[kept], levels[kept]
    units = np.unique(units[kept], return_inverse=True)[1]
    n, k, m = units.max(initial=-1) + 1, classes.max(initial=0) + 1, levels.max(initial=0) + 1
    of_class = np.bincount(units * k + classes, minlength=n * k).reshape(n, k)
    of_level = np.bincount(units * m + levels, minlength=n * m).reshape(n, m).astype(float)
    of_level /= of_level.sum(1, keepdims=True)
    observed = phi2(np.bincount(classes * m + levels, minlength=k * m).reshape(k, m).astype(float))
    # Which image of a subject of two classes gets which level is chance, too.
    mixed = (of_class > 0).sum(1) > 1
    plain, several = of_class[~mixed].T.astype(float), of_class[mixed]
    as_uneven = 0
    for _ in range(draws):
        other = of_level[rng.permutation(n)]
        table = plain @ other[~mixed]
        if len(several):
            table = table + rng.multinomial(several, other[mixed][:, None, :]).sum(0)
        as_uneven += phi2(table) >= observed * (1 - 1e-9)
    return (1 + as_uneven) / (1 + draws)


def _some_units(classes: np.ndarray, units: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Images of at most `UNITS_PER_CLASS` subjects of each class; a subject comes with all its images."""
    chosen = np.zeros(units.max(initial=0) + 1, bool)
    for label in np.unique(classes):
        here = np.unique(units[classes == label])
        chosen[here if len(here) <= UNITS_PER_CLASS else rng.choice(here, UNITS_PER_CLASS, replace=False)] = True
    return chosen[units]
