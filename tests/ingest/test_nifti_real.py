"""Real volumes and their segmentations, against nibabel's own reading."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest

from medsyn.config import IngestOptions, load_preset
from medsyn.data import Dataset
from medsyn.data.resize import fit_mask
from medsyn.ingest import masks, nifti, reading, scan, stage
from medsyn.ingest.block import unpack
from medsyn.ingest.source import LookFor, Plane, Probe, Recipe
from medsyn.workspace import Workspace

pytestmark = pytest.mark.real

RECIPE = Recipe(b"key", load_preset("mri"), 64, False)


def scans(real_data: Path) -> list[Probe]:
    """Volumes, their segmentations attached."""
    found = {p.number: p for p in scan.probe_chunk(list(scan.find([str(real_data / "nifti")])), LookFor(b"key"))}
    volumes = [p for p in found.values() if p.kind == "nifti"]
    made = masks.pair(lambda: volumes)
    for number, mask in made.masks.items():
        found[number].mask = found[mask]
    assert len(made.refused) == 24
    return [p for p in volumes if p.number not in made.refused]


def seen(path: str) -> np.ndarray:
    """Axial slices ``[n, H, W]`` of the first volume, with the nose above and the patient's right at the left."""
    image = nibabel.as_closest_canonical(nibabel.load(path))
    values = image.get_fdata()
    values = values[..., 0] if values.ndim == 4 else values
    return np.rot90(values, axes=(0, 1))[:, ::-1].transpose(2, 0, 1)


def grey_levels(plane: Plane) -> np.ndarray:
    assert plane.display is not None
    shown = (plane.values.astype(np.float64) - plane.display.low) / (plane.display.high - plane.display.low)
    return np.rint(np.clip(shown, 0, 1) * 255)


def test_every_grey_value_agrees(real_data: Path) -> None:
    volumes = scans(real_data)
    assert len(volumes) == 33
    for found in volumes:
        _, planes = nifti.read(found, RECIPE)
        expected = seen(found.path)
        low, high = np.percentile(expected, (1, 99.5))
        empty = 0
        for plane, values in zip(planes, expected, strict=True):
            levels = np.rint(np.clip((values - low) / (high - low), 0, 1) * 255)
            if np.ptp(plane.values):
                assert np.abs(grey_levels(plane) - levels).max() <= 1
            else:
                assert np.ptp(values) <= 0.01 * (high - low)
                empty += 1
        assert empty < len(expected) / 2


def test_every_file_is_read_or_its_reason_told(real_data: Path) -> None:
    groups = [reading.Group([p], "") for p in scans(real_data)]
    results = reading.read_task(groups, RECIPE)
    assert all("ingested" in {row.outcome for row in r.rows} for r in results)
    assert {row.reason for r in results for row in r.rows} == {"", "constant"}
    assert len(results) == 33
    assert sum("first of 2 volumes" in r.rows[0].detail for r in results) == 1
    assert sum(sum(unpack(b.columns, b.images)["has_mask"]) for r in results for b in r.blocks) > 500


def test_all_hippocampi_find_their_segmentations(real_data: Path) -> None:
    found = [p for p in scans(real_data) if p.mask]
    assert len(found) == 24
    for p in found:
        assert p.mask is not None
        assert p.mask.path == p.path.replace("/images/", "/labels/")
        facts, planes = nifti.read(p, Recipe(b"key", load_preset("mri"), 64, False, mask_label="posterior=2"))
        slices = list(planes)
        assert "segmentation" not in facts.note
        got, expected = np.stack([s.mask for s in slices if s.mask is not None]), seen(p.mask.path)
        assert got.shape == expected.shape
        for value in (1, 2):
            one, other = got == value, expected == value
            assert 2 * (one & other).sum() / (one.sum() + other.sum()) == 1
        assert [s.label for s in slices] == ["posterior" if (m == 2).any() else "no_posterior" for m in expected]
        # Stored at the size of the volume, no voxel is lost.
        size = max(got.shape[1:])
        fitted = np.stack([fit_mask(s.mask, size, s.pixel) for s in slices if s.mask is not None])
        assert (fitted > 0).sum() == (expected > 0).sum()


def test_every_file_is_accounted_for(real_data: Path, workspace: Workspace) -> None:
    folder = real_data / "nifti"
    files = sum(p.is_file() for p in folder.rglob("*"))
    options = IngestOptions(
        paths=[str(folder)], modality="mri", size=64, subject_from="file", slices="every=2", mask_label="posterior=2"
    )
    result = stage.run(options, workspace)
    ledger = pd.read_parquet(result.path / "ledger.parquet")
    first = ledger.groupby("input").first()
    assert list(first.index) == list(range(1, files + 1))
    assert (first["reason"] == "mask_of").sum() == 24
    assert ledger.loc[ledger["outcome"] == "ingested", "input"].nunique() == 33
    assert ledger["images"].sum() == result.images
    assert not (ledger["outcome"] == "failed").any()
    data = Dataset.open(result.path)
    segmented = data.masks(np.arange(result.images))
    assert data.table.loc[data.table["has_mask"], "volume"].nunique() == 24
    # At 64 pixels a voxel of the hippocampus is larger than one: none is lost.
    posterior = (segmented == 2).any((1, 2))
    assert list(data.table["label"].fillna("")) == [
        "" if not has else "posterior" if there else "no_posterior"
        for has, there in zip(data.table["has_mask"], posterior, strict=True)
    ]
