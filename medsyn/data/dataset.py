"""Reading a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from medsyn.data.grey import display
from medsyn.data.schema import CLASS_TASK, SCHEMA_VERSION, SPLITS, Split
from medsyn.errors import DataError
from medsyn.sums import sha256
from medsyn.workspace import DATASET, read_json


class Dataset:
    """A committed dataset, or the part of it that its user may see.

    Open it with `Dataset.open`. Images are addressed by their number ``image`` (0..N-1 over the whole dataset).

    Attributes:
        path: The folder.
        meta: Content of dataset.json.
        table: One row a visible image, indexed by ``image``: the columns of index.parquet (its ``unit`` as
            ``value_unit``), plus ``split``, ``unit`` (see `subjects`), ``fold`` and ``label`` (class name or None).
    """

    def __init__(self, path: Path, meta: dict[str, Any], splits: Sequence[Split]) -> None:
        self.path, self.meta, self.visible = path, meta, tuple(splits)

    @classmethod
    def open(cls, path: str | Path, splits: Sequence[Split] = SPLITS) -> Dataset:
        """Open a dataset.

        Args:
            path: Its folder.
            splits: What may be seen; images of other splits cannot be reached through this object. A generator is
                given ``("train", "tune")``.

        Raises:
            DataError: Not a dataset, or one of a newer schema.
        """
        path = Path(path)
        meta = read_json(path / DATASET.main_file)
        if meta.get("schema") != SCHEMA_VERSION:
            raise DataError(
                f"has schema {meta.get('schema')!r}, this medsyn reads {SCHEMA_VERSION}",
                where=path / DATASET.main_file,
                mend="Ingest the scans again.",
            )
        return cls(path, meta, splits)

    @property
    def classes(self) -> list[str]:
        """Class names; a class index is a place in this list."""
        return list(self.meta["classes"])

    @property
    def condition_schema(self) -> dict[str, dict[str, Any]]:
        """What a generator of these images can be asked for: name -> kind and values; the classes come first."""
        return dict(self.meta["condition_schema"])

    @property
    def modality(self) -> str:
        return str(self.meta["modality"])

    @property
    def digest(self) -> str:
        """Content digest: the same for the same images, labels and splits, however they are sharded."""
        return str(self.meta["content_digest"])

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """``(C, H, W)``."""
        _, c, h, w = self.meta["shape"]
        return c, h, w

    @cached_property
    def table(self) -> pd.DataFrame:
        index = pq.read_table(self.path / "index.parquet").to_pandas().rename(columns={"unit": "value_unit"})
        split = pq.read_table(self.path / "splits.parquet", columns=["image", "unit", "split", "fold"]).to_pandas()
        target = pq.read_table(self.path / "targets.parquet", filters=[("task", "==", CLASS_TASK)]).to_pandas()
        known = target[target["state"] == "known"].set_index("image")["value"]
        table = index.merge(split, on="image", validate="one_to_one").set_index("image").sort_index()
        table["label"] = known.reindex(table.index).astype(object).where(lambda s: s.notna(), None)
        return table[table["split"].isin(self.visible)]

    @cached_property
    def _shards(self) -> list[np.ndarray]:
        return [np.load(self.path / shard["file"], mmap_mode="r") for shard in self.meta["shards"]]

    @cached_property
    def _masks(self) -> list[np.ndarray]:
        return [np.load(self.path / shard["file"], mmap_mode="r") for shard in self.meta.get("masks") or ()]

    @cached_property
    def _ends(self) -> np.ndarray:
        """Number of images up to the end of each shard."""
        return np.cumsum([shard["images"] for shard in self.meta["shards"]])

    def rows(self, *splits: Split, labelled: bool = True) -> np.ndarray:
        """Numbers of the images of some splits, ascending, int64 ``[n]``; all visible splits when none is named.

        Raises:
            PermissionError: A split that this object may not see.
        """
        hidden = set(splits) - set(self.visible)
        if hidden:
            raise PermissionError(f"split {sorted(hidden)} is not visible here, only {self.visible}")
        table = self.table[self.table["split"].isin(splits or self.visible)]
        if labelled:
            table = table[table["label"].notna()]
        numbers: np.ndarray = table.index.to_numpy(np.int64)
        return numbers

    def labels(self, rows: np.ndarray) -> np.ndarray:
        """Class indices of labelled images, int64 ``[n]``."""
        place = {name: i for i, name in enumerate(self.classes)}
        labels: np.ndarray = self.table.loc[rows, "label"].map(place).to_numpy(np.int64)
        return labels

    def subjects(self, rows: np.ndarray) -> np.ndarray:
        """Split units (subjects, widened by shared images) of images, str ``[n]``."""
        units: np.ndarray = self.table.loc[rows, "unit"].to_numpy(str)
        return units

    def stored(self, rows: np.ndarray) -> np.ndarray:
        """Stored pixels, ``[n, C, H, W]`` in the dataset's dtype."""
        place = self.table.loc[rows, ["shard", "row"]].to_numpy()
        out = np.empty((len(rows), *self.image_shape), self.meta["dtype"])
        for shard in np.unique(place[:, 0]):
            here = place[:, 0] == shard
            out[here] = self._shards[shard][place[here, 1]]
        return out

    def one(self, image: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Stored pixels ``[C, H, W]`` and segmentation ``[H, W]`` uint8 of one image, without looking at any table."""
        shard = int(np.searchsorted(self._ends, image, side="right"))
        row = image - (int(self._ends[shard - 1]) if shard else 0)
        return np.array(self._shards[shard][row]), np.array(self._masks[shard][row]) if self._masks else None

    def masks(self, rows: np.ndarray) -> np.ndarray:
        """Segmentations, uint8 ``[n, H, W]``; zeros where column ``has_mask`` says that there is none.

        Raises:
            DataError: No image of this dataset has one.
        """
        if not self._masks:
            raise DataError("holds no masks", where=self.path, mend="Ingest images together with their masks.")
        place = self.table.loc[rows, ["shard", "row"]].to_numpy()
        return np.stack([self._masks[shard][row] for shard, row in place])

    def images(self, rows: np.ndarray, window: tuple[float, float] | None = None) -> np.ndarray:
        """Images as they are shown: float32 ``[n, C, H, W]`` in [0, 1], 0 black.

        Args:
            rows: Image numbers.
            window: Centre and width in the unit of the values (HU for CT), instead of each image's own display range.
        """
        columns = self.table.loc[rows, ["slope", "intercept", "display_low", "display_high", "inverted"]]
        slope, intercept, low, high, inverted = (
            columns[c].to_numpy(np.float64)[:, None, None, None] for c in columns.columns
        )
        if window is not None:
            low, high = window[0] - window[1] / 2, window[0] + window[1] / 2
        return display(self.stored(rows), slope, intercept, low, high, inverted)

    def verify(self) -> None:
        """Check the digest of every shard and, where dataset.json notes theirs, of every table.

        Raises:
            DataError: A file is not what was committed.
        """
        for noted in (part for name in ("shards", "masks", "tables") for part in self.meta.get(name) or ()):
            file = self.path / noted["file"]
            if not file.is_file() or sha256(file) != noted["sha256"]:
                raise DataError("is damaged or missing", where=file, mend="Ingest the scans again.")
