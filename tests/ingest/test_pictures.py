"""Synthetic pictures: shown as they were made, at their own side, and never taken for what was measured."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest

from medsyn.augment.writers import ENCODERS, Origin
from medsyn.config import IngestOptions
from medsyn.data import Dataset
from medsyn.ingest import stage
from medsyn.workspace import Workspace

from .conftest import dicom, picture, png

ORIGIN = Origin("a" * 64, 0, 1.0, None, "ct", "0")
FORMATS = pytest.mark.parametrize("fmt", list(ENCODERS))


def synthetic(folder: Path, fmt: str, numbers: range, side: int = 32, channels: int = 1) -> Path:
    """Pictures over a part of the grey scale, 60 to 180, which percentiles would stretch."""
    for i in numbers:
        field = picture(i, side).astype(float)
        pixels = np.rint(60 + 120 * (field - field.min()) / np.ptp(field)).astype(np.uint8)
        for name, data in ENCODERS[fmt](ORIGIN).encode(np.stack([pixels] * channels), "ab"[i % 2], i).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
    return folder


def go(workspace: Workspace, folder: Path, modality: str, **more: object) -> tuple[Dataset, stage.IngestResult]:
    values = {"paths": [str(folder)], "modality": modality, "workers": 1, "subject_from": "file", **more}
    result = stage.run(IngestOptions.model_validate(values), workspace)
    return Dataset.open(result.path), result


def range_of(dataset: Dataset) -> tuple[int, int]:
    shown = np.rint(dataset.images(dataset.rows(labelled=False)) * 255)
    return int(shown.min()), int(shown.max())


@FORMATS
def test_alone_they_keep_their_side_and_their_grey_scale(tmp_path: Path, workspace: Workspace, fmt: str) -> None:
    dataset, result = go(workspace, synthetic(tmp_path / "set", fmt, range(6)), "ct")
    assert dataset.image_shape == (1, 32, 32)
    assert range_of(dataset) == (60, 180)
    assert dataset.table["synthetic"].all()
    assert "plain pictures hold no Hounsfield units: grey values are relative" in result.caveats


@FORMATS
def test_colour_becomes_luminance_of_the_same_scale(tmp_path: Path, workspace: Workspace, fmt: str) -> None:
    dataset, _ = go(workspace, synthetic(tmp_path / "set", fmt, range(4), channels=3), "xray")
    assert dataset.image_shape == (1, 32, 32)
    assert range_of(dataset) == (60, 180)


@FORMATS
def test_beside_real_scans_they_have_the_size_of_the_preset(tmp_path: Path, workspace: Workspace, fmt: str) -> None:
    folder = synthetic(tmp_path / "set", fmt, range(3))
    png(folder / "real.png", picture(9, 32, 8).astype(np.uint8))
    dataset, _ = go(workspace, folder, "xray")
    assert dataset.image_shape == (1, 64, 64)
    assert sorted(dataset.table["synthetic"]) == [False, True, True, True]


@FORMATS
def test_of_several_sides_or_too_large_they_have_the_size_of_the_preset(
    tmp_path: Path, workspace: Workspace, fmt: str
) -> None:
    mixed = synthetic(synthetic(tmp_path / "mixed", fmt, range(2)), fmt, range(2, 4), side=40)
    assert go(workspace, mixed, "xray")[0].image_shape == (1, 64, 64)
    large = synthetic(tmp_path / "large", fmt, range(2), side=1030)
    assert go(workspace, large, "xray")[0].image_shape == (1, 64, 64)


@pytest.mark.parametrize("fmt", ["dicom", "nifti"])
def test_beside_real_ct_they_are_no_hounsfield_units(tmp_path: Path, workspace: Workspace, fmt: str) -> None:
    folder = synthetic(tmp_path / "set", fmt, range(2))
    units = {"Modality": "CT", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "RescaleSlope": 1, "RescaleIntercept": -1024}
    dicom(folder / "real", picture(7), **units)
    dataset, result = go(workspace, folder, "ct", max_failures=1)
    assert list(dataset.table["synthetic"]) == [False]
    assert list(dataset.table["value_unit"]) == ["HU"]
    assert result.reasons["no_hounsfield"] == 2


def test_a_picture_of_few_grey_values_is_no_segmentation(tmp_path: Path, workspace: Workspace) -> None:
    pixels = np.zeros((1, 32, 32), np.uint8)
    pixels[0, 4:20, 8:30], pixels[0, 6:9, 10:12] = 100, 255
    for name, data in ENCODERS["nifti"](ORIGIN).encode(pixels, "lesion", 0).items():
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(data)
    dataset, _ = go(workspace, tmp_path / "set", "mri")
    np.testing.assert_array_equal(np.rint(dataset.images(np.array([0]))[0] * 255), pixels)


def test_a_synthetic_volume_that_says_where_it_lies_is_a_volume_and_synthetic(
    tmp_path: Path, workspace: Workspace
) -> None:
    """Of another tool: `medsyn augment` writes no geometry."""
    image = nibabel.Nifti1Image(picture(0, 32)[:, :, None].astype(np.int16), np.diag([2.0, 2.0, 5.0, 1.0]))
    image.header["intent_name"] = b"Synthetic"
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.nii.gz").write_bytes(gzip.compress(image.to_bytes()))
    dataset, _ = go(workspace, tmp_path / "set", "mri")
    (row,) = dataset.table.to_dict("records")
    assert row["synthetic"]
    assert row["display_source"] == "percentiles"
    assert (row["source_height"], row["spacing_row"]) == (32, 1.0)  # 64 of 32 pixels of 2 mm
    assert dataset.image_shape == (1, 64, 64)
