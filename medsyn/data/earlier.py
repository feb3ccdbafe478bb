"""What a new dataset has to know of earlier ones of its name, so that nobody moves and nothing leaks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from medsyn.data import near
from medsyn.data.columns import categories, marked, numbers, table
from medsyn.data.dataset import Dataset
from medsyn.data.names import NOBODY, places
from medsyn.data.rows import Pictures, Rows
from medsyn.data.schema import SPLITS


def _pairs() -> np.ndarray:
    return np.zeros((0, 2), "S16")


@dataclass
class Earlier:
    """Subjects and images of earlier datasets, by `medsyn.data.names.marks`.

    Attributes:
        subjects: Ascending, ``S16`` ``[k]``.
        split: Place in `SPLITS` of each, int8 ``[k]``; the oldest word counts.
        fold: Fold of each, int8 ``[k]``; the newest word counts: subjects who turned out to be one share one.
        same: Pairs of subjects that belong together, ``S16`` ``[m, 2]``.
        studies: Subjects and their studies, ``S16`` ``[m, 2]``.
        shown: Subjects and the stored pixels of their different images, ``S16`` ``[p, 2]``.
        pictures: Thumbnails of these images.
        featureless: Which of them hold too little to tell two patients apart, bool ``[p]``.
    """

    subjects: np.ndarray = field(default_factory=lambda: np.zeros(0, "S16"))
    split: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int8))
    fold: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int8))
    same: np.ndarray = field(default_factory=_pairs)
    studies: np.ndarray = field(default_factory=_pairs)
    shown: np.ndarray = field(default_factory=_pairs)
    pictures: Pictures = field(default_factory=Pictures)
    featureless: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))

    @classmethod
    def of(cls, folders: Iterable[Path]) -> Earlier:
        """Read the datasets in these folders, oldest first."""
        made = cls()
        for folder in folders:
            made._add(folder)
        return made

    def _add(self, folder: Path) -> None:
        splits, index = table(folder / "splits.parquet"), table(folder / "index.parquet")
        subject = marked(splits, "subject")
        self._assign(subject, categories(splits, "split", SPLITS)[0], numbers(splits, "fold"))
        ties = [(subject, marked(splits, column)) for column in ("unit", "also_subject")]
        if (folder / "units.parquet").exists():
            units = table(folder / "units.parquet")
            ties.append((marked(units, "subject"), marked(units, "unit")))
        for one, other in ties:
            self.same = _added(self.same, one, other, (other != NOBODY) & (other != one))
        study = marked(index, "study")
        self.studies = _added(self.studies, subject, study, study != NOBODY)
        self._show(folder, np.stack([subject, marked(index, "pixel_digest")], axis=1))

    def _assign(self, subject: np.ndarray, split: np.ndarray, fold: np.ndarray) -> None:
        here, first = np.unique(subject, return_index=True)
        known = np.union1d(self.subjects, here)
        was, now = places(known, self.subjects), first[places(known, here)]
        is_here = places(known, here) >= 0
        splits, folds = np.empty(len(known), np.int8), np.empty(len(known), np.int8)
        splits[is_here], folds[is_here] = split[now[is_here]], fold[now[is_here]]
        splits[was >= 0] = self.split[was[was >= 0]]
        folds[~is_here] = self.fold[was[~is_here]]
        self.subjects, self.split, self.fold = known, splits, folds

    def _show(self, folder: Path, shown: np.ndarray) -> None:
        """Take over the images that are not known yet."""
        pairs = _joined(shown)
        new = np.zeros(len(pairs), bool)
        new[np.unique(pairs, return_index=True)[1]] = True
        new &= places(pairs, np.sort(_joined(self.shown))) < 0
        own = _thumbnails(folder, np.flatnonzero(new))
        self.shown = np.concatenate([self.shown, shown[new]])
        self.pictures = Pictures([*self.pictures.parts, own])
        self.featureless = np.concatenate([self.featureless, near.featureless(Pictures([own]))])


def _joined(pairs: np.ndarray) -> np.ndarray:
    """Pairs of marks as one name each."""
    return np.ascontiguousarray(pairs).view("S32").reshape(-1)


def _added(had: np.ndarray, one: np.ndarray, other: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Different pairs: those that there were and some more."""
    every = np.concatenate([had, np.stack([one[which], other[which]], axis=1)])
    return np.unique(_joined(every)).view("S16").reshape(-1, 2)


def _thumbnails(folder: Path, places: np.ndarray) -> Rows | np.ndarray:
    file = folder / "thumbnails.npy"
    if not file.exists():
        return near.thumbnails_of(Dataset.open(folder))[places]
    shown = np.load(file, mmap_mode="r")
    return Rows(file, places.astype(np.int32), shown.shape[1:], shown.dtype, shown.offset)
