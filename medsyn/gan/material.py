"""What a training may see of a dataset: its train and tune splits, checked."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from medsyn.compute import numpy_rng
from medsyn.data import Dataset
from medsyn.errors import DataError
from medsyn.gan import training_images
from medsyn.gan.monitor import MIN_REFERENCE
from medsyn.synthetic.lineage import learnt_from_synthetic

MIN_IMAGES = 20
MIN_PER_CLASS = 2
FEW, RARE = 20_000, 1_000
"""Images by which a first stage is fitted and collapse is told: more change neither, but take gigabytes."""
WATCHED, WATCHED_RARE = 4_000, 200
"""Images of `tune` that every look compares with: its cost grows with their square."""

SUBJECTS = pa.schema([pa.field("subject", pa.string(), nullable=False), pa.field("unit", pa.string(), nullable=False)])


@dataclass(frozen=True)
class Material:
    """The labelled training and monitoring images of one dataset."""

    dataset: Dataset
    train: np.ndarray  # image numbers, int64
    tune: np.ndarray

    @classmethod
    def open(cls, path: Path, *, allow_synthetic: bool = False) -> Material:
        """Open a dataset for training; val and test stay out of reach.

        Args:
            path: The dataset.
            allow_synthetic: Whether synthetic images are learnt from; a training is watched by real ones alone.

        Raises:
            DataError: Synthetic images that are not allowed, no labels, fewer than 2 classes, too few images, or
                a damaged file.
        """
        dataset = Dataset.open(path, splits=("train", "tune"))
        synthetic = dataset.table["synthetic"]
        if synthetic.any() and not allow_synthetic:
            raise DataError(
                f"holds {synthetic.sum()} synthetic images; a generator must learn from patients, not from another one",
                where=path,
                mend="Ingest real scans only, or say --allow-synthetic: what the other one got wrong is learnt again.",
            )
        if not dataset.classes or not dataset.table["label"].notna().any():
            raise DataError("has no labels", where=path, mend="Ingest the scans again with --labels.")
        if len(dataset.classes) < 2:
            raise DataError(
                f"has one class only ('{dataset.classes[0]}')",
                where=path,
                mend="Give two classes or more.",
            )
        tune = dataset.rows("tune")
        material = cls(dataset, dataset.rows("train"), tune[~synthetic.loc[tune].to_numpy(bool)])
        counts = np.bincount(material.train_labels, minlength=len(dataset.classes))
        rarest = int(counts.argmin())
        if len(material.train) < MIN_IMAGES or counts[rarest] < MIN_PER_CLASS:
            raise DataError(
                f"has {len(material.train)} training images, {counts[rarest]} of class '{dataset.classes[rarest]}'; "
                f"training needs {MIN_IMAGES} in all and {MIN_PER_CLASS} a class",
                where=path,
                mend="Ingest more scans.",
            )
        dataset.verify()
        return material

    def images_on(self, device: torch.device) -> torch.Tensor | training_images.OnDisk:
        """The training images ``[n, C, H, W]``, float32 in [0, 1]."""
        return training_images.load(self.dataset, self.train, device)

    @cached_property
    def few(self) -> np.ndarray:
        """Places in `train` of what is looked at all at once: all, or `FEW` at random and `RARE` of every class."""
        return self._drawn("few", self.train_labels, FEW, RARE)

    @cached_property
    def watched(self) -> np.ndarray:
        """Images of `tune` that looks compare with: all, or `WATCHED` at random and `WATCHED_RARE` of every class."""
        return self.tune[self._drawn("watched", self.dataset.labels(self.tune), WATCHED, WATCHED_RARE)]

    def _drawn(self, what: str, labels: np.ndarray, most: int, of_each: int) -> np.ndarray:
        """Places of some images, sorted: all, or ``most`` at random, but ``of_each`` class where it has as many."""
        if len(labels) <= most:
            return np.arange(len(labels))
        order = numpy_rng(what, self.dataset.digest).permutation(len(labels))
        share = most / len(labels)
        of_class = (order[labels[order] == c] for c in range(len(self.dataset.classes)))
        return np.sort(np.concatenate([places[: max(of_each, int(share * len(places)))] for places in of_class]))

    @cached_property
    def few_images(self) -> np.ndarray:
        """Those of `few`: float32 ``[m, C, H, W]`` in [0, 1]."""
        return self.dataset.images(self.train[self.few])

    @property
    def few_labels(self) -> np.ndarray:
        return self.train_labels[self.few]

    @property
    def few_units(self) -> np.ndarray:
        """What each of them was split by: images of one unit may be of one patient."""
        return self.dataset.subjects(self.train[self.few])

    @cached_property
    def train_labels(self) -> np.ndarray:
        return self.dataset.labels(self.train)

    @cached_property
    def watched_images(self) -> np.ndarray:
        """Those of `watched`: float32 ``[n, C, H, W]`` in [0, 1]."""
        return self.dataset.images(self.watched)

    @cached_property
    def watched_labels(self) -> np.ndarray:
        return self.dataset.labels(self.watched)

    @property
    def watched_units(self) -> np.ndarray:
        """What each of them was split by."""
        return self.dataset.subjects(self.watched)

    @property
    def can_monitor(self) -> bool:
        """Whether tune holds enough images to compare with."""
        return len(self.tune) >= MIN_REFERENCE

    @property
    def synthetic(self) -> int:
        """Training images that are synthetic themselves."""
        return int(self.dataset.table.loc[self.train, "synthetic"].sum())

    @property
    def caveats(self) -> list[str]:
        """What whoever uses the generator must know of what it learnt from."""
        if not self.synthetic:
            return []
        return [f"{learnt_from_synthetic(self.synthetic, len(self.train))}."]

    def subjects(self) -> pd.DataFrame:
        """Keyed hashes of who is in the training images: ``subject`` and ``unit``, each pair once."""
        pairs = self.dataset.table.loc[self.train, ["subject", "unit"]]
        return pairs.drop_duplicates().sort_values(["subject", "unit"], ignore_index=True)

    def write_subjects(self, path: Path) -> None:
        """Write `subjects` as Parquet."""
        pq.write_table(pa.Table.from_pandas(self.subjects(), SUBJECTS, preserve_index=False), path)
