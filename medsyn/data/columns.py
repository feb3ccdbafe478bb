"""Columns of a Parquet file as numbers and marks, batch by batch: the texts of millions of images would not fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from medsyn.data.names import marks

BATCH = 16384


def table(file: Path) -> pq.ParquetFile:
    """A Parquet file that is read piece by piece: reading ahead would keep all of it in memory."""
    return pq.ParquetFile(file, pre_buffer=False)


def marked(file: pq.ParquetFile, column: str) -> np.ndarray:
    """Marks of a column of names: ``S16`` ``[n]``, see `medsyn.data.names.marks`."""
    out = np.empty(file.metadata.num_rows, "S16")
    for start, values in _batches(file, column):
        out[start : start + len(values)] = marks(values.to_pylist())
    return out


def numbers(file: pq.ParquetFile, column: str, dtype: str = "int32") -> np.ndarray:
    """A column of whole numbers ``[n]``, -1 where there is none."""
    out = np.empty(file.metadata.num_rows, dtype)
    for start, values in _batches(file, column):
        out[start : start + len(values)] = values.fill_null(-1).to_numpy(zero_copy_only=False)
    return out


def categories(file: pq.ParquetFile, column: str, known: Sequence[str] = ()) -> tuple[np.ndarray, list[str]]:
    """A column of few different texts.

    Args:
        file: Where it is.
        column: Its name.
        known: Texts that come first, in this order.

    Returns:
        Places among the texts, int32 ``[n]``, -1 where there is none; and the texts.
    """
    out, code = np.empty(file.metadata.num_rows, np.int32), {text: i for i, text in enumerate(known)}
    for start, values in _batches(file, column):
        encoded = values.dictionary_encode()
        of = np.array([code.setdefault(text, len(code)) for text in encoded.dictionary.to_pylist()] + [-1], np.int32)
        out[start : start + len(values)] = of[encoded.indices.fill_null(len(of) - 1).to_numpy()]
    return out, list(code)


def texts(file: pq.ParquetFile, column: str, rows: np.ndarray) -> pa.Array:
    """Texts in some rows of a column.

    Args:
        file: Where it is.
        column: Its name.
        rows: Which, int64 ``[k]``, each once.
    """
    order = np.argsort(rows)
    ascending, parts = rows[order], []
    for start, values in _batches(file, column):
        low, high = np.searchsorted(ascending, [start, start + len(values)])
        parts.append(values.take(pa.array(ascending[low:high] - start)))
    place = np.empty(len(rows), np.int64)
    place[order] = np.arange(len(rows))
    return pa.concat_arrays(parts or [pa.array([], pa.string())]).take(pa.array(place))


def _batches(file: pq.ParquetFile, column: str) -> Iterator[tuple[int, pa.Array]]:
    start = 0
    for batch in file.iter_batches(BATCH, columns=[column]):
        yield start, batch.column(0)
        start += batch.num_rows
