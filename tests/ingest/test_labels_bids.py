"""BIDS: participants, their table, and what lies beside the raw data."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest

from medsyn.config import IngestOptions
from medsyn.errors import DataError
from medsyn.ingest import stage
from medsyn.workspace import Workspace

from .looking import join

N = 8


def volume(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).random((12, 12, 2)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)
    return path


def bids(folder: Path, *, prefix: str = "sub-", name: str = "Study", **columns: object) -> Path:
    """Two sessions a participant."""
    folder.mkdir(parents=True)
    (folder / "dataset_description.json").write_text(json.dumps({"Name": name, "BIDSVersion": "1.10.0"}))
    for i in range(N):
        for s in (1, 2):
            place = folder / f"sub-{i:02}" / f"ses-{s}" / "anat"
            volume(place / f"sub-{i:02}_ses-{s}_T1w.nii.gz", 2 * i + s)
            (place / f"sub-{i:02}_ses-{s}_T1w.json").write_text("{}")
    if columns:
        frame = pd.DataFrame({"participant_id": [f"{prefix}{i:02}" for i in range(N)], **columns})
        frame.to_csv(folder / "participants.tsv", sep="\t", index=False)
    return folder


def test_participants_give_class_patient_and_covariates(tmp_path: Path, workspace: Workspace) -> None:
    folder = bids(tmp_path / "ds", group=list("ab") * (N // 2), age=[41] * N, sex=["F", "M"] * (N // 2))
    volume(folder / "derivatives" / "pipeline" / "sub-00" / "anat" / "sub-00_T1w.nii.gz", 99)
    result = stage.run(IngestOptions(paths=[str(folder)], modality="mri", size=16, workers=1), workspace)
    assert result.outcomes["ingested"] == 4 * N
    assert result.subjects == N
    assert {c: sum(s.values()) for c, s in result.images_per_class.items()} == {"a": 2 * N, "b": 2 * N}
    assert "not_raw" in result.ledger.read_text()
    index = pd.read_parquet(result.path / "index.parquet")
    assert set(index["age_band"]) == {"40-49"}
    assert set(index["sex"]) == {"F", "M"}
    assert not any("without patient id" in c for c in result.caveats)
    assert "sub-0" not in index.to_csv()


@pytest.mark.parametrize("below", ["", "sub-03", "sub-03/ses-1/anat", "sub-03/ses-1/anat/sub-03_ses-1_T1w.nii.gz"])
def test_a_part_of_a_dataset_finds_its_participants(tmp_path: Path, below: str) -> None:
    folder = bids(tmp_path / "ds", diagnosis=list("ab") * (N // 2))
    got, joined = join(folder / below)
    assert len(got) == {0: 2 * N, 1: 2, 3: 1, 4: 1}[len(Path(below).parts)]
    assert {label for label, _ in got.values()} == ({"b"} if below else {"a", "b"})
    told = "BIDS: participants.tsv is used (column 'diagnosis' is the class); sub-* folders are patients"
    assert told in joined.told


def test_ids_without_their_prefix_are_mended_and_told(tmp_path: Path) -> None:
    got, joined = join(bids(tmp_path / "ds", prefix="", dx=list("ab") * (N // 2)))
    assert len(got) == 2 * N
    assert any("with 'sub-' in front" in line for line in joined.told)


def test_which_column_is_the_class_is_not_guessed(tmp_path: Path) -> None:
    folder = bids(tmp_path / "ds", group=list("ab") * (N // 2), dx=list("cd") * (N // 2))
    _, joined = join(folder)
    assert not joined.labelled
    assert any("say --label-column (there are: group, dx)" in line for line in joined.told)
    got, joined = join(folder, label_columns=["dx", "group"])
    assert {label for label, _ in got.values()} == {"c", "d"}
    assert {row.targets["group"].value for row in joined.rows.values()} == {"a", "b"}
    with pytest.raises(DataError, match="no label column 'x'; there are: participant_id, group, dx"):
        join(folder, label_columns=["x"])


def test_without_a_table_the_folders_still_name_patients(tmp_path: Path, workspace: Workspace) -> None:
    folder = bids(tmp_path / "ds")
    result = stage.run(IngestOptions(paths=[str(folder)], modality="mri", size=16, workers=1), workspace)
    assert (result.subjects, result.images_per_class) == (N, {})


def test_a_table_of_ones_own_joins_by_participant(tmp_path: Path) -> None:
    folder = bids(tmp_path / "ds", group=list("ab") * (N // 2))
    frame = pd.DataFrame({"participant_id": [f"sub-{i:02}" for i in range(N)], "label": list("xy") * (N // 2)})
    frame.to_csv(tmp_path / "own.csv", index=False)
    got, joined = join(folder, labels=str(tmp_path / "own.csv"))
    assert {label for label, _ in got.values()} == {"x", "y"}
    assert "BIDS: sub-* folders are patients; participants.tsv is not used beside --labels" in joined.told


def test_participants_of_two_datasets_are_two_persons(tmp_path: Path, workspace: Workspace) -> None:
    paths = []
    for k, name in enumerate(("One", "Two")):
        folder = bids(tmp_path / name, name=name, group=list("ab") * (N // 2))
        for i, file in enumerate(sorted(folder.rglob("*.nii.gz"))):
            volume(file, 1000 * k + i)
        paths.append(str(folder))
    result = stage.run(IngestOptions(paths=paths, modality="mri", size=16, workers=1), workspace)
    assert result.subjects == 2 * N
    assert result.outcomes["ingested"] == 8 * N
