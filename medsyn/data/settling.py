"""Which images stay, which belong together, and where each goes: settled on numbers, so that millions fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pyarrow as pa

from medsyn.data import splits as splitting
from medsyn.data.earlier import Earlier
from medsyn.data.names import NOBODY, places
from medsyn.data.schema import SPLITS


@dataclass
class Images:
    """What is settled on of ``n`` images, in some 40 bytes each.

    Attributes:
        source: Ledger numbers, int64 ``[n]``.
        frame: Numbers within their files, int32 ``[n]``; -1 where a file holds one image.
        subject: Places in ``subjects``, int32 ``[n]``.
        subjects: Of `medsyn.data.names.marks`, ascending, ``S16`` ``[k]``.
        names: Names of ``subjects``.
        pixels: Numbers of the stored pixels, int32 ``[n]``: equal for identical ones.
        pictures: Marks of those numbers, ascending.
        label: Places in ``labels``, int32 ``[n]``; -1 for none.
        labels: Names of classes.
        official: Places in `SPLITS`, int8 ``[n]``; -1 for none.
        featureless: Pictures that hold too little to tell two patients apart, such as an empty slice, bool ``[n]``.
            Being identical, these tie nobody.
        also: Other marks of subjects: place in ``subjects`` of each, int32 ``[m]``, and these marks, ``S16`` ``[m]``.
        studies: Likewise, the studies of subjects.
    """

    source: np.ndarray
    frame: np.ndarray
    subject: np.ndarray
    subjects: np.ndarray
    names: pa.Array
    pixels: np.ndarray
    pictures: np.ndarray
    label: np.ndarray
    labels: Sequence[str]
    official: np.ndarray
    featureless: np.ndarray
    also: tuple[np.ndarray, np.ndarray]
    studies: tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, slots=True)
class Dropped:
    """An image that was read but not kept; reported to the ledger."""

    source: int
    frame: int | None
    reason: str  # duplicate, label_conflict, bridges_splits
    detail: str


@dataclass(frozen=True)
class Settled:
    """What became of ``n`` images.

    Attributes:
        kept: Places of the images that stay, int64, ascending.
        unit: Unit of each subject, called as one of them: places in `Images.subjects`, int32 ``[k]``.
        split: Of each unit, places in `SPLITS`, int8 ``[k]``; -1 where none of its images stays, and for subjects whose
            name is no unit's.
        origin: Likewise, places in `medsyn.data.splits.ORIGINS`.
        fold: Likewise.
        dropped: The other images, with the reason.
    """

    kept: np.ndarray
    unit: np.ndarray
    split: np.ndarray
    origin: np.ndarray
    fold: np.ndarray
    dropped: list[Dropped]

    def of(self, rows: np.ndarray, images: Images) -> tuple[list[str], list[str], list[str], list[int]]:
        """Units, splits, origins and folds of some images."""
        unit = self.unit[images.subject[rows]]
        return (
            images.names.take(pa.array(unit)).to_pylist(),
            [SPLITS[i] for i in self.split[unit]],
            [splitting.ORIGINS[i] for i in self.origin[unit]],
            self.fold[unit].tolist(),
        )


def settle(images: Images, earlier: Earlier, alike: np.ndarray, key: bytes) -> Settled:
    """Drop duplicates, contradictions and bridges, join subjects to units, draw the splits.

    Args:
        images: All of them.
        earlier: Datasets of this name: their subjects never move.
        alike: Pairs of marks of subjects with nearly identical images, ``S16`` ``[m, 2]``.
        key: Project key, for the draw.
    """
    unit, was = _units(images, earlier, alike)
    own = _own_split(images, earlier)
    kept, dropped = _settle_duplicates(images, own)
    bound, torn = _bound_units(unit[images.subject[kept]], own[kept], was, earlier.split, len(unit))
    kept, bridging = _settle_bridges(images, unit, own, kept, bound, torn)
    drawn = _draw(images, unit, kept, bound, was, earlier.fold, key)
    return Settled(kept, unit, *drawn, dropped + bridging)


def _units(images: Images, earlier: Earlier, alike: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is tied together is most likely one person: the unit of each subject here, and of each earlier subject.

    Returns:
        int32 ``[k]``, and int32 of the length of ``earlier.subjects``, -1 where nobody here belongs to them.
    """
    strangers = np.unique(np.concatenate([images.also[1], earlier.subjects, *(e.ravel() for e in earlier.same)]))
    strangers = strangers[(places(strangers, images.subjects) < 0) & (strangers != NOBODY)]
    here = len(images.subjects)

    def person(marks: np.ndarray) -> np.ndarray:
        found = places(marks, images.subjects)
        return np.where(found < 0, here + places(marks, strangers), found)

    edges = [np.stack([images.also[0], person(images.also[1])], axis=1), person(alike), person(earlier.same)]
    count = here + len(strangers)
    told = ~images.featureless
    shown = images.subject[told], images.pictures, images.pixels[told]
    for (subject, marks, of), known in (
        (shown, earlier.shown[~earlier.featureless]),
        ((images.studies[0], *np.unique(images.studies[1], return_inverse=True)), earlier.studies),
    ):
        shared = places(known[:, 1], marks)
        more, added = np.unique(known[shared < 0, 1], return_inverse=True)
        shared[shared < 0] = len(marks) + added
        whose = np.concatenate([subject, person(known[:, 0])])
        # Every pair once; what only one subject has ties nobody.
        pairs = np.unique(np.concatenate([of, shared]).astype(np.int64) << 32 | whose)
        what, whose = pairs >> 32, pairs & 0xFFFFFFFF
        several = (np.bincount(what) > 1)[what]
        edges.append(np.stack([whose[several], count + what[several]], axis=1))
        count += len(marks) + len(more)
    component = splitting.join(np.concatenate(edges), count)
    unit = _named(component[:here], images.names)
    of_component = np.full(component.max(initial=-1) + 1, -1, np.int32)
    of_component[component[:here]] = unit
    return unit, of_component[component[person(earlier.subjects)]]


def _named(component: np.ndarray, names: pa.Array) -> np.ndarray:
    """A unit is called as the smallest of its subjects that have an image here."""
    order = np.argsort(component, kind="stable")
    unit = np.empty(len(component), np.int32)
    starts = np.flatnonzero(np.diff(component[order], prepend=-1))
    size = np.diff(starts, append=len(order))
    single = order[starts[size == 1]]
    unit[single] = single
    for start, n in zip(starts[size > 1], size[size > 1], strict=True):
        members = order[start : start + n]
        called = names.take(pa.array(members)).to_pylist()
        unit[members] = members[called.index(min(called))]
    return unit


def _own_split(images: Images, earlier: Earlier) -> np.ndarray:
    """The split that an image brings along: its subject's from an earlier dataset, else the official one."""
    known = places(images.subjects, earlier.subjects)
    was = np.where(known < 0, np.int8(-1), earlier.split[known] if len(earlier.split) else np.int8(-1))
    was = was[images.subject]
    return np.where(was < 0, images.official, was)


def _settle_duplicates(images: Images, own: np.ndarray) -> tuple[np.ndarray, list[Dropped]]:
    keep, dropped = np.ones(len(own), bool), list[Dropped]()
    for rows in _repeated(images.pixels):
        # An unlabelled copy does not contradict a labelled one.
        known = sorted({images.labels[c] for c in images.label[rows].tolist() if c >= 0})
        if len(known) > 1:
            keep[rows] = False
            dropped += [_dropped(images, i, "label_conflict", f"labels: {', '.join(known)}") for i in rows]
            continue
        best = max(rows, key=lambda i: (own[i], images.label[i] >= 0, -i))
        for i in rows:
            # A published val or test split is never thinned, so that published results stay comparable.
            published = images.official[i] in _PUBLISHED
            if i != best and not (published and own[i] == own[best]):
                keep[i] = False
                dropped.append(_dropped(images, i, "duplicate", f"same pixels as input {images.source[best]}"))
    return np.flatnonzero(keep), dropped


_PUBLISHED = (SPLITS.index("val"), SPLITS.index("test"))


def _repeated(pixels: np.ndarray) -> Iterator[list[int]]:
    """Places of identical images, ascending, in the order of the first of each."""
    rows = np.flatnonzero((np.bincount(pixels, minlength=1) > 1)[pixels])
    first = np.full(pixels.max(initial=-1) + 1, len(pixels), np.int64)
    np.minimum.at(first, pixels[rows], rows)
    rows = rows[np.argsort(first[pixels[rows]], kind="stable")]
    for _, group in groupby(rows.tolist(), key=lambda i: pixels[i]):
        yield list(group)


def _bound_units(
    unit: np.ndarray, own: np.ndarray, was: np.ndarray, split: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Of each unit the split it is already bound to, -1 for none, and whether to several: then the highest counts."""
    known = was >= 0
    whose = np.concatenate([unit[own >= 0], was[known]])
    claim = np.concatenate([own[own >= 0], split[known]])
    highest, lowest = np.full(count, -1, np.int8), np.full(count, len(SPLITS), np.int8)
    np.maximum.at(highest, whose, claim)
    np.minimum.at(lowest, whose, claim)
    return highest, lowest < highest


def _settle_bridges(
    images: Images, unit: np.ndarray, own: np.ndarray, kept: np.ndarray, bound: np.ndarray, torn: np.ndarray
) -> tuple[np.ndarray, list[Dropped]]:
    """Quarantine images whose unit is bound to another split of higher precedence, and newcomers between two splits."""
    of = unit[images.subject[kept]]
    bridging = torn[of] & (own[kept] != bound[of])
    dropped = []
    for i in kept[bridging].tolist():
        whose = SPLITS[own[i]] if own[i] >= 0 else "a new subject"
        told = f"of {whose}, but tied to {SPLITS[bound[unit[images.subject[i]]]]}"
        dropped.append(_dropped(images, i, "bridges_splits", told))
    return kept[~bridging], dropped


def _draw(
    images: Images,
    unit: np.ndarray,
    kept: np.ndarray,
    bound: np.ndarray,
    was: np.ndarray,
    fold: np.ndarray,
    key: bytes,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    count, of = len(unit), unit[images.subject[kept]]
    # A subject with several labels counts for the rarest: rare classes need the even spread most.
    stratum = np.full(count, np.iinfo(np.int32).max, np.int32)
    np.minimum.at(stratum, of, _rarity(images.label[kept], images.labels))
    drawn = np.unique(of)
    official = np.zeros(count, bool)
    official[of[images.official[kept] >= 0]] = True
    was_there = np.zeros(count, bool)
    was_there[was[was >= 0]] = True
    # An official train split is still to be carved into train and tune; everything else that binds is final.
    given = np.where(was_there | (bound != SPLITS.index("train")), bound, np.int8(-1))
    units = splitting.Units(
        splitting.ranks(key, images.names, drawn),
        stratum[drawn],
        given[drawn],
        official[drawn],
        _earlier_folds(was, fold, count)[drawn],
    )
    result = splitting.draw(units)
    columns = tuple(np.full(count, -1, np.int8) for _ in range(3))
    for column, values in zip(columns, (result.split, result.origin, result.fold), strict=True):
        column[drawn] = values
    return columns  # type: ignore[return-value]


def _rarity(label: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    """Place of each label among all, the rarest first; int32 ``[n]``."""
    counts = np.bincount(label + 1, minlength=len(labels) + 1)
    names = ["None", *labels]
    order = sorted(range(len(names)), key=lambda c: (counts[c], names[c]))
    place = np.empty(len(names), np.int32)
    place[order] = np.arange(len(names))
    return place[label + 1]


def _earlier_folds(was: np.ndarray, fold: np.ndarray, count: int) -> np.ndarray:
    """Fold of each unit that was there, -1 for none: of subjects of several that turn out to be one, most stay."""
    known = (was >= 0) & (fold >= 0)
    votes = np.zeros((count, splitting.FOLDS), np.int32)
    np.add.at(votes, (was[known], fold[known]), 1)
    return np.where(votes.any(axis=1), votes.argmax(axis=1), -1).astype(np.int8)


def _dropped(images: Images, i: int, reason: str, detail: str) -> Dropped:
    frame = int(images.frame[i])
    return Dropped(int(images.source[i]), None if frame < 0 else frame, reason, detail)
