from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import blobs, make_dataset
from PIL import Image

from medsyn.config import IngestOptions
from medsyn.data import Dataset
from medsyn.errors import DataError
from medsyn.evaluate.inputs import own_split
from medsyn.ingest.stage import run as ingest
from medsyn.workspace import Workspace

SPLITS = ["train", "train", "tune", "val", "test"]


@pytest.fixture
def dataset(workspace: Workspace) -> Dataset:
    """40 images of 20 subjects; the two of a subject have one class."""
    images, _ = blobs(40, side=16)
    return make_dataset(workspace, images, np.arange(40) // 2 % 2, subjects=[f"s{i // 2}" for i in range(40)])


def frame(dataset: Dataset) -> pd.DataFrame:
    """One row a subject, its images in one split, all classes in all splits."""
    table = dataset.table
    place = table["subject"].str.removeprefix("s").astype(int)
    return table.assign(split=[SPLITS[p // 2 % 5] for p in place])


def write(table: pd.DataFrame, columns: list[str], tmp_path: Path, suffix: str = ".csv") -> Path:
    path = tmp_path / f"split{suffix}"
    chosen = table[columns].drop_duplicates()
    chosen.to_csv(path, index=False) if suffix == ".csv" else chosen.to_parquet(path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("column", ["image_key", "subject"])
def test_by_key(dataset: Dataset, tmp_path: Path, column: str, suffix: str) -> None:
    table = frame(dataset)
    found = own_split.read(write(table, [column, "split"], tmp_path, suffix), dataset)
    assert found == table["split"].to_dict()


def test_images_that_are_not_named_are_left_out_and_told(dataset: Dataset, tmp_path: Path) -> None:
    class Heard:
        said: list[str] = []  # noqa: RUF012

        def say(self, text: str) -> None:
            self.said.append(text)

    table = frame(dataset).iloc[:-4]
    found = own_split.read(write(table, ["image_key", "split"], tmp_path), dataset, Heard())  # type: ignore[arg-type]
    assert set(found) == set(table.index)
    assert Heard.said == ["4 of 40 images are not named in split.csv and are left out"]


def test_tune_may_be_absent(dataset: Dataset, tmp_path: Path) -> None:
    table = frame(dataset).replace({"split": {"tune": "train"}})
    found = own_split.read(write(table, ["subject", "split"], tmp_path), dataset)
    assert set(found.values()) == {"train", "val", "test"}


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    images, labels = blobs(20, side=32)
    rows = ["file,label"]
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        (tmp_path / "scans" / f"part{i % 2}").mkdir(parents=True, exist_ok=True)
        # The names repeat: only with their folder do they name one file.
        name = f"part{i % 2}/{i // 2}.png"
        Image.fromarray((image[0] * 255).round().astype(np.uint8)).save(tmp_path / "scans" / name)
        rows.append(f"{name},{'ab'[label]}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    return tmp_path / "scans"


@pytest.mark.parametrize("absolute", [False, True])
def test_by_file_as_given_to_ingest(scans: Path, workspace: Workspace, absolute: bool) -> None:
    labels = scans.parent / "labels.csv"
    labels.write_text(labels.read_text().replace("part", "scans/part"))
    options = {"paths": [str(scans)], "labels": str(labels), "modality": "xray", "size": 32, "subject_from": "file"}
    dataset = Dataset.open(ingest(IngestOptions.model_validate({**options, "workers": 1}), workspace).path)
    want = {f"part{i % 2}/{i // 2}.png": SPLITS[i // 2 % 5] for i in range(20)}
    path = scans.parent / "split.csv"
    head = f"{scans}/" if absolute else ""
    path.write_text("file,split\n" + "".join(f"{head}{name},{split}\n" for name, split in want.items()))
    found = own_split.read(path, dataset)
    assert len(found) == 20
    assert Counter(found.values()) == Counter(want.values())
    # Each image is in the split of its own file: its pixels say which file that is.
    for image, split in found.items():
        shown = (dataset.stored(np.array([image]))[0, 0] * dataset.table.loc[image, "slope"]).astype(np.float64)
        shown += dataset.table.loc[image, "intercept"]
        same = [n for n in want if np.abs(np.asarray(Image.open(scans / n), np.float64) - shown).max() < 0.6]
        assert [want[n] for n in same] == [split]
    path.write_text("file,split\n0.png,train\n")
    with pytest.raises(DataError, match=r"'0.png' fits 2 files"):
        own_split.read(path, dataset)
    next(workspace.private.glob("*-paths.csv")).unlink()
    with pytest.raises(DataError, match=r"the list of the files .* is not in this workspace.*image_key or subject"):
        own_split.read(path, dataset)


CHANGES = {
    "training": ("unknown split 'training' in row 2. Use train, tune, val, test", lambda t: edit(t, "training")),
    "torn": (
        r"1 subjects \(2 images\) are in more than one split, such as s\d+ in test and",
        lambda t: edit(t, "test"),
    ),
    "no val": ("has no 'no_finding' in val", lambda t: t.replace({"split": {"val": "test"}})),
    "class": ("has no 'pneumonia' in test", lambda t: t[(t["split"] != "test") | (t["label"] != "pneumonia")]),
    "no match": (r"no row fits an image of dataset xray-001", lambda t: t.assign(image_key="zz")),
    "one row": (r"row 2 \('zz'\) fits no image", lambda t: edit(t, "zz", "image_key")),
    "no split": ("no column 'split'", lambda t: t.rename(columns={"split": "part"})),
    "no key": ("no column 'image_key', 'subject' or", lambda t: t.rename(columns={"image_key": "key"})),
}


def edit(table: pd.DataFrame, value: str, column: str = "split") -> pd.DataFrame:
    changed = table.copy()
    changed.loc[changed.index[0], column] = value
    return changed


@pytest.mark.parametrize("name", list(CHANGES))
def test_what_is_wrong_is_told_in_one_line(dataset: Dataset, tmp_path: Path, name: str) -> None:
    told, change = CHANGES[name]
    table = change(frame(dataset))
    columns = [c for c in ("image_key", "key", "split", "part") if c in table.columns]
    with pytest.raises(DataError, match=told) as caught:
        own_split.read(write(table, columns, tmp_path), dataset)
    assert "split.csv" in caught.value.line()
    assert "\n" not in caught.value.line()


def test_subject_in_two_splits(dataset: Dataset, tmp_path: Path) -> None:
    table = edit(frame(dataset), "test")
    with pytest.raises(DataError, match=r"is in .* already, and now in"):
        own_split.read(write(table, ["subject", "split"], tmp_path), dataset)


def test_no_such_file(dataset: Dataset, tmp_path: Path) -> None:
    for name in ("no.csv", "no.parquet"):
        with pytest.raises(DataError, match="no such file"):
            own_split.read(tmp_path / name, dataset)
    (tmp_path / "bad.parquet").write_text("PAR1split\n")
    with pytest.raises(DataError, match="is not sound Parquet"):
        own_split.read(tmp_path / "bad.parquet", dataset)
