"""What somebody meets who ingests for the first time, or a second time: suggestions that fit, and no false alarm."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from pydicom.uid import CTImageStorage
from typer.testing import CliRunner

from medsyn import terminal
from medsyn.cli import app
from medsyn.config import IngestOptions
from medsyn.errors import DataError, UsageError
from medsyn.ingest import caveats, series, stage
from medsyn.ingest.stage import IngestResult
from medsyn.workspace import Workspace, read_json

from .conftest import dicom, picture, png, table


def ingest(workspace: Workspace, *paths: Path, **options: object) -> IngestResult:
    given = {"paths": [str(p) for p in paths], "size": 32, "workers": 1, **options}
    return stage.run(IngestOptions.model_validate(given), workspace)


def folders(parent: Path, *names: str, n: int = 8, start: int = 0) -> list[Path]:
    for k, name in enumerate(names):
        for i in range(n):
            png(parent / name / f"{name}{i}.png", picture(start + 100 * k + i, 32, 8).astype(np.uint8))
    return [parent / name for name in names]


# ---- a second ingest into a name


def test_the_modality_is_that_of_the_name(workspace: Workspace, pictures: Callable[..., tuple[Path, Path]]) -> None:
    first, labels = pictures(12)
    more, new_labels = pictures(8, start=50, name="more")
    ingest(workspace, first, labels=str(labels), modality="mri", name="study")
    second = ingest(workspace, more, labels=str(new_labels), name="study")
    assert (second.modality, second.images) == ("mri", 20)
    third, last_labels = pictures(8, start=90, name="third")
    assert ingest(workspace, third, labels=str(last_labels), name="study").images == 28
    with pytest.raises(UsageError, match=r"'study' is a dataset of mri, to which xray cannot be added") as caught:
        ingest(workspace, more, labels=str(new_labels), name="study", modality="xray")
    assert "\n" not in caught.value.line()
    assert len(list(workspace.path.glob("datasets/study-*"))) == 3


def test_a_modality_that_files_said_takes_no_files_that_say_none(tmp_path: Path, workspace: Workspace) -> None:
    for i in range(6):
        dicom(tmp_path / "s" / f"{i}", picture(i, 32), patient=f"P{i}")
    dicom(tmp_path / "s" / "scanned", picture(9, 32), patient="P9", Modality="OT")
    assert ingest(workspace, tmp_path / "s", name="study").images == 6
    dicom(tmp_path / "s" / "new", picture(10, 32), patient="P10")
    assert ingest(workspace, tmp_path / "s", name="study").images == 7


# ---- patients


def test_a_flat_folder_is_no_patient(tmp_path: Path, workspace: Workspace) -> None:
    with pytest.raises(DataError) as caught:
        ingest(workspace, *folders(tmp_path, "flat"), modality="xray")
    assert "Say --subject-from file (each file is a patient)" in caught.value.line()
    assert "--subject-from folder" not in caught.value.line()
    folders(tmp_path / "s", "p1", "p2", "p3", n=2)
    with pytest.raises(DataError, match=r"folder \(each of the 3 folders is a patient\) or file"):
        ingest(workspace, tmp_path / "s", modality="xray")
    with pytest.raises(DataError) as caught:  # folders of classes are not those of patients
        ingest(workspace, tmp_path / "s", modality="xray", label_from="folder")
    assert "--subject-from folder" not in caught.value.line()


def test_help_names_every_form_of_subject_from() -> None:
    text = CliRunner().invoke(app, ["ingest", "--help"], env={"COLUMNS": "200"}).output
    assert "folder:N" in text


# ---- labels


def test_images_without_a_label_beside_others_are_a_caveat(tmp_path: Path, workspace: Workspace) -> None:
    for i in range(8):
        folder = tmp_path / "s"
        folder.mkdir(exist_ok=True)
        values = np.stack([picture(10 * i + k, 24) for k in range(4)], axis=2).astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), folder / f"v{i}.nii")
        mask = np.zeros(values.shape, np.uint8)
        mask[8:16, 8:16, 1:3] = 1
        if i < 6:
            nibabel.save(nibabel.Nifti1Image(mask, np.eye(4)), folder / f"v{i}_mask.nii")
    made = ingest(workspace, folder, modality="mri", mask_label="lesion>0", subject_from="file")
    told = "8 of 32 images have no label and are not trained on"
    assert made.caveats.count(told) == 1
    assert read_json(made.path / "dataset.json")["caveats"].count(told) == 1
    from medsyn.inspection.stage import inspect

    findings = [f.sentence for f in inspect(made.path)[0].findings]
    assert sum("have no label" in sentence for sentence in findings) == 1


@pytest.mark.parametrize("as_files", [False, True])
def test_folders_of_classes_named_one_by_one(tmp_path: Path, workspace: Workspace, as_files: bool) -> None:
    named = folders(tmp_path, "normal", "pneumonia")
    paths = [file for folder in named for file in folder.iterdir()] if as_files else named
    made = ingest(workspace, *paths, modality="xray", label_from="folder", subject_from="file")
    assert {name: sum(n.values()) for name, n in made.images_per_class.items()} == {"normal": 8, "pneumonia": 8}


def test_folders_that_can_be_no_classes_are_told_apart(tmp_path: Path, workspace: Workspace) -> None:
    (one,), (two,) = folders(tmp_path / "x", "normal"), folders(tmp_path / "y", "pneumonia", start=50)
    for paths in ((one,), (one, two)):
        with pytest.raises(DataError) as caught:
            ingest(workspace, *paths, modality="xray", label_from="folder", subject_from="file")
        line = caught.value.line()
        assert "no label at all" in line
        assert "say the path of the folder that holds one folder a class, or --labels labels.csv." in line
        assert "--label-column" not in line


def test_no_label_says_what_fits_these_files(
    tmp_path: Path, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(*paths: Path, **options: object) -> tuple[list[str], str]:
        made = ingest(workspace, *paths, subject_from="file", **options)
        terminal.show("ingest", made)
        return made.ways_to_label, " ".join(capsys.readouterr().out.split())

    ways, text = told(*folders(tmp_path, "flat"), modality="xray")
    assert ways == ["--labels labels.csv"]
    assert "ingest again with --labels labels.csv. medsyn inspect shows it all the same." in text
    folders(tmp_path / "s", "a", "b", start=300)
    dicom(tmp_path / "s" / "film", picture(999))
    dicom_too = "--labels labels.csv, or --label-from folder, or --label-from tag:KEYWORD."
    assert dicom_too in told(tmp_path / "s", modality="xray")[1]
    png(tmp_path / "m" / "x.png", picture(500, 32, 8).astype(np.uint8))
    png(tmp_path / "m" / "x_mask.png", np.tri(32, dtype=np.uint8))
    assert told(tmp_path / "m", modality="xray")[0] == ["--labels labels.csv", '--mask-label "NAME>0"']
    np.savez(tmp_path / "u.npz", train_images=np.random.default_rng(0).integers(0, 255, (9, 28, 28), np.uint8))
    assert "--labels" not in told(tmp_path / "u.npz", modality="xray")[1]


def test_a_table_with_one_class_is_answered_with_what_fits(
    workspace: Workspace, pictures: Callable[..., tuple[Path, Path]]
) -> None:
    folder, labels = pictures()
    table(labels, pd.read_csv(labels).assign(label="a").to_dict("records"))
    with pytest.raises(DataError, match=r"only the class 'a'.*Two classes are needed: say another --label-column\."):
        ingest(workspace, folder, labels=str(labels), modality="xray")


# ---- the ledger


def test_a_table_beside_its_scans_is_no_problem(
    workspace: Workspace, pictures: Callable[..., tuple[Path, Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, labels = pictures()
    inside = folder / "labels.csv"
    inside.write_bytes(labels.read_bytes())
    (folder / "notes.txt").write_text("x")
    # Found before anything says that it is the table.
    ingest(workspace, folder, labels=str(labels), modality="xray", name="study")
    made = ingest(workspace, folder, labels=str(inside), modality="xray", name="study")
    ledger = pd.read_csv(made.ledger)
    assert ledger["reason"].value_counts().to_dict() == {"labels_file": 1, "not_an_image": 1}
    assert ledger.loc[ledger["reason"] == "labels_file", "outcome"].tolist() == ["skipped"]
    terminal.show("ingest", made)
    assert "Left out: not_an_image 1" in capsys.readouterr().out


# ---- a window


def test_a_window_without_a_modality_suggests_ct(tmp_path: Path, workspace: Workspace) -> None:
    archive = tmp_path / "mixed.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for i in range(7):
            ct = {"SOPClassUID": CTImageStorage, "Modality": "CT"} if i < 3 else {}
            packed.write(dicom(tmp_path / "one", picture(i, 32), patient=f"P{i}", **ct), f"{i}")
    with pytest.raises(UsageError, match=r"xray \(Modality of 4 of 7 readable files\) has no Hounsfield") as caught:
        ingest(workspace, archive, window="lung")
    assert "Say --modality ct to take the 3 files of CT alone, or leave it out." in caught.value.line()
    with pytest.raises(UsageError, match="Leave it out"):
        ingest(workspace, *folders(tmp_path, "flat"), window="lung", modality="xray")


# ---- caveats


def test_one_of_a_kind_is_told_in_the_singular() -> None:
    told = caveats.tell(Counter(face=1, text=2), Counter(file=1))
    assert [line.split(":")[0].split(",")[0] for line in told] == [
        "1 image without patient id",
        "2 images of kinds that often carry burned-in names (ultrasound",
        "1 image of heads",
    ]
    assert caveats.unlabelled({"images": 5, "unlabelled": 1}) == ["1 of 5 images has no label and is not trained on"]
    assert series.sentences({"repeated": 1})[0].startswith("in 1 series several images lie at one place")
