"""One source each: pictures, colour, archives, and what a file is told from."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from medsyn.config import IngestOptions
from medsyn.data import Dataset
from medsyn.errors import DataError
from medsyn.ingest import scan, stage, volume
from medsyn.ingest.source import LookFor
from medsyn.workspace import Workspace

from .conftest import dicom, picture, png


def shown(workspace: Workspace, path: Path, modality: str, size: int = 64) -> np.ndarray:
    options = {"paths": [str(path)], "modality": modality, "size": size, "subject_from": "file"}
    data = Dataset.open(stage.run(IngestOptions.model_validate(options), workspace).path)
    return data.images(data.rows(labelled=False))[:, 0]


def by_percentiles(values: np.ndarray) -> np.ndarray:
    low, high = np.percentile(values, (0.5, 99.5))
    return np.clip((values - low) / (high - low), 0, 1)


def test_sixteen_bits_survive(tmp_path: Path, workspace: Workspace) -> None:
    pixels = picture(0, 64, 16)
    image = shown(workspace, png(tmp_path / "deep.png", pixels), "xray")[0]
    assert np.abs(image - by_percentiles(pixels)).max() < 1e-4


def test_colour_becomes_luminance(tmp_path: Path, workspace: Workspace) -> None:
    rgb = np.stack([picture(i, 64, 8) for i in range(3)], -1).astype(np.uint8)
    expected = by_percentiles(rgb @ np.array([0.299, 0.587, 0.114]))
    image = shown(workspace, png(tmp_path / "colour.png", rgb), "ultrasound")[0]
    assert np.abs(image - expected).max() < 1e-3
    header = {"Modality": "US", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.6.1", "SamplesPerPixel": 3}
    header |= {"PhotometricInterpretation": "RGB", "PlanarConfiguration": 0, "Rows": 64, "Columns": 64}
    path = dicom(tmp_path / "us", rgb[..., 0], bits=8, **header, PixelData=rgb.tobytes())
    image = shown(workspace, path, "ultrasound")[0]
    assert np.abs(image - expected).max() < 1e-3


def test_pages_of_a_tiff_are_one_volume(tmp_path: Path, workspace: Workspace) -> None:
    pages = [Image.fromarray(picture(i, 64, 16)) for i in range(3)]
    pages[0].save(tmp_path / "stack.tif", save_all=True, append_images=pages[1:])
    images = shown(workspace, tmp_path / "stack.tif", "xray")
    assert len(images) == 3
    everything = by_percentiles(np.stack([picture(i, 64, 16) for i in range(3)]))
    assert np.abs(images - everything).max() < 1e-4


def test_kinds_are_told_by_content_not_by_suffix(tmp_path: Path) -> None:
    dicom(tmp_path / "a.png", picture(0))
    (tmp_path / "b").write_bytes((tmp_path / "a.png").read_bytes()[132:])
    Image.fromarray(picture(1, 32, 8).astype(np.uint8)).save(tmp_path / "c.dcm", "PNG")
    Image.fromarray(picture(2, 32, 8).astype(np.uint8)).save(tmp_path / "d", "BMP")
    nibabel.save(nibabel.Nifti1Image(np.zeros((2, 2, 2)), np.eye(4)), tmp_path / "e.nii.gz")
    (tmp_path / "e.nii.gz").rename(tmp_path / "e.jpg")
    nibabel.save(nibabel.Nifti2Image(np.zeros((2, 2, 2)), np.eye(4)), tmp_path / "f.nii")
    np.savez(tmp_path / "g.npz", train_images=np.zeros((2, 8, 8)))
    np.savez(tmp_path / "h.npz", other=np.zeros(3))
    (tmp_path / "i.dcm").write_text("file,label\n")
    (tmp_path / "j").symlink_to(tmp_path / "nowhere")
    probes = scan.probe_chunk(list(scan.find([str(tmp_path)])), LookFor(b"key"))
    assert [p.kind for p in probes] == [*["dicom"] * 2, *["raster"] * 2, *["nifti"] * 2, *["npz"] * 2, *["other"] * 2]
    refused = [p.refused.reason if p.refused else None for p in probes]
    assert refused == [*[None] * 7, "archive", "not_an_image", "not_a_file"]


def test_a_header_that_lies_about_its_size_allocates_nothing(tmp_path: Path) -> None:
    dicom(tmp_path / "huge", picture(0), Rows=60000, Columns=60000)
    (probe,) = scan.probe_chunk(list(scan.find([str(tmp_path)])), LookFor(b"key"))
    assert probe.refused is not None
    assert probe.refused.reason == "too_large"


def test_nothing_but_hounsfield_goes_into_a_ct_dataset(tmp_path: Path, workspace: Workspace) -> None:
    ct = {"Modality": "CT", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}
    dicom(tmp_path / "raw", picture(0), **ct)
    dicom(tmp_path / "map", picture(1), RescaleSlope=1, RescaleIntercept=0, RescaleType="Z_EFF", **ct)
    with pytest.raises(DataError, match="no_hounsfield 2"):
        shown(workspace, tmp_path, "ct")


def test_not_finite_values_are_told(tmp_path: Path, workspace: Workspace) -> None:
    values = np.random.default_rng(0).random((16, 16, 3)).astype(np.float32)
    values[4, 4, 1] = np.inf
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "v.nii")
    result = stage.run(IngestOptions(paths=[str(tmp_path / "v.nii")], modality="mri", subject_from="file"), workspace)
    assert result.images == 2
    ledger = pd.read_csv(result.ledger)
    assert list(zip(ledger["input"], ledger["frame"], ledger["outcome"], strict=True)) == [
        (1, 0, "ingested"),
        (1, 1, "failed"),
        (1, 2, "ingested"),
    ]
    assert ledger.loc[1, "reason"] == "not_finite"


def test_folders_that_are_not_entered_are_told(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans = tmp_path / "scans"
    dicom(scans / "film", picture(0))
    (tmp_path / "elsewhere").mkdir()
    (scans / "link").symlink_to(tmp_path / "elsewhere")
    (scans / "closed").mkdir()
    inside = Workspace(scans / "inside").create()
    png(inside.path / "synthetic" / "x-001" / "0.png", picture(1, 32, 8).astype(np.uint8))
    scandir = os.scandir

    def refusing(path: str | int) -> object:  # root may read every folder, so permissions cannot close one
        if str(path).endswith("closed"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    result = stage.run(IngestOptions(paths=[str(scans)], size=32, max_failures=0.5), workspace)
    ledger = pd.read_csv(result.ledger)
    assert list(zip(ledger["outcome"], ledger["reason"], strict=True))[0::2] == [
        ("failed", "unreadable_folder"),
        ("skipped", "workspace"),
    ]
    assert list(ledger["reason"])[3] == "link_to_folder"
    assert result.outcomes == {"ingested": 1, "duplicate": 0, "quarantined": 0, "skipped": 2, "failed": 1}
    # A folder of the workspace that is named itself is read.
    made = str(inside.path / "synthetic")
    one = stage.run(IngestOptions(paths=[made], modality="xray", size=32, subject_from="file"), workspace)
    assert one.images == 1


@pytest.mark.parametrize("missing", ["val", "test", None])
def test_a_split_without_its_counterpart_is_not_official(
    tmp_path: Path, workspace: Workspace, missing: str | None
) -> None:
    rng = np.random.default_rng(0)
    arrays = {}
    for split, n in (("train", 60), ("val", 20), ("test", 20)):
        n = 0 if split == missing else n
        arrays[f"{split}_images"] = rng.integers(0, 255, (n, 16, 16), dtype=np.uint8)
        arrays[f"{split}_labels"] = np.arange(n)[:, None] % 2
    np.savez(tmp_path / "set.npz", **arrays)
    result = stage.run(IngestOptions(paths=[str(tmp_path / "set.npz")], modality="xray"), workspace)
    rows = pd.read_parquet(result.path / "splits.parquet")
    counts = rows["split"].value_counts().to_dict()
    if missing is None:
        assert counts == {"train": 54, "tune": 6, "val": 20, "test": 20}
        assert set(rows["origin"]) == {"official"}
    else:
        assert counts == {"train": 48, "tune": 8, "val": 12, "test": 12}
        assert set(rows["origin"]) == {"drawn"}


def sagittal(values: np.ndarray, path: Path) -> Path:
    """Axes i, j, k run to the front, to the head and to the patient's right, as a sagittal acquisition stores them."""
    affine = np.array([[0, 0, 4.0, 0], [1.0, 0, 0, 0], [0, 2.0, 0, 0], [0, 0, 0, 1]])
    image = nibabel.Nifti1Image(values, affine)
    image.header.set_slope_inter(0.5, -10)
    nibabel.save(image, path)
    return path


def test_a_volume_is_cut_as_its_preset_says(tmp_path: Path, workspace: Workspace) -> None:
    """Of a series, the first volume: 2 mm high and 1 mm wide pixels, looked at from the side."""
    values = np.random.default_rng(0).integers(0, 1000, (16, 8, 5, 2), dtype=np.int16)
    path = sagittal(values, tmp_path / "v.nii.gz")
    options = {"paths": [str(path)], "size": 16, "subject_from": "file"}
    side_view = Dataset.open(stage.run(IngestOptions(**options, modality="ultrasound"), workspace).path)
    # Front at the left, head up.
    as_seen = values[::-1, ::-1, :, 0].T * 0.5 - 10
    low, high = np.percentile(as_seen, (0.5, 99.5))
    first = side_view.table.loc[0]
    assert len(side_view.table) == 5
    assert (first["source_height"], first["source_width"]) == (8, 16)
    assert (first["display_low"], first["display_high"]) == pytest.approx((low, high), rel=1e-6)
    assert first["orientation"] == pytest.approx([0, 1, 0, 0, 0, -1])
    # Right is negative in LPS, and so is the normal of front-to-back times head-to-feet.
    assert list(side_view.table["slice_position"]) == pytest.approx([0, 4, 8, 12, 16])
    shown = side_view.images(np.arange(5))[:, 0]
    lines = np.clip((as_seen - low) / (high - low), 0, 1)
    # Pixels are square after resizing: every row stands for two, its neighbourhood mixed in by the filter.
    assert all(
        np.corrcoef(image[1::2].ravel(), plane.ravel())[0, 1] > 0.8 for image, plane in zip(shown, lines, strict=True)
    )
    axial = Dataset.open(stage.run(IngestOptions(**options, modality="mri"), workspace).path)
    assert len(axial.table) == 8
    assert axial.table.loc[0, "orientation"] == pytest.approx([1, 0, 0, 0, 1, 0])
    assert (axial.table.loc[0, "source_height"], axial.table.loc[0, "source_width"]) == (16, 5)


def test_large_volumes_are_sampled_or_refused(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.random.default_rng(0).normal(100, 20, (40, 40, 40)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "v.nii")
    options = IngestOptions(paths=[str(tmp_path / "v.nii")], modality="mri", size=40, subject_from="file")
    whole = Dataset.open(stage.run(options, workspace).path).table.loc[0]
    monkeypatch.setattr(volume, "SAMPLE", 8000)
    sampled = Dataset.open(stage.run(options.model_copy(update={"name": "again"}), workspace).path).table.loc[0]
    expected = np.percentile(values[::2, ::2, ::2], (1, 99.5))
    assert (sampled["display_low"], sampled["display_high"]) == pytest.approx(tuple(expected))
    assert (sampled["display_low"], sampled["display_high"]) == pytest.approx(
        (whole["display_low"], whole["display_high"]), abs=2
    )
    with pytest.raises(DataError, match="too_large 1"):  # four bytes a voxel, where two are allowed
        stage.run(options.model_copy(update={"max_pixels": 2**16}), workspace)
