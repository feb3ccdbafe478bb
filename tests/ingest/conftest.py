"""Small generated scans."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid
from scipy.ndimage import gaussian_filter


def picture(seed: int, side: int = 64, bits: int = 12) -> np.ndarray:
    """A smooth random field, uint16 over most of ``bits``; no two seeds give near-duplicates."""
    rng = np.random.default_rng(seed)
    field = gaussian_filter(rng.normal(size=(side, side)), side / 20) + 0.002 * rng.random((side, side))
    field -= field.min()
    return np.round(field / field.max() * (2**bits - 1) * 0.9).astype(np.uint16)


def dicom(path: Path, pixels: np.ndarray, *, patient: str = "P1", bits: int = 12, **elements: Any) -> Path:
    """Write a CR (or what ``elements`` say) with the pixels as they are."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = elements.get("SOPClassUID", ComputedRadiographyImageStorage)
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid()
    ds.Modality, ds.PatientID, ds.PhotometricInterpretation = "CR", patient, "MONOCHROME2"
    allocated = 8 if bits <= 8 else 16
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = allocated, bits, bits - 1
    ds.PixelRepresentation = int(np.issubdtype(pixels.dtype, np.signedinteger))
    ds.SamplesPerPixel, (ds.Rows, ds.Columns) = 1, pixels.shape[-2:]
    if pixels.ndim == 3:
        ds.NumberOfFrames = len(pixels)
    kind = ("i" if ds.PixelRepresentation else "u") + str(allocated // 8)
    ds.add_new("PixelData", "OB" if allocated == 8 else "OW", pixels.astype(f"<{kind}").tobytes())
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
    return path


def png(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def table(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """Make a folder of labelled 8-bit PNG with patients, and its CSV outside of the folder."""

    def make(n: int = 12, *, start: int = 0, per_patient: int = 2, name: str = "scans") -> tuple[Path, Path]:
        folder, rows = tmp_path / name, []
        for i in range(start, start + n):
            png(folder / f"im{i}.png", picture(i, 32, 8).astype(np.uint8))
            patient = i // per_patient
            rows.append({"file": f"im{i}.png", "label": "ab"[patient % 2], "patient_id": f"pat{patient}"})
        return folder, table(tmp_path / f"{name}.csv", rows)

    return make
