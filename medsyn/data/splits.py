"""Who goes to train, tune, val and test: drawn once, by subject, and never again."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from medsyn.data.schema import SPLITS, Split

FRACTIONS: dict[Split, float] = {"train": 0.6, "tune": 0.1, "val": 0.15, "test": 0.15}
TUNE_OF_TRAIN = 0.1
"""Share of a given official training split that becomes tune."""

_FIRST_FILLED: tuple[Split, ...] = ("train", "test", "val", "tune")
ORIGINS = ("drawn", "official", "earlier")
_DRAWN, _OFFICIAL, _EARLIER = range(3)
FOLDS = 5
BATCH = 65536
FEW_UNITS = 10


@dataclass(frozen=True)
class Units:
    """Subjects that must stay together, ``n`` times.

    Attributes:
        rank: Of `ranks`, ``S16`` ``[n]``.
        stratum: Number of the label that they are stratified by, int32 ``[n]``.
        given: Place in `SPLITS` of an earlier assignment, or of an official split other than train; int8 ``[n]``, -1
            where there is none.
        official: Whether they come with an official split, bool ``[n]``.
        fold: Of an earlier assignment, int8 ``[n]``, -1 where there is none.
    """

    rank: np.ndarray
    stratum: np.ndarray
    given: np.ndarray
    official: np.ndarray
    fold: np.ndarray


@dataclass(frozen=True)
class Drawn:
    """Where units go: places in `SPLITS` and in `ORIGINS`, and folds; int8 ``[n]`` each."""

    split: np.ndarray
    origin: np.ndarray
    fold: np.ndarray


def join(edges: np.ndarray, n: int) -> np.ndarray:
    """Connected components of a graph.

    Args:
        edges: Pairs of nodes, int ``[m, 2]``.
        n: Nodes.

    Returns:
        Number of the component of each node, int32 ``[n]``.
    """
    graph = coo_array((np.ones(len(edges), np.int8), (edges[:, 0], edges[:, 1])), shape=(n, n))
    return connected_components(graph, directed=False)[1]


def ranks(key: bytes, names: pa.Array, units: np.ndarray) -> np.ndarray:
    """Places of units in the draw: keyed hashes, so that workers agree without talking.

    Args:
        key: The project key.
        names: All names.
        units: Places of the units among them, int ``[n]``.

    Returns:
        ``S16`` ``[n]``.
    """
    found = np.empty(len(units), "S16")
    for start in range(0, len(units), BATCH):
        called = names.take(pa.array(units[start : start + BATCH])).to_pylist()
        found[start : start + BATCH] = [
            hmac.digest(key, b"split\x1f" + name.encode(), "sha256")[:16] for name in called
        ]
    return found


def draw(units: Units) -> Drawn:
    """Assign every unit.

    Given splits win; the others fill, in the order of their rank, what is missing of `FRACTIONS` within their stratum.
    Where units are few, train is filled first, then test, val, tune. Folds likewise: whoever has one keeps it, the
    others get, in the order of their rank, the least filled one of their stratum.

    Args:
        units: All units, old and new.
    """
    count = len(units.rank)
    drawn = Drawn(*(np.full(count, -1, np.int8) for _ in range(3)))
    order = np.lexsort((units.rank, units.stratum))
    for ranked in np.split(order, np.flatnonzero(np.diff(units.stratum[order])) + 1):
        given, official = units.given[ranked], units.official[ranked]
        old = given >= 0
        drawn.split[ranked[old]] = given[old]
        drawn.origin[ranked] = np.where(official, _OFFICIAL, np.where(old, _EARLIER, _DRAWN))
        from_official = ranked[~old & official]
        tune = round(TUNE_OF_TRAIN * len(from_official)) or (1 if len(from_official) > 1 else 0)
        drawn.split[from_official[:tune]] = SPLITS.index("tune")
        drawn.split[from_official[tune:]] = SPLITS.index("train")
        free = ranked[~old & ~official]
        taken = np.bincount(given[old], minlength=len(SPLITS))
        slots = [
            np.full(max(0, wanted - taken[SPLITS.index(split)]), SPLITS.index(split), np.int8)
            for split, wanted in targets(len(free) + int(old.sum())).items()
        ]
        slots.append(np.full(len(free), SPLITS.index("train"), np.int8))
        drawn.split[free] = np.concatenate(slots)[: len(free)]
        drawn.fold[ranked] = _folds(units.fold[ranked])
    return drawn


def _folds(had: np.ndarray) -> np.ndarray:
    """Folds of the units of a stratum in the order of their rank; ``had``: those that they have, -1 for none."""
    fold = had.copy()
    filled = np.bincount(had[had >= 0], minlength=FOLDS).tolist()
    for i in np.flatnonzero(had < 0).tolist():
        fold[i] = least = filled.index(min(filled))
        filled[least] += 1
    return fold


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
