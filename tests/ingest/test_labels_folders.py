"""Classes by folder and by DICOM element, and the official split of folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medsyn.config import IngestOptions
from medsyn.data import Dataset
from medsyn.errors import DataError, UsageError
from medsyn.ingest import stage
from medsyn.ingest.labels.folders import places
from medsyn.ingest.scan import Input
from medsyn.workspace import Workspace

from .conftest import dicom, picture, png, table
from .looking import join

FOLDER = {"label_from": "folder"}


def layout(folder: Path, *below: str, n: int = 2) -> Path:
    for k, name in enumerate(below):
        for i in range(n):
            png(folder / name / f"{i}.png", picture(100 * k + i, 32, 8).astype(np.uint8))
    return folder


def test_the_first_folder_is_the_class(tmp_path: Path) -> None:
    layout(tmp_path, "normal", "tumour/p1/left", "", n=1)
    got, joined = join(tmp_path, **FOLDER)
    assert got == {"normal/0.png": ("normal", "known"), "tumour/p1/left/0.png": ("tumour", "known")}
    assert joined.told == []
    got, _ = join(tmp_path, **FOLDER, label_map={"tumour": "cancer", "normal": ""})
    assert got == {"normal/0.png": (None, "missing"), "tumour/p1/left/0.png": ("cancer", "known")}


@pytest.mark.parametrize("words", [("train", "val", "test"), ("Training", "validation", "TESTING")])
@pytest.mark.parametrize("apart", [False, True])
def test_an_official_split_is_recognised(tmp_path: Path, words: tuple[str, ...], apart: bool) -> None:
    layout(tmp_path / "set", *(f"{word}/{label}" for word in words for label in "ab"))
    paths = [tmp_path / "set" / word for word in words] if apart else [tmp_path / "set"]
    got, joined = join(*paths, **FOLDER)
    assert {label for label, _ in got.values()} == {"a", "b"}
    assert [row.official_split for row in joined.rows.values()].count("test") == 4
    assert joined.told == ["folders: official split kept (train 4, val 4, test 4 files)"]


def test_a_part_of_a_split_is_no_official_one(tmp_path: Path) -> None:
    layout(tmp_path, "train/a", "train/b", "test/a", "test/b")
    got, joined = join(tmp_path, **FOLDER)
    assert {label for label, _ in got.values()} == {"a", "b"}
    assert {row.official_split for row in joined.rows.values()} == {None}
    assert joined.caveats == [
        "folders of a split (train 4, test 4 files) that is not train, val and test: a split is drawn anew"
    ]


def test_splits_beside_other_folders_are_refused(tmp_path: Path) -> None:
    layout(tmp_path, "train/a", "test/b", "patient_miller")
    with pytest.raises(DataError, match="others, which hold 2 of 6 images") as caught:
        join(tmp_path, **FOLDER)
    assert "miller" not in str(caught.value)


def test_folders_that_are_no_class(tmp_path: Path) -> None:
    layout(tmp_path, "a", "b", "miller")
    with pytest.raises(DataError, match=r"1 folders are none of the classes\.") as caught:
        join(tmp_path, **FOLDER, classes=["a", "b"])
    assert "miller" not in str(caught.value)
    with pytest.raises(DataError, match="none of the classes: miller"):
        join(tmp_path, **FOLDER, classes=["a", "b"], show_paths=True)
    with pytest.raises(UsageError, match="--map 'c': no such label occurs") as caught:
        join(tmp_path, **FOLDER, label_map={"c": "d"})
    assert "miller" not in str(caught.value)


def test_an_archive_is_no_folder() -> None:
    inputs = [
        Input(1, "/d/s.zip", "/d", "s.zip/train/a/1.png", member="train/a/1.png"),
        Input(2, "/d/x/s.zip", "/d", "x/s.zip/test/b/1.png", member="test/b/1.png"),
    ]
    found = places(inputs, {1})
    assert (found[1].split, found[1].folders) == ("train", ("a",))
    found = places(inputs, {2})
    assert (found[2].split, found[2].folders) == (None, ("x", "test", "b"))


def test_a_dataset_keeps_the_split_of_its_folders(tmp_path: Path, workspace: Workspace) -> None:
    folder = layout(tmp_path / "set", *(f"{s}/{c}" for s in ("train", "val", "test") for c in "ab"), n=5)
    options = IngestOptions(paths=[str(folder)], modality="xray", size=32, workers=1, subject_from="file", **FOLDER)
    result = stage.run(options, workspace)
    assert Dataset.open(result.path).classes == ["a", "b"]
    splits = pd.read_parquet(result.path / "splits.parquet")
    assert splits["split"].value_counts().to_dict() == {"val": 10, "test": 10, "train": 8, "tune": 2}
    assert set(splits["origin"]) == {"official"}


def test_a_table_beside_folders_gives_patients_and_targets(tmp_path: Path) -> None:
    layout(tmp_path / "set", "a", "b")
    rows = [{"file": f"{c}/{i}.png", "patient": f"p{i}", "sex": "F", "edema": i} for c in "ab" for i in range(2)]
    labels = str(table(tmp_path / "l.csv", rows))
    got, joined = join(tmp_path / "set", labels=labels, label_columns=["edema"], **FOLDER)
    assert set(got.values()) == {("a", "known"), ("b", "known")}
    assert len({row.subject for row in joined.rows.values()}) == 2
    assert {row.covariates.sex for row in joined.rows.values()} == {"F"}
    assert [row.targets["edema"].value for row in joined.rows.values()] == ["0", "1", "0", "1"]
    # A table without a column `label` is enough here.
    assert join(tmp_path / "set", labels=labels, **FOLDER)[0] == got


# ---- elements


def test_an_element_is_the_class(tmp_path: Path) -> None:
    for i, side in enumerate(["L", "R", "", "R"]):
        dicom(tmp_path / f"{i}", picture(i, 32), Laterality=side)
    png(tmp_path / "x.png", picture(9, 32, 8).astype(np.uint8))
    options = {"label_from": "tag:Laterality"}
    got, _ = join(tmp_path, **options)
    assert got == {"0": ("L", "known"), "1": ("R", "known"), "3": ("R", "known")}
    got, _ = join(tmp_path, **options, label_map={"L": "left", "R": ""})
    assert got == {"0": ("left", "known"), "1": (None, "missing"), "3": (None, "missing")}
    for wrong, match in (({"classes": ["L", "X"]}, "1 values of the element"), ({"label_map": {"l": "left"}}, "--map")):
        with pytest.raises((DataError, UsageError), match=match) as caught:
            join(tmp_path, **options, **wrong)
        assert "'R'" not in str(caught.value)


@pytest.mark.parametrize(
    "keyword",
    [
        *("PatientName", "PatientID", "PatientBirthDate", "OtherPatientIDs", "PatientAddress", "PatientComments"),
        *("SOPInstanceUID", "AccessionNumber", "ReferringPhysicianName", "InstitutionName", "ImageComments"),
        *("DeviceSerialNumber", "StudyID", "StudyDate", "AcquisitionTime", "IssuerOfPatientID", "Occupation"),
        *("PixelData", "RequestAttributesSequence"),
    ],
)
def test_elements_that_may_name_somebody_are_refused(tmp_path: Path, keyword: str) -> None:
    dicom(tmp_path / "a", picture(0, 32))
    with pytest.raises(UsageError, match=f"'{keyword}' may name"):
        join(tmp_path, label_from=f"tag:{keyword}")


def test_what_is_no_element_or_no_class(tmp_path: Path) -> None:
    for i in range(60):
        dicom(tmp_path / f"{i}", picture(0, 16), ProtocolName=f"P{i}")
    with pytest.raises(UsageError, match="no DICOM element is called 'Lateral'"):
        join(tmp_path, label_from="tag:Lateral")
    with pytest.raises(DataError, match="60 different values"):
        join(tmp_path, label_from="tag:ProtocolName")
