"""Counts, splits, leaks and inputs agree with the tables they come from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from inspection.conftest import make_trap
from medsyn.data import SPLITS, Dataset
from medsyn.errors import DataError
from medsyn.ingest.ledger import Row, write
from medsyn.inspection import counts
from medsyn.inspection.columns import Columns
from medsyn.inspection.results import UNLABELLED
from medsyn.workspace import Workspace


def test_images_and_units_of_every_class_and_split(trap: tuple[Workspace, Dataset]) -> None:
    dataset = trap[1]
    columns = Columns(dataset.path)
    rows = counts.classes(columns, columns.labels(dataset.classes), dataset.classes)
    assert [r.label for r in rows] == dataset.classes
    for row in rows:
        for split in SPLITS:
            here = dataset.table[(dataset.table["label"] == row.label) & (dataset.table["split"] == split)]
            assert (row.images[split], row.units[split]) == (len(here), here["unit"].nunique())
    assert sum(sum(r.images.values()) for r in rows) == 120


def test_tables_in_another_order_say_the_same(workspace: Workspace, edit: Callable[..., None]) -> None:
    dataset = make_trap(workspace)

    def all_counts() -> list[object]:
        columns = Columns(dataset.path)
        return [counts.classes(columns, columns.labels(dataset.classes), dataset.classes), counts.leaks(columns)]

    before = all_counts()
    edit(dataset, "splits", lambda t: t.sample(frac=1, random_state=0))
    edit(dataset, "targets", lambda t: t.sample(frac=1, random_state=1))
    assert all_counts() == before


def test_unlabelled_and_uncertain_images_have_a_row(workspace: Workspace, edit: Callable[..., None]) -> None:
    dataset = make_trap(workspace)
    edit(dataset, "targets", lambda t: t.assign(state=["uncertain", "missing", *t["state"][2:]]))
    columns = Columns(dataset.path)
    rows = counts.classes(columns, columns.labels(dataset.classes), dataset.classes)
    assert rows[-1].label == UNLABELLED
    assert sum(rows[-1].images.values()) == 2


def test_images_per_subject(workspace: Workspace) -> None:
    subjects = ["big"] * 40 + [f"s{i // 2}" for i in range(80)]
    columns = Columns(make_trap(workspace, subjects=subjects).path)
    found = counts.per_subject(columns, np.zeros(120, int), ["a"])
    assert found.quartiles == [2, 2, 2, 2, 40]
    assert {b.images: b.subjects for b in found.bins if b.subjects} == {"2": 40, "11 to 50": 1}
    assert (found.largest[0].key, found.largest[0].images, found.largest[0].labels) == ("big", 40, ["a"])
    assert found.largest[0].share == pytest.approx(1 / 3)


def test_a_clean_dataset_has_no_leak(trap: tuple[Workspace, Dataset]) -> None:
    found = counts.leaks(Columns(trap[1].path))
    assert {leak.what: leak.examined for leak in found} == {"subjects": 60, "split units": 60, "pixel digests": 120}
    assert all(leak.crossing == 0 for leak in found)


def test_every_kind_of_leak_is_counted(workspace: Workspace, edit: Callable[..., None]) -> None:
    dataset = make_trap(workspace)
    table = dataset.table
    train, test = (table.index[table["split"] == s][0] for s in ("train", "test"))

    def moved(t):
        # One image of a subject of train goes to test; another subject of test is called by a name of train.
        t.loc[t["image"] == train, "split"] = "test"
        t["also_subject"] = t["also_subject"].astype(object)
        other = t["subject"][(t["split"] == "train") & (t["image"] != train)].iloc[-1]
        t.loc[t["image"] == test, "also_subject"] = other
        return t

    def copied(t):
        t.loc[t["image"] == test, "pixel_digest"] = t.loc[t["split"] == "train", "pixel_digest"].iloc[-1]
        return t

    edit(dataset, "splits", moved)
    split = pq.read_table(dataset.path / "splits.parquet").to_pandas()["split"]
    edit(dataset, "index", lambda t: copied(t.assign(split=split.to_numpy(), study=t["subject"])))
    found = {leak.what: leak.crossing for leak in counts.leaks(Columns(dataset.path))}
    assert found == {"subjects": 2, "split units": 1, "studies": 1, "pixel digests": 1}


def test_joined_subjects(workspace: Workspace, edit: Callable[..., None]) -> None:
    dataset = make_trap(workspace)
    edit(dataset, "splits", lambda t: t.assign(unit=t["unit"].replace({"subject1": "subject3"})))
    found = counts.splits(Columns(dataset.path))
    assert (found.units, found.joined_units, found.joined_subjects) == (59, 1, 2)
    assert found.origins == {"drawn": 59}


def test_further_targets(workspace: Workspace, edit: Callable[..., None]) -> None:
    dataset = make_trap(workspace)

    def more(t):
        import pandas as pd

        extra = t.assign(task="effusion", value=["yes"] * 30 + ["no"] * 80 + [None] * 10)
        return pd.concat([t, extra.assign(state=["known"] * 110 + ["missing"] * 10)])

    edit(dataset, "targets", more)
    columns = Columns(dataset.path)
    found = [(t.task, t.value, t.state, t.images) for t in counts.targets(columns)]
    assert found == [
        ("effusion", "no", "known", 80),
        ("effusion", "yes", "known", 30),
        ("effusion", None, "missing", 10),
    ]
    assert (columns.labels(dataset.classes) >= 0).sum() == 120


def test_inputs_add_up(tmp_path: Path) -> None:
    assert counts.inputs(tmp_path) == (0, [])
    rows = [Row(n, None, "dicom", "ingested", images=1) for n in range(1, 7)]
    rows += [Row(7, frame, "dicom", *("ingested", "") if frame else ("failed", "truncated")) for frame in range(5)]
    rows += [Row(8, None, "other", "failed", "truncated")]
    write(rows, tmp_path)
    files, found = counts.inputs(tmp_path)
    assert files == 8
    assert [(i.outcome, i.reason, i.rows, i.files, i.images) for i in found] == [
        ("ingested", "", 10, 7, 6),
        ("failed", "truncated", 2, 2, 0),
    ]


def test_damage_is_told_in_one_line(workspace: Workspace, edit: Callable[..., None]) -> None:
    dataset = make_trap(workspace)
    edit(dataset, "splits", lambda t: t[t["image"] > 0])
    with pytest.raises(DataError, match=r"splits.parquet: does not name the images"):
        Columns(dataset.path)
    (dataset.path / "splits.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"splits.parquet: is missing or cannot be read"):
        Columns(dataset.path)
