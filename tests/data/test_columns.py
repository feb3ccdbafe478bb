"""Columns, names and rows of files are what they are when read at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medsyn.data import columns, names
from medsyn.data.rows import Pictures, Rows


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pq.ParquetFile:
    monkeypatch.setattr(columns, "BATCH", 3)
    path = tmp_path / "table.parquet"
    table = {"name": ["b", "a", None, "b", "c", "a", "b"], "number": [5, None, 7, 8, None, 1, 2]}
    pq.write_table(pa.table(table), path, row_group_size=2)
    return columns.table(path)


def test_columns_come_as_numbers(file: pq.ParquetFile) -> None:
    assert columns.numbers(file, "number").tolist() == [5, -1, 7, 8, -1, 1, 2]
    code, texts = columns.categories(file, "name", ("z", "a"))
    assert texts == ["z", "a", "b", "c"]
    assert code.tolist() == [2, 1, -1, 2, 3, 1, 2]
    assert columns.texts(file, "name", np.array([4, 0, 1])).to_pylist() == ["c", "b", "a"]


def test_equal_names_have_equal_marks(file: pq.ParquetFile) -> None:
    marked = columns.marked(file, "name")
    assert marked.tolist() == names.marks(["b", "a", None, "b", "c", "a", "b"]).tolist()
    known, code = names.codes(marked)
    assert len(known) == 4  # nobody is one of them
    assert (code[[0, 1]] == code[[3, 5]]).all()
    assert names.places(names.marks(["a", "x"]), known).tolist() == [code[1], -1]
    assert names.places(marked[:2], known[:0]).tolist() == [-1, -1]


def test_rows_are_read_from_where_they_lie_and_saved_as_numpy_does(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 255, (50, 32, 32), np.uint8)
    np.save(tmp_path / "all.npy", values)
    offset = np.load(tmp_path / "all.npy", mmap_mode="r").offset
    places = np.array([3, 4, 5, 20, 49, 7])
    some = Rows(tmp_path / "all.npy", places, (32, 32), values.dtype, offset)
    assert np.array_equal(some.read(slice(None)), values[places])
    some.save(tmp_path / "some.npy")
    np.save(tmp_path / "expected.npy", values[places])
    assert (tmp_path / "some.npy").read_bytes() == (tmp_path / "expected.npy").read_bytes()
    both = Pictures([some, values[:10]])
    wanted = np.array([15, 0, 6, 5])
    assert np.array_equal(both[wanted], np.concatenate([values[places], values[:10]])[wanted])
    assert np.array_equal(both[4:8], np.concatenate([values[[49, 7]], values[:2]]))


def test_rows_behind_the_end_of_a_file_are_zeros(tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(b"\x01" * 6)
    rows = Rows(tmp_path / "raw", np.arange(3), (4,), np.dtype(np.uint8))
    assert rows.read(slice(None)).tolist() == [[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]]
