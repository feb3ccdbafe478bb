"""Real archives: nothing is lost silently, no patient is in two splits, published counts stay."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medsyn.config import IngestOptions
from medsyn.data import Dataset
from medsyn.ingest import stage
from medsyn.workspace import Workspace

pytestmark = pytest.mark.real


def files_below(folder: Path) -> int:
    return sum(p.is_file() for p in folder.rglob("*"))


def check_totals(result: stage.IngestResult, files: int) -> pd.DataFrame:
    ledger = pd.read_parquet(result.path / "ledger.parquet")
    assert sorted(set(ledger["input"])) == list(range(1, files + 1))
    assert not ledger.duplicated(["input", "frame"]).any()
    assert result.files == files
    assert sum(result.outcomes.values()) == len(ledger)
    assert ledger["images"].sum() == result.images
    assert ledger.loc[ledger["outcome"] != "ingested", "reason"].notna().all()
    assert (ledger.loc[ledger["outcome"] == "ingested", "images"] == 1).all()
    return ledger


@pytest.mark.parametrize("modality", [None, "ct", "ultrasound"])
def test_every_dicom_file_is_accounted_for(real_data: Path, workspace: Workspace, modality: str | None) -> None:
    folder = real_data / "dicom"
    values = {"paths": [str(folder)], "modality": modality, "workers": 1, "subject_from": "file"}
    result = stage.run(IngestOptions.model_validate(values), workspace)
    check_totals(result, files_below(folder))
    assert result.modality == (modality or "mri")
    images = Dataset.open(result.path).images(np.arange(result.images))
    assert np.isfinite(images).all()
    assert (images.reshape(len(images), -1).max(1) <= 1).all()


def test_no_patient_in_two_splits(real_data: Path, workspace: Workspace) -> None:
    folder = real_data / "xray"
    options = IngestOptions(paths=[str(folder)], labels=str(folder / "labels.csv"), modality="xray", size=32)
    result = stage.run(options, workspace)
    table = pd.read_csv(folder / "labels.csv")
    patient = {
        hashlib.sha256((folder / row.file).read_bytes()).hexdigest(): (row.patient_id, row.label)
        for row in table.itertuples()
    }
    index = pd.read_parquet(result.path / "index.parquet", columns=["image", "source_digest", "sex", "view"])
    split = pd.read_parquet(result.path / "splits.parquet", columns=["image", "split"])
    target = pd.read_parquet(result.path / "targets.parquet", columns=["image", "value"])
    joined = index.merge(split, on="image").merge(target, on="image")
    joined["patient"] = [patient[d][0] for d in joined["source_digest"]]
    assert [patient[d][1] for d in joined["source_digest"]] == list(joined["value"])
    assert len(joined) == result.images >= 990
    assert joined["patient"].nunique() == result.subjects
    assert (joined.groupby("patient")["split"].nunique() == 1).all()
    assert set(joined["split"]) == {"train", "tune", "val", "test"}
    assert joined["sex"].isin(["M", "F"]).all()
    assert joined["view"].isin(["AP", "PA"]).all()


def test_medmnist_keeps_its_official_split(real_data: Path, workspace: Workspace) -> None:
    result = stage.run(IngestOptions(paths=[str(real_data / "pneumoniamnist.npz")]), workspace)
    data = Dataset.open(result.path)
    counts = data.table["split"].value_counts()
    assert result.modality == "xray"
    assert data.classes == ["normal", "pneumonia"]
    assert data.image_shape == (1, 28, 28)
    assert counts["test"] == 624
    assert counts["val"] == 524
    assert counts["train"] + counts["tune"] == 4708 - 26  # 8 shown again in val, 18 in train itself
    assert 0.09 < counts["tune"] / (counts["train"] + counts["tune"]) < 0.11
    assert (data.table.groupby("pixel_digest")["split"].nunique() == 1).all()
    with np.load(real_data / "pneumoniamnist.npz") as published:
        test = data.rows("test")
        assert np.allclose(data.images(test)[:, 0] * 255, published["test_images"], atol=0.01)
        assert np.array_equal(data.labels(test), published["test_labels"][:, 0])
