"""What a training may see of a dataset: its train and tune splits, checked."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from medsyn.data import Dataset
from medsyn.errors import DataError
from medsyn.gan.monitor import MIN_REFERENCE

MIN_IMAGES = 20
MIN_PER_CLASS = 2

SUBJECTS = pa.schema([pa.field("subject", pa.string(), nullable=False), pa.field("unit", pa.string(), nullable=False)])


@dataclass(frozen=True)
class Material:
    """The labelled training and monitoring images of one dataset."""

    dataset: Dataset
    train: np.ndarray  # image numbers, int64
    tune: np.ndarray

    @classmethod
    def open(cls, path: Path) -> Material:
        """Open a dataset for training; val and test stay out of reach.

        Raises:
            DataError: Synthetic images, no labels, fewer than 2 classes, or too few images.
        """
        dataset = Dataset.open(path, splits=("train", "tune"))
        if dataset.table["synthetic"].any():
            n = int(dataset.table["synthetic"].sum())
            raise DataError(
                f"holds {n} synthetic images; a generator must learn from patients, not from another generator",
                where=path,
                mend="Ingest real scans only.",
            )
        if not dataset.classes or not dataset.table["label"].notna().any():
            raise DataError("has no labels", where=path, mend="Ingest the scans again with --labels.")
        if len(dataset.classes) < 2:
            raise DataError(
                f"has one class only ('{dataset.classes[0]}')",
                where=path,
                mend="Give two classes or more.",
            )
        material = cls(dataset, dataset.rows("train"), dataset.rows("tune"))
        counts = np.bincount(material.train_labels, minlength=len(dataset.classes))
        rarest = int(counts.argmin())
        if len(material.train) < MIN_IMAGES or counts[rarest] < MIN_PER_CLASS:
            raise DataError(
                f"has {len(material.train)} training images, {counts[rarest]} of class '{dataset.classes[rarest]}'; "
                f"training needs {MIN_IMAGES} in all and {MIN_PER_CLASS} a class",
                where=path,
                mend="Ingest more scans.",
            )
        return material

    @cached_property
    def train_images(self) -> np.ndarray:
        """float32 ``[n, C, H, W]`` in [0, 1]."""
        return self.dataset.images(self.train)

    @cached_property
    def train_labels(self) -> np.ndarray:
        return self.dataset.labels(self.train)

    @cached_property
    def tune_images(self) -> np.ndarray:
        return self.dataset.images(self.tune)

    @cached_property
    def tune_labels(self) -> np.ndarray:
        return self.dataset.labels(self.tune)

    @property
    def can_monitor(self) -> bool:
        """Whether tune holds enough images to compare with."""
        return len(self.tune) >= MIN_REFERENCE

    def subjects(self) -> pd.DataFrame:
        """Keyed hashes of who is in the training images: ``subject`` and ``unit``, each pair once."""
        pairs = self.dataset.table.loc[self.train, ["subject", "unit"]]
        return pairs.drop_duplicates().sort_values(["subject", "unit"], ignore_index=True)

    def write_subjects(self, path: Path) -> None:
        """Write `subjects` as Parquet."""
        pq.write_table(pa.Table.from_pandas(self.subjects(), SUBJECTS, preserve_index=False), path)
