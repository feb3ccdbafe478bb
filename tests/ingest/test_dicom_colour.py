"""Colours and ultrasound regions of DICOM files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset as Header
from pydicom.pixels import apply_color_lut, convert_color_space
from pydicom.uid import (
    UltrasoundImageStorage,
)

from .conftest import dicom, picture
from .dicom_looks import read, refused


def colour_file(path: Path, pixels: np.ndarray, photometric: str, **elements: Any) -> Path:
    header = {
        "SamplesPerPixel": 3,
        "PlanarConfiguration": 0,
        "PhotometricInterpretation": photometric,
        "Modality": "US",
        "SOPClassUID": UltrasoundImageStorage,
        "PixelData": pixels.tobytes(),
    }
    bits = 8 * pixels.dtype.itemsize
    return dicom(path, np.zeros(elements.pop("shape", pixels.shape[:2]), np.uint16), bits=bits, **(header | elements))


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_rgb_kept_and_as_luminance(tmp_path: Path, kind: type) -> None:
    rgb = np.random.default_rng(0).integers(0, np.iinfo(kind).max, (16, 24, 3)).astype(kind)
    planar = np.moveaxis(rgb, -1, 0).copy()
    paths = [
        colour_file(tmp_path / "pixel", rgb, "RGB"),
        colour_file(tmp_path / "plane", planar, "RGB", PlanarConfiguration=1, shape=(16, 24)),
    ]
    for path in paths:
        facts, (kept,) = read(path, "ultrasound", colour=True)
        assert facts.photometric == "RGB"
        assert kept.values.dtype == np.float32
        assert np.array_equal(kept.values, rgb)
        assert kept.display is not None
        assert (kept.display.low, kept.display.high) == (0, np.iinfo(kind).max)
        _, (grey,) = read(path, "ultrasound")
        assert np.allclose(grey.values, rgb @ np.array([0.299, 0.587, 0.114]), rtol=1e-5)
        assert grey.display is None


def test_ybr_full_422(tmp_path: Path) -> None:
    """Two luminances share their chrominances (PS3.3 C.7.6.3.1.2)."""
    rng = np.random.default_rng(0)
    y = rng.integers(60, 200, (16, 24)).astype(np.uint8)
    b, r = rng.integers(110, 145, (2, 16, 12)).astype(np.uint8)
    stream = np.stack([y[:, ::2], y[:, 1::2], b, r], -1)
    path = colour_file(tmp_path / "us", stream, "YBR_FULL_422", shape=(16, 24))
    full = np.stack([y, b.repeat(2, 1), r.repeat(2, 1)], -1)
    facts, (plane,) = read(path, "ultrasound", colour=True)
    assert facts.photometric == "YBR_FULL_422"
    assert np.array_equal(plane.values, convert_color_space(full, "YBR_FULL", "RGB"))


@pytest.mark.parametrize("bits", [8, 16])
def test_palette_kept_in_colour(tmp_path: Path, bits: int) -> None:
    tables: dict[str, Any] = {}
    ramp = np.arange(256) * (257 if bits == 16 else 1)
    for number, name in enumerate(("Red", "Green", "Blue")):
        tables[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, bits]
        table = np.roll(ramp, 40 * number).astype("<u2" if bits == 16 else "u1")
        tables[f"{name}PaletteColorLookupTableData"] = table.tobytes()
    pixels = picture(1, 32, 8)
    header = {"PhotometricInterpretation": "PALETTE COLOR", "Modality": "US", "SOPClassUID": UltrasoundImageStorage}
    path = dicom(tmp_path / "us", pixels, bits=8, **header, **tables)
    facts, (plane,) = read(path, "ultrasound", colour=True)
    ds = pydicom.dcmread(path)
    assert facts.photometric == "PALETTE COLOR"
    assert np.array_equal(plane.values, apply_color_lut(ds.pixel_array, ds))
    assert plane.display is not None
    assert plane.display.high == 2**bits - 1


def test_an_undefined_photometric_interpretation_is_told_and_does_not_come_out(tmp_path: Path) -> None:
    path = dicom(tmp_path / "film", picture(1), PhotometricInterpretation="SMITH^JOHN")
    assert refused(path) == ("failed", "photometric")


# ---- ultrasound regions


def region(x0: int, y0: int, x1: int, y1: int, kind: int = 1, form: int = 1, **elements: Any) -> Header:
    item = Header()
    item.RegionSpatialFormat, item.RegionDataType = form, kind
    item.RegionLocationMinX0, item.RegionLocationMinY0 = x0, y0
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = x1, y1
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    return item


CM = {
    "PhysicalUnitsXDirection": 3,
    "PhysicalUnitsYDirection": 3,
    "PhysicalDeltaX": 0.02,
    "PhysicalDeltaY": -0.03,
}


@pytest.mark.parametrize(
    ("regions", "box", "spacing"),
    [
        ([region(10, 5, 39, 44, **CM)], (5, 45, 10, 40), (0.3, 0.2)),
        ([region(0, 0, 19, 19), region(20, 8, 63, 47, **CM)], (8, 48, 20, 64), (0.3, 0.2)),
        ([region(10, 5, 39, 44, PhysicalUnitsXDirection=4)], (5, 45, 10, 40), None),
        ([region(20, 10, 64, 48)], (10, 48, 20, 64), None),  # counted from 1: cut to the picture
        ([region(0, 0, 63, 47, kind=10, form=4), region(2, 2, 30, 30, kind=2)], (2, 31, 2, 31), None),
        ([region(0, 0, 63, 47, kind=10, form=4)], (0, 48, 0, 64), None),  # a spectral trace
        ([region(5, 5, 90, 90)], (0, 48, 0, 64), None),  # of a larger picture
        ([region(5, 5, 9, 9)], (0, 48, 0, 64), None),
        ([region(30, 30, 5, 5)], (0, 48, 0, 64), None),
    ],
)
def test_ultrasound_is_cut_to_its_tissue(
    tmp_path: Path, regions: list[Header], box: tuple[int, int, int, int], spacing: tuple[float, float] | None
) -> None:
    pixels = picture(1, 64, 8)[:48]
    us = {"Modality": "US", "SOPClassUID": UltrasoundImageStorage, "SequenceOfUltrasoundRegions": regions}
    facts, (plane,) = read(dicom(tmp_path / "us", pixels, bits=8, **us), "ultrasound")
    top, bottom, left, right = box
    assert np.array_equal(plane.values, pixels[top:bottom, left:right])
    assert plane.spacing == (pytest.approx(spacing) if spacing else None)
    assert (facts.note == "cropped to its ultrasound region") == (box != (0, 48, 0, 64))
