"""One source each: pictures, colour, archives, and what a file is told from."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from medsyn.config import IngestOptions
from medsyn.data import Dataset
from medsyn.errors import DataError
from medsyn.ingest import scan, stage
from medsyn.workspace import Workspace

from .conftest import dicom, picture, png


def shown(workspace: Workspace, path: Path, modality: str, size: int = 64) -> np.ndarray:
    options = IngestOptions.model_validate({"paths": [str(path)], "modality": modality, "size": size})
    data = Dataset.open(stage.run(options, workspace).path)
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
    probes = scan.probe_chunk(scan.find([str(tmp_path)]))
    assert [p.kind for p in probes] == [*["dicom"] * 2, *["raster"] * 2, *["nifti"] * 2, *["npz"] * 2, *["other"] * 2]
    refused = [p.refused.reason if p.refused else None for p in probes]
    assert refused == [*[None] * 7, "archive", "not_an_image", "not_a_file"]


def test_a_header_that_lies_about_its_size_allocates_nothing(tmp_path: Path) -> None:
    dicom(tmp_path / "huge", picture(0), Rows=60000, Columns=60000)
    (probe,) = scan.probe_chunk(scan.find([str(tmp_path)]))
    assert probe.refused is not None
    assert probe.refused.reason == "too_large"


def test_nothing_but_hounsfield_goes_into_a_ct_dataset(tmp_path: Path, workspace: Workspace) -> None:
    ct = {"Modality": "CT", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}
    dicom(tmp_path / "raw", picture(0), **ct)
    dicom(tmp_path / "map", picture(1), RescaleSlope=1, RescaleIntercept=0, RescaleType="Z_EFF", **ct)
    with pytest.raises(DataError, match="no_hounsfield 2"):
        shown(workspace, tmp_path, "ct")


def test_not_finite_values_are_told(tmp_path: Path, workspace: Workspace) -> None:
    volume = np.random.default_rng(0).random((16, 16, 3)).astype(np.float32)
    volume[4, 4, 1] = np.nan
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / "v.nii")
    result = stage.run(IngestOptions(paths=[str(tmp_path / "v.nii")], modality="mri"), workspace)
    assert result.images == 2
    assert "1 not finite images left out" in result.ledger.read_text()
