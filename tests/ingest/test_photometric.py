"""What colours the sources had, in the index."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from medsyn.config import IngestOptions
from medsyn.data import Dataset
from medsyn.ingest import stage
from medsyn.workspace import Workspace

from .conftest import dicom, picture, png

GREY = picture(1, 64, 8).astype(np.uint8)
RGB = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], -1)


def volume(path: Path, colour: bool) -> None:
    values = np.stack([picture(n, 32) for n in range(6)]).astype(np.int16)
    if colour:
        values = np.stack([values % 251] * 3, -1).astype(np.uint8).view([(c, "u1") for c in "RGB"])[..., 0]
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)


def set_of_28(path: Path, images: np.ndarray) -> None:
    labels = np.arange(len(images))[:, None] % 2
    np.savez(path, train_images=images, train_labels=labels)


@pytest.mark.parametrize(
    ("name", "photometric"),
    [
        ("one.png", "grey"),
        ("three.png", "rgb"),
        ("one.nii.gz", "grey"),
        ("three.nii.gz", "rgb"),
        ("one.npz", "grey"),
        ("three.npz", "rgb"),
        ("MONOCHROME1", "MONOCHROME1"),
        ("MONOCHROME2", "MONOCHROME2"),
    ],
)
def test_photometric_is_kept(tmp_path: Path, workspace: Workspace, name: str, photometric: str) -> None:
    path = tmp_path / "scans" / name
    path.parent.mkdir()
    colour = name.startswith("three")
    if path.suffix == ".png":
        png(path, RGB if colour else GREY)
    elif path.suffix == ".gz":
        volume(path, colour)
    elif path.suffix == ".npz":
        images = np.stack([np.roll(RGB[:28, :28] if colour else GREY[:28, :28], n, 0) for n in range(12)])
        set_of_28(path, images)
    else:
        dicom(path, picture(1), PhotometricInterpretation=name)
    result = stage.run(IngestOptions(paths=[str(path)], subject_from="file", modality="xray", workers=1), workspace)
    assert set(Dataset.open(result.path).table["photometric"]) == {photometric}
