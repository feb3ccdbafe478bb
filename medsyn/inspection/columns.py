"""Single columns of a dataset's tables: ten million images fit, because the other columns stay on the disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from medsyn.data.schema import CLASS_TASK
from medsyn.errors import DataError


@dataclass(frozen=True)
class Coded:
    """A column of texts: ``values[codes[i]]``, nothing where the code is -1."""

    codes: np.ndarray  # int32 [n]
    values: list[str]


class Columns:
    """Columns in the order of the image numbers.

    Args:
        folder: Of the dataset.

    Raises:
        DataError: A table is missing or damaged, or the tables name different images.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: dict[str, set[str]] = {}
        self._order: dict[str, np.ndarray | None] = {}
        images = {}
        for table in ("index", "splits"):
            with self._readable(table) as file:
                self.names[table] = set(pq.read_schema(file).names)
                found = pq.read_table(file, columns=["image"])["image"].to_numpy()
                order = None if (np.diff(found) > 0).all() else np.argsort(found, kind="stable")
                self._order[table] = order
                images[table] = found if order is None else found[order]
        if not np.array_equal(images["index"], images["splits"]):
            raise DataError(
                "does not name the images of index.parquet",
                where=folder / "splits.parquet",
                mend="Ingest the scans again.",
            )
        self.images = images["index"]

    @contextmanager
    def _readable(self, table: str) -> Iterator[Path]:
        file = self.folder / f"{table}.parquet"
        try:
            yield file
        except (OSError, pa.ArrowException, KeyError):
            raise DataError("is missing or cannot be read", where=file, mend="Ingest the scans again.") from None

    def column(self, name: str, table: str = "index") -> pa.ChunkedArray | None:
        """One column as it is stored, None where the table has none of this name."""
        if name not in self.names[table]:
            return None
        with self._readable(table) as file:
            found = pq.read_table(file, columns=[name])[name]
        order = self._order[table]
        return found if order is None else found.take(pa.array(order))

    def text(self, name: str, table: str = "index") -> Coded | None:
        """A column of texts or of yes and no."""
        found = self.column(name, table)
        if found is None:
            return None
        if not pa.types.is_dictionary(found.type):
            found = found.cast(pa.string()).dictionary_encode()
        whole = found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
        if isinstance(whole, pa.ChunkedArray):  # no row at all
            return Coded(np.zeros(0, np.int32), [])
        codes = whole.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
        return Coded(codes, [str(v) for v in whole.dictionary.to_pylist()])

    def number(self, name: str) -> np.ndarray | None:
        """A column of numbers, float64 with NaN where there is none."""
        found = self.column(name)
        return None if found is None else pd.Series(found.to_pandas()).to_numpy(np.float64, na_value=np.nan)

    def hashed(self, name: str, table: str = "index") -> np.ndarray | None:
        """64-bit hashes of a column of keys, uint64, 0 where there is none: ten million keys take 80 MB."""
        found = self.column(name, table)
        if found is None:
            return None
        parts = [np.zeros(0, np.uint64)]
        for chunk in found.chunks:
            for start in range(0, len(chunk), 2**18):
                part = chunk.slice(start, 2**18)
                hashes = pd.util.hash_array(part.fill_null("").to_numpy(zero_copy_only=False), categorize=False)
                parts.append(np.where(part.is_valid().to_numpy(zero_copy_only=False), hashes, np.uint64(0)))
        return np.concatenate(parts)

    def values(self, names: Sequence[str], rows: np.ndarray) -> pd.DataFrame:
        """Some columns of some images.

        Args:
            names: Columns of index.parquet.
            rows: Places among `images`, int64 ``[n]``.
        """
        place = pa.array(rows)
        return pd.DataFrame({name: self._known(name).take(place).to_numpy() for name in names})

    def _known(self, name: str) -> pa.ChunkedArray:
        found = self.column(name)
        if found is None:
            raise DataError(f"has no column '{name}'", where=self.folder / "index.parquet")
        return found

    # ---- who and what

    @cached_property
    def unit(self) -> Coded:
        return self._needed("unit")

    @cached_property
    def subject(self) -> Coded:
        return self._needed("subject")

    @cached_property
    def split(self) -> Coded:
        return self._needed("split")

    def _needed(self, name: str) -> Coded:
        found = self.text(name, "splits")
        if found is None:
            raise DataError(f"has no column '{name}'", where=self.folder / "splits.parquet")
        return found

    def labels(self, classes: Sequence[str]) -> np.ndarray:
        """Class indices of all images, int32 ``[n]``, -1 where there is no known label."""
        with self._readable("targets") as file:
            table = pq.read_table(
                file, filters=[("task", "==", CLASS_TASK), ("state", "==", "known")], columns=["image", "value"]
            )
        place = {name: i for i, name in enumerate(classes)}
        coded = table["value"].cast(pa.string()).dictionary_encode().unify_dictionaries().combine_chunks()
        out = np.full(len(self.images), -1, np.int32)
        if len(table):
            of_code = np.array([place.get(v, -1) for v in coded.dictionary.to_pylist()], np.int32)
            codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
            at = np.searchsorted(self.images, table["image"].to_numpy())
            out[at] = np.where(codes >= 0, of_code[codes], -1)
        return out

    def targets(self) -> list[tuple[str, str | None, str, int]]:
        """Task, value, state and images of every task but the class."""
        with self._readable("targets") as file:
            table = pq.read_table(file, filters=[("task", "!=", CLASS_TASK)], columns=["task", "value", "state"])
        counted = table.group_by(["task", "value", "state"]).aggregate([([], "count_all")])
        rows = ((r["task"], r["value"], r["state"], r["count_all"]) for r in counted.to_pylist())
        return sorted(rows, key=lambda r: (r[0], r[2], r[1] or ""))

    def orientation(self) -> np.ndarray | None:
        """Row and column direction cosines, float64 ``[n, 6]``, NaN where unknown."""
        found = self.column("orientation")
        if found is None or found.null_count == len(found):
            return None
        whole = found.combine_chunks()
        out = np.full((len(whole), 6), np.nan)
        good = pc.equal(pc.list_value_length(whole), 6).fill_null(False).to_numpy(zero_copy_only=False)
        out[good] = np.asarray(whole.filter(pa.array(good)).flatten(), np.float64).reshape(-1, 6)
        return out
