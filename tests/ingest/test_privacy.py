"""Long random strings planted in everything that holds text must not come out anywhere."""

from __future__ import annotations

import json
import secrets
import sqlite3
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from pydicom.dataset import Dataset as Header

from medsyn import terminal
from medsyn.config import IngestOptions
from medsyn.ingest import deidentify, stage
from medsyn.inspection import console
from medsyn.inspection import stage as inspection
from medsyn.workspace import Workspace, read_json

from .conftest import dicom, picture, png, table

TEXT = {  # one element of every text VR
    "PN": "PatientName",
    "LO": "InstitutionName",
    "SH": "AccessionNumber",
    "ST": "InstitutionAddress",
    "LT": "PatientComments",
    "UT": "TextValue",
    "UC": "LongCodeValue",
    "UR": "RetrieveURL",
    "AE": "RetrieveAETitle",
    "CS": "BodyPartExamined",
}


class Canaries(list[str]):
    def new(self) -> str:
        self.append("CANARY" + secrets.token_hex(12).upper())
        return self[-1]


def film(path: Path, seed: int, canaries: Canaries) -> None:
    nested, deeper = Header(), Header()
    for keyword in TEXT.values():
        setattr(nested, keyword, canaries.new())
        setattr(deeper, keyword, canaries.new())
    nested.RequestAttributesSequence = [deeper]
    elements = {keyword: canaries.new() for keyword in TEXT.values()}
    elements |= {k: canaries.new() for k in ("Manufacturer", "ViewPosition", "PatientSex", "ImageComments", "StudyID")}
    elements |= {"PatientBirthDate": "19230417", "StudyDate": "20190102", "IssuerOfPatientID": canaries.new()}
    dicom(path, picture(seed), patient=canaries.new(), RequestAttributesSequence=[nested], **elements)
    import pydicom

    ds = pydicom.dcmread(path)
    block = ds.private_block(0x0019, canaries.new(), create=True)
    block.add_new(1, "LO", canaries.new())
    block.add_new(2, "UN", canaries.new().encode())
    ds.add_new(0x00104000, "LT", canaries.new())
    ds.save_as(path)


def decoded(workspace: Workspace) -> str:
    """Everything outside of ``private``, decoded."""
    texts = []
    for path in sorted(workspace.path.rglob("*")):
        texts.append(path.relative_to(workspace.path).as_posix())
        if not path.is_file() or workspace.private in path.parents:
            continue
        texts.append(path.read_bytes().decode("latin-1"))
        if path.suffix == ".parquet":
            texts.append(pd.read_parquet(path).to_csv())
        if path.suffix == ".npy":
            texts.append(np.load(path).tobytes().decode("latin-1"))
        if path.suffix == ".db":
            with sqlite3.connect(path) as store:
                for (name,) in store.execute("select name from sqlite_master where type = 'table'").fetchall():
                    texts.append(repr(store.execute(f'select * from "{name}"').fetchall()))
    return "\n".join(texts)


def test_no_canary_comes_out(
    tmp_path: Path,
    workspace: Workspace,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    canaries = Canaries()
    folder = tmp_path / canaries.new()
    rows = []
    for i in range(8):
        name = f"{canaries.new()}.dcm"
        film(folder / name, i, canaries)
        row = {"file": name, "label": "ab"[i % 2], "patient_id": canaries.new()}
        rows.append({**row, "view": canaries.new(), "sex": canaries.new(), canaries[0]: canaries.new()})
    broken = folder / f"{canaries.new()}.dcm"
    film(broken, 9, canaries)
    broken.write_bytes(broken.read_bytes()[:-500])
    rows.append({**rows[0], "file": broken.name})
    labels = table(tmp_path / f"{canaries.new()}.csv", rows)
    result = stage.run(IngestOptions(paths=[str(folder)], labels=str(labels), size=32, max_failures=0.2), workspace)
    assert result.images == 8
    assert result.outcomes["failed"] == 1
    text = decoded(workspace)
    assert "sqlite" in text.lower()
    assert result.path.name in text
    output = capfd.readouterr()
    everything = (text + caplog.text + output.out + output.err + repr(result)).upper()
    assert len(canaries) > 200
    assert [c for c in canaries if c in everything] == []
    assert "19230417" not in text
    index = pd.read_parquet(result.path / "index.parquet")
    assert set(index["vendor"]) == {"other"}
    assert set(index["age_band"]) == {"80+"}
    assert index[["view", "sex"]].isna().all(axis=None)
    assert broken.name in (workspace.private / read_json(result.path / "dataset.json")["paths_list"]).read_text()


def test_keys_depend_on_project_and_domain() -> None:
    one = deidentify.keyed(b"k" * 32, "subject", "", "P1")
    assert len(one) == 32
    assert one != deidentify.keyed(b"l" * 32, "subject", "", "P1")
    assert one != deidentify.keyed(b"k" * 32, "study", "", "P1")
    assert one != deidentify.keyed(b"k" * 32, "subject", "P1", "")


@pytest.mark.parametrize(
    ("age", "born", "studied", "band"),
    [
        ("045Y", "", "", "40-49"),
        ("018M", "", "", "0-9"),
        ("003D", "", "", "0-9"),
        ("79", "", "", "70-79"),
        ("080Y", "", "", "80+"),
        ("", "19800615", "20000614", "10-19"),
        ("", "19800615", "20000615", "20-29"),
        ("old", "", "", None),
        ("", "", "20000615", None),
        ("999Y", "", "", None),
    ],
)
def test_age_bands(age: str, born: str, studied: str, band: str | None) -> None:
    assert deidentify.age_band(age, born, studied) == band


def test_vendor_is_a_known_name_or_other() -> None:
    assert deidentify.vendor("SIEMENS Healthineers") == "Siemens"
    assert deidentify.vendor("GE MEDICAL SYSTEMS") == "GE"
    assert deidentify.vendor("Dr. Gerald Smith") == "other"
    assert deidentify.vendor("  ") is None


def test_names_of_folders_members_and_labels_as_written_stay_inside(
    tmp_path: Path, workspace: Workspace, capfd: pytest.CaptureFixture[str]
) -> None:
    """Folders may be called by patients; a map makes classes of them, and only the classes come out."""
    canaries = Canaries()
    archive, folders = tmp_path / f"{canaries.new()}.zip", [canaries.new(), canaries.new()]
    with zipfile.ZipFile(archive, "w") as packed:
        for i in range(24):
            file = png(tmp_path / "one.png", picture(i, 32, 8).astype(np.uint8))
            packed.write(file, f"{folders[i % 2]}/{canaries.new()}.png")
    options = IngestOptions(
        paths=[str(archive)],
        modality="xray",
        size=32,
        label_from="folder",
        label_map={folders[0]: "a", folders[1]: "b"},
        subject_from="file",
    )
    result = stage.run(options, workspace)
    assert sorted(result.images_per_class) == ["a", "b"]
    output = capfd.readouterr()
    everything = (decoded(workspace) + output.out + output.err + repr(result)).upper()
    assert '"LABELS_RENAMED": 2' in everything
    assert [c for c in canaries if c in everything] == []


def test_no_canary_of_a_bids_folder_comes_out(
    tmp_path: Path, workspace: Workspace, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    canaries = Canaries()
    folder = tmp_path / canaries.new()
    rows = []
    for i in range(8):
        participant, session = f"sub-{canaries.new()}", f"ses-{canaries.new()}"
        file = folder / participant / session / "anat" / f"{participant}_{session}_acq-{canaries.new()}_T1w.nii.gz"
        file.parent.mkdir(parents=True)
        values = np.stack([picture(10 * i + k, 24) for k in range(3)], axis=2).astype(np.int16)
        volume = nibabel.Nifti1Image(values, np.eye(4))
        volume.header["descrip"], volume.header["aux_file"] = canaries.new(), canaries.new()[:24]
        nibabel.save(volume, file)
        sidecar = {key: canaries.new() for key in ("PatientName", "InstitutionName", "AcquisitionTime", canaries.new())}
        file.with_name(file.name.replace(".nii.gz", ".json")).write_text(json.dumps({**sidecar, "Manufacturer": "GE"}))
        sessions = pd.DataFrame({"session_id": [session], canaries.new(): [canaries.new()]})
        sessions.to_csv(folder / participant / f"{participant}_sessions.tsv", sep="\t", index=False)
        rows.append({"participant_id": participant, "group": "ab"[i % 2], "age": 40, "sex": canaries.new()})
        rows[-1] |= {canaries[0]: canaries.new(), "handedness": canaries.new()}
    broken = folder / f"sub-{canaries.new()}" / "anat" / f"{canaries.new()}_T1w.nii.gz"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(file.read_bytes()[:-200])
    rows.append({**rows[0], "participant_id": broken.parents[1].name})
    pd.DataFrame(rows).to_csv(folder / "participants.tsv", sep="\t", index=False)
    description = {"Name": canaries.new(), "Authors": [canaries.new()], "BIDSVersion": "1.10.0"}
    (folder / "dataset_description.json").write_text(json.dumps(description))
    options = IngestOptions(paths=[str(folder)], modality="mri", size=32, workers=1, max_failures=0.5)
    result = stage.run(options, workspace, terminal.Terminal())
    terminal.show("ingest", result)
    console.tell(inspection.run(workspace), as_json=False)
    assert (result.images, result.subjects, sorted(result.images_per_class)) == (24, 8, ["a", "b"])
    assert result.outcomes["failed"] == 1
    output = capfd.readouterr()
    assert "BIDS: participants.tsv is used (column 'group' is the class)" in output.err
    text = decoded(workspace)
    assert f"What is in {result.path.name}?" in text
    everything = (text + caplog.text + output.out + output.err + repr(result)).upper()
    assert len(canaries) > 100
    assert [c for c in canaries if c[:24] in everything] == []
