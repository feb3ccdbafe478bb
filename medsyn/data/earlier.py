"""What a new dataset has to know of earlier ones of its name, so that nobody moves and nothing leaks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from medsyn.data import near
from medsyn.data.dataset import Dataset
from medsyn.data.likeness import SIDE
from medsyn.data.settling import ties


@dataclass
class Earlier:
    """Subjects and images of earlier datasets.

    Attributes:
        splits: subject -> split, of which the oldest word counts.
        ties: Pairs of names that belong together: `medsyn.data.settling.ties`, and subjects of one unit.
        thumbnails: Of all different images, uint8 ``[n, SIDE, SIDE]``.
        subjects: Of the same, str ``[n]``.
    """

    splits: dict[str, str] = field(default_factory=dict)
    ties: list[tuple[str, str]] = field(default_factory=list)
    thumbnails: np.ndarray = field(default_factory=lambda: np.zeros((0, SIDE, SIDE), np.uint8))
    subjects: np.ndarray = field(default_factory=lambda: np.zeros(0, object))

    @classmethod
    def of(cls, folders: Iterable[Path]) -> Earlier:
        """Read the datasets in these folders, oldest first."""
        made = cls()
        tied: set[tuple[str, str]] = set()
        seen: set[tuple[str, str]] = set()
        thumbnails, subjects = [made.thumbnails], [made.subjects]
        for folder in folders:
            columns = ["subject", "also_subject", "unit", "split"]
            split = pq.read_table(folder / "splits.parquet", columns=columns).to_pandas()
            index = pq.read_table(folder / "index.parquet", columns=["study", "pixel_digest"]).to_pandas()
            rows = pd.concat([split, index], axis=1).astype(object).where(lambda f: f.notna(), None)
            if (folder / "units.parquet").exists():
                units = pq.read_table(folder / "units.parquet").to_pandas()
                tied.update(zip(units["subject"], units["unit"], strict=True))
            shown = _thumbnails(folder)
            plain = near.featureless(shown)
            new = []
            for row, empty in zip(rows.itertuples(), plain, strict=True):
                made.splits.setdefault(row.subject, row.split)
                tied.add((row.subject, row.unit))
                pixels = None if empty else row.pixel_digest
                tied.update(ties(row.subject, row.also_subject, row.study, pixels))
                new.append((row.subject, row.pixel_digest) not in seen)
                seen.add((row.subject, row.pixel_digest))
            thumbnails.append(shown[np.asarray(new, bool)])
            subjects.append(rows["subject"].to_numpy(object)[np.asarray(new, bool)])
        made.ties = sorted(tied)
        made.thumbnails, made.subjects = np.concatenate(thumbnails), np.concatenate(subjects)
        return made


def _thumbnails(folder: Path) -> np.ndarray:
    file = folder / "thumbnails.npy"
    return np.load(file, mmap_mode="r") if file.exists() else near.thumbnails_of(Dataset.open(folder))
