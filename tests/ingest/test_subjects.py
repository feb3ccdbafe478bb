"""Who a file belongs to must be said by somebody."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from medsyn.config import IngestOptions
from medsyn.errors import DataError, UsageError
from medsyn.ingest import stage, subjects
from medsyn.ingest.labels import LabelSource
from medsyn.ingest.subjects import Claim
from medsyn.workspace import Workspace

from .conftest import dicom, picture, png, table
from .looking import KEY, look

told: list[str] = []


def require(*paths: Path, **options: object) -> dict[str, Claim]:
    """Path below the folder -> claim; caveats go to ``told``."""
    told.clear()
    source = LabelSource.open(IngestOptions.model_validate({"paths": [str(p) for p in paths], **options}))
    inputs, wanted = look(list(paths))
    rows = source.join(inputs, wanted, {p.number for p in wanted if p.kind != "npz"}, KEY).rows
    names = {i.number: i.relative for i in inputs}
    claims, caveats = subjects.require(source, inputs, wanted, rows, KEY)
    told.extend(caveats)
    return {names[n]: claim for n, claim in claims.items()}


def films(folder: Path, *below: str) -> Path:
    for k, name in enumerate(below):
        png(folder / name / f"{k}.png", picture(k, 32, 8).astype(np.uint8))
    return folder


def test_nothing_is_assumed(tmp_path: Path) -> None:
    films(tmp_path / "s", "p1", "p1", "p2")
    labels = table(
        tmp_path / "l.csv", [{"file": f"{k}.png", "label": "a", "case": f"c{k}", "sex": "F"} for k in range(3)]
    )
    message = r"--subject-from: nothing names the patient of 3 of 3 images .* folder .* file .*, or the column: case\."
    with pytest.raises(DataError, match=message) as caught:
        require(tmp_path / "s", labels=str(labels))
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="each file is"):
        require(tmp_path / "s")
    assert require(tmp_path / "s", subject_from="file") == {}
    assert len({c.subject for c in require(tmp_path / "s", labels=str(labels), subject_from="case").values()}) == 3
    with pytest.raises(UsageError, match="column 'case' of no table"):
        require(tmp_path / "s", subject_from="case")


def test_headers_and_npz_need_no_word(tmp_path: Path) -> None:
    dicom(tmp_path / "a", picture(0, 32))
    dicom(tmp_path / "b", picture(1, 32), patient="")  # its study counts
    np.savez(tmp_path / "c.npz", train_images=np.zeros((3, 8, 8), np.uint8))
    assert require(tmp_path) == {}
    dicom(tmp_path / "d", picture(2, 32), patient="Anonymous", StudyInstanceUID="")
    with pytest.raises(DataError, match="patient of 1 of 3 images"):
        require(tmp_path)


def test_volumes_outside_of_bids_need_a_word(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(np.random.default_rng(0).random((4, 4, 4)), np.eye(4)), tmp_path / "v.nii")
    with pytest.raises(DataError, match="patient of 1 of 1 images"):
        require(tmp_path)


def test_a_gap_in_the_patient_column_is_told(tmp_path: Path) -> None:
    films(tmp_path / "s", "", "", "")
    rows = [{"file": f"{k}.png", "label": "a", "patient_id": "" if k == 1 else f"p{k}"} for k in range(3)]
    labels = str(table(tmp_path / "l.csv", rows))
    with pytest.raises(DataError, match="1 of 3 images have no patient: nothing in column 'patient_id'"):
        require(tmp_path / "s", labels=labels)
    # With --subject-from file only that one is a patient of its own.
    got = require(tmp_path / "s", labels=labels, subject_from="file")
    assert {name: claim.origin for name, claim in got.items()} == {"0.png": "table", "2.png": "table"}


@pytest.mark.parametrize("split", [False, True])
def test_a_patients_folder_below_class_and_split(tmp_path: Path, split: bool) -> None:
    """The same patient may be in several classes and splits."""
    below = ["a/p1", "a/p1/left", "a/p2", "b/p1", "b/p3"]
    if split:
        below = [f"{word}/{b}" for word, b in zip(("train", "test", "val", "test", "train"), below, strict=True)]
    got = require(films(tmp_path, *below), subject_from="folder", label_from="folder")
    key_of = {Path(name).stem: c.subject for name, c in got.items()}
    assert key_of["0"] == key_of["3"]
    assert len(set(key_of.values())) == 4  # p1, p1/left, p2, p3
    assert {c.origin for c in got.values()} == {"folder"}
    assert "say --subject-from folder:1" in told[0]
    got = require(tmp_path, subject_from="folder:1", label_from="folder")
    key_of = {Path(name).stem: c.subject for name, c in got.items()}
    assert key_of["0"] == key_of["1"] == key_of["3"]
    assert len(set(key_of.values())) == 3
    assert told == []


def test_files_in_the_class_folder_itself_have_no_patients_folder(tmp_path: Path) -> None:
    films(tmp_path, "a", "a", "b/p1")
    with pytest.raises(DataError, match="2 of 3 images lie in the folder of their class itself"):
        require(tmp_path, subject_from="folder", label_from="folder")


def test_folders_named_one_by_one_are_patients_too(tmp_path: Path) -> None:
    films(tmp_path, "p1", "p1", "p2")
    one = require(tmp_path / "p1", tmp_path / "p2", subject_from="folder")
    whole = require(tmp_path, subject_from="folder")
    assert [c.subject for c in one.values()] == [c.subject for c in whole.values()]


def test_table_and_folder_are_two_names_of_one_patient(tmp_path: Path, workspace: Workspace) -> None:
    """Folders: 01 23 45 67; table: 0 12 3 4 5 6 7. Together: 0123 45 67."""
    rows = []
    for i in range(8):
        png(tmp_path / "s" / f"f{i // 2}" / f"{i}.png", picture(i, 32, 8).astype(np.uint8))
        rows.append({"file": f"{i}.png", "label": "aaaaaabb"[i], "patient_id": f"csv{1 if i == 2 else i}"})
    rows[4]["label"] = rows[5]["label"] = "b"
    options = {"paths": [str(tmp_path / "s")], "labels": str(table(tmp_path / "l.csv", rows)), "subject_from": "folder"}
    more = {"modality": "xray", "size": 32, "workers": 1}
    with pytest.raises(DataError, match="class 'a' has fewer than 2 subjects"):
        stage.run(IngestOptions.model_validate({**options, **more}), workspace)


def test_a_spreadsheets_number_is_the_same_patient(tmp_path: Path) -> None:
    films(tmp_path / "s", "", "")
    rows = [{"file": "0.png", "label": "a", "patient_id": "17"}, {"file": "1.png", "label": "a", "patient_id": "17.0"}]
    got = require(tmp_path / "s", labels=str(table(tmp_path / "l.csv", rows)))
    assert got["0.png"] == got["1.png"]
