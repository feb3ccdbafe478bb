"""Who goes to train, tune, val and test: drawn once, by subject, and never again."""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from medsyn.data.schema import Split

FRACTIONS: dict[Split, float] = {"train": 0.6, "tune": 0.1, "val": 0.15, "test": 0.15}
TUNE_OF_TRAIN = 0.1
"""Share of a given official training split that becomes tune."""

PRECEDENCE: dict[str, int] = {"test": 3, "val": 2, "tune": 1, "train": 0}
"""Of identical images across splits the highest keeps its copy."""

_FIRST_FILLED: tuple[Split, ...] = ("train", "test", "val", "tune")
FOLDS = 5
FEW_UNITS = 10


@dataclass(frozen=True)
class Unit:
    """Subjects that must stay together, with the label they are stratified by and a split that is given."""

    key: str
    stratum: str
    given: str | None = None  # an earlier assignment, or an official split other than train
    official_train: bool = False


def join(left: pd.Series, right: pd.Series) -> pd.Series:
    """Connected components of the graph with edges ``left[i]`` - ``right[i]``.

    Args:
        left: Names, str ``[m]``.
        right: Names, str ``[m]``.

    Returns:
        Component number, int ``[n]``, indexed by name.
    """
    codes, nodes = pd.factorize(pd.concat([left, right], ignore_index=True))
    a, b = codes[: len(left)], codes[len(left) :]
    graph = coo_array((np.ones(len(a), np.int8), (a, b)), shape=(len(nodes), len(nodes)))
    return pd.Series(connected_components(graph, directed=False)[1], index=nodes)


def rank(key: bytes, unit: str) -> bytes:
    """The unit's place in the draw: a keyed hash, so that workers agree without talking."""
    return hmac.new(key, b"split\x1f" + unit.encode(), hashlib.sha256).digest()


def draw(units: Sequence[Unit], key: bytes) -> dict[str, tuple[str, str, int]]:
    """Assign every unit.

    Args:
        units: All units, old and new.
        key: The project key.

    Returns:
        unit key -> (split, origin, fold). Given splits win; the others fill, in the order of their rank, what is
        missing of `FRACTIONS` within their stratum. Where units are few, train is filled first, then test, val, tune.
    """
    strata: dict[str, list[Unit]] = defaultdict(list)
    for unit in units:
        strata[unit.stratum].append(unit)
    result: dict[str, tuple[str, str, int]] = {}
    for stratum in sorted(strata):
        ranked = sorted(strata[stratum], key=lambda u: rank(key, u.key))
        free_of_choice = [u for u in ranked if u.given is None and not u.official_train]
        from_official = [u for u in ranked if u.given is None and u.official_train]
        taken = Counter(u.given for u in ranked if u.given)
        fold = {u.key: i % FOLDS for i, u in enumerate(ranked)}
        for u in ranked:
            if u.given:
                result[u.key] = (u.given, "official" if u.official_train else "earlier", fold[u.key])
        tune = round(TUNE_OF_TRAIN * len(from_official)) or (1 if len(from_official) > 1 else 0)
        for i, u in enumerate(from_official):
            result[u.key] = ("tune" if i < tune else "train", "official", fold[u.key])
        total = len(free_of_choice) + sum(taken.values())
        slots: list[Split] = []
        for split, target in targets(total).items():
            slots += [split] * max(0, target - taken[split])
        slots += ["train"] * (len(free_of_choice) - len(slots))
        for u, split in zip(free_of_choice, slots, strict=False):
            result[u.key] = (split, "drawn", fold[u.key])
    return result


def targets(n: int) -> dict[Split, int]:
    """How many of ``n`` units each split should hold: at least one each, then by largest remainder of `FRACTIONS`."""
    counts: dict[Split, int] = dict.fromkeys(_FIRST_FILLED, 0)
    for split in _FIRST_FILLED[:n]:
        counts[split] = 1
    while sum(counts.values()) < n:
        counts[max(_FIRST_FILLED, key=lambda s: FRACTIONS[s] * n - counts[s])] += 1
    return counts


def caveats(units_per_split: Mapping[str, Mapping[Split, int]]) -> list[str]:
    """Sentences about classes with too few subjects for a split to carry weight.

    Args:
        units_per_split: class -> split -> number of units.
    """
    few = {
        split: ", ".join(
            f"{label} {counts.get(split, 0)}"
            for label, counts in sorted(units_per_split.items())
            if counts.get(split, 0) < FEW_UNITS
        )
        for split in ("train", "val", "test")
    }
    told = "; ".join(f"{split} ({which})" for split, which in few.items() if which)
    if not told:
        return []
    return [
        f"fewer than {FEW_UNITS} subjects of a class in {told}: intervals will be wide; "
        "grouped folds are stored in splits.parquet for cross-validation"
    ]
