"""The DICOM reader on files of every kind: bits, frames, identifiers, presets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset as Header
from pydicom.uid import (
    CTImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    EnhancedMRImageStorage,
    NuclearMedicineImageStorage,
    ParametricMapStorage,
    PositronEmissionTomographyImageStorage,
    RLELossless,
    UltrasoundMultiFrameImageStorage,
    XRayAngiographicImageStorage,
)

from medsyn.config import IngestOptions
from medsyn.data import Dataset
from medsyn.ingest import stage
from medsyn.ingest.deidentify import keyed
from medsyn.workspace import Workspace

from .conftest import dicom, picture
from .dicom_looks import KEY, probed, read

# ---- bits


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(
    ("allocated", "stored", "high"),
    [(8, 8, 7), (8, 5, 4), (16, 16, 15), (16, 12, 11), (16, 12, 15), (16, 10, 12), (32, 32, 31), (32, 20, 19)],
)
def test_bits_outside_of_those_stored_are_masked(
    tmp_path: Path, allocated: int, stored: int, high: int, signed: bool
) -> None:
    """As old overlays are: rubbish above and below must not reach the values."""
    rng = np.random.default_rng(stored + high)
    values = rng.integers(-(2 ** (stored - 1)) if signed else 0, 2 ** (stored - signed), (16, 16))
    low = high + 1 - stored
    bits = (values & (2**stored - 1)) << low
    rubbish = rng.integers(0, 2**allocated, (16, 16)) & ~(((1 << stored) - 1) << low)
    pixels = (bits | rubbish).astype(f"<u{allocated // 8}")
    path = dicom(
        tmp_path / "film",
        np.zeros((16, 16), np.int16 if signed else np.uint16),
        BitsAllocated=allocated,
        BitsStored=stored,
        HighBit=high,
        PixelData=pixels.tobytes(),
    )
    _, (plane,) = read(path)
    assert np.array_equal(plane.values, values.astype(np.float32))
    assert plane.values.dtype == np.float32


def test_single_bits(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 2, (3, 16, 13), np.uint8)
    path = dicom(
        tmp_path / "bits",
        values,
        BitsAllocated=1,
        BitsStored=1,
        HighBit=0,
        PixelData=pydicom.pixels.pack_bits(values),
    )
    assert np.array_equal([p.values for p in read(path)[1]], values)


@pytest.mark.parametrize(("keyword", "kind"), [("FloatPixelData", "<f4"), ("DoubleFloatPixelData", "<f8")])
def test_floating_point_pixels(tmp_path: Path, keyword: str, kind: str) -> None:
    values = np.random.default_rng(0).normal(0, 1e-3, (16, 16)).astype(kind)
    path = dicom(tmp_path / "map", np.zeros((16, 16), np.uint16), SOPClassUID=ParametricMapStorage)
    ds = pydicom.dcmread(path)
    del ds.PixelData
    ds.BitsAllocated = 8 * values.itemsize
    setattr(ds, keyword, values.tobytes())
    ds.save_as(path)
    _, (plane,) = read(path)
    assert np.array_equal(plane.values, values.astype(np.float32))


def test_rescale_is_exact(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(-32768, 32767, (16, 16), np.int16)
    for slope, intercept in ((1, -1024), (3, 7), (0.12345, -1e4)):
        path = dicom(tmp_path / "film", pixels, bits=16, RescaleSlope=slope, RescaleIntercept=intercept)
        expected = (pixels.astype(np.float64) * slope + intercept).astype(np.float32)
        assert np.array_equal(read(path)[1][0].values, expected)


def test_signed_modality_table(tmp_path: Path) -> None:
    item = Header()
    item.add_new("LUTDescriptor", "SS", [256, -128, 16])
    item.add_new("LUTData", "OW", (np.arange(256, dtype="<u2") * 200).tobytes())
    pixels = np.random.default_rng(0).integers(-200, 200, (16, 16), np.int16)
    path = dicom(tmp_path / "film", pixels, bits=16, ModalityLUTSequence=[item])
    expected = np.clip(pixels.astype(int) + 128, 0, 255) * 200
    assert np.array_equal(read(path)[1][0].values, expected)


@pytest.mark.parametrize(
    ("value", "limit", "vr", "masked"),
    [(-2000, None, "SS", [-2000]), (63536, None, "US", [-2000]), (-2000, -1998, "SS", [-2000, -1999, -1998])],
)
def test_padding(tmp_path: Path, value: int, limit: int | None, vr: str, masked: list[int]) -> None:
    pixels = np.random.default_rng(0).integers(-2002, -1990, (16, 16)).astype(np.int16)
    path = dicom(tmp_path / "film", pixels, bits=16)
    ds = pydicom.dcmread(path)
    ds.add_new("PixelPaddingValue", vr, value)
    if limit is not None:
        ds.add_new("PixelPaddingRangeLimit", vr, limit)
    ds.save_as(path)
    valid = read(path)[1][0].valid
    assert valid is not None
    assert np.array_equal(valid, ~np.isin(pixels, masked))


# ---- frames


def enhanced(path: Path, places: list[float]) -> np.ndarray:
    frames = np.stack([picture(n) for n in range(len(places))])
    groups = []
    for place in places:
        plane, item = Header(), Header()
        plane.ImagePositionPatient = [0, 0, place]
        item.PlanePositionSequence = [plane]
        groups.append(item)
    shared, orientation = Header(), Header()
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared.PlaneOrientationSequence = [orientation]
    dicom(
        path,
        frames,
        Modality="MR",
        SOPClassUID=EnhancedMRImageStorage,
        PerFrameFunctionalGroupsSequence=groups,
        SharedFunctionalGroupsSequence=[shared],
    )
    return frames


def test_frames_are_sorted_into_volumes(tmp_path: Path) -> None:
    """Two time points of three places, places first, and not in the order of the normal."""
    enhanced(tmp_path / "mr", [4, 4, 0, 0, 2, 2])
    facts, planes = read(tmp_path / "mr", "mri")
    volumes = [p.volume or facts.volume for p in planes]
    assert [p.slice_index for p in planes] == [2, 2, 0, 0, 1, 1]
    assert [p.slice_position for p in planes] == [4, 4, 0, 0, 2, 2]
    assert len(set(volumes)) == 2
    assert volumes[::2] == volumes[:1] * 3
    assert volumes[1::2] == volumes[1:2] * 3


@pytest.mark.parametrize(("rule", "kept"), [("middle", [4, 5]), ("every=2", [0, 1, 2, 3])])
def test_chosen_frames_of_volumes(tmp_path: Path, rule: str, kept: list[int]) -> None:
    frames = enhanced(tmp_path / "mr", [4, 4, 0, 0, 2, 2])
    facts, planes = read(tmp_path / "mr", "mri", slices=rule)
    assert [p.frame for p in planes] == kept
    assert np.array_equal([p.values for p in planes], frames[kept])
    assert rule in facts.note


@pytest.mark.parametrize(("rule", "kept"), [("all", [0, 1, 2, 3, 4, 5, 6]), ("middle", [3]), ("every=3", [0, 3, 6])])
def test_a_cine_is_one_stack_as_it_comes(tmp_path: Path, rule: str, kept: list[int]) -> None:
    frames = np.stack([picture(n, 32, 8) for n in range(7)])
    path = dicom(tmp_path / "us", frames, bits=8, Modality="US", SOPClassUID=UltrasoundMultiFrameImageStorage)
    ds = pydicom.dcmread(path)
    ds.compress(RLELossless, generate_instance_uid=False)
    ds.save_as(tmp_path / "rle")
    for file in (path, tmp_path / "rle"):
        facts, planes = read(file, "ultrasound", slices=rule)
        assert [p.frame for p in planes] == [p.slice_index for p in planes] == kept
        assert np.array_equal([p.values for p in planes], frames[kept])
        assert facts.volume is not None
        assert {p.volume for p in planes} == {None}


# ---- identifiers


def test_identifiers_leave_the_first_look_keyed(tmp_path: Path) -> None:
    path = dicom(tmp_path / "film", picture(1), patient="P7", AccessionNumber="A12", BodyPartExamined="CHEST")
    ds = pydicom.dcmread(path)
    found = probed(path, tag="BodyPartExamined")
    assert found.names == {
        "patient": keyed(KEY, "id-patient", "P7"),
        "accession": keyed(KEY, "id-accession", "A12"),
        "study": keyed(KEY, "id-study", ds.StudyInstanceUID),
        "series": keyed(KEY, "id-series", ds.SeriesInstanceUID),
        "sop": keyed(KEY, "id-sop", ds.SOPInstanceUID),
    }
    assert found.tag == "CHEST"
    assert found.series == read(path)[0].series
    assert ds.SeriesInstanceUID not in str(found)
    assert probed(path, tag="Laterality").tag is None
    assert probed(path, tag="NoSuchKeyword").tag is None
    assert "accession" not in probed(dicom(tmp_path / "other", picture(1))).names


# ---- presets


@pytest.mark.parametrize(
    ("modality", "code", "storage"),
    [
        ("mammography", "MG", DigitalMammographyXRayImageStorageForPresentation),
        ("angiography", "XA", XRayAngiographicImageStorage),
        ("nuclear", "PT", PositronEmissionTomographyImageStorage),
        ("nuclear", "NM", NuclearMedicineImageStorage),
    ],
)
def test_modalities_are_found_by_themselves(
    tmp_path: Path, workspace: Workspace, modality: str, code: str, storage: str
) -> None:
    for n in range(2):
        dicom(tmp_path / "scans" / str(n), picture(n), Modality=code, SOPClassUID=storage, Units="BQML")
    result = stage.run(IngestOptions(paths=[str(tmp_path / "scans")], workers=1), workspace)
    table = Dataset.open(result.path).table
    assert result.modality == modality
    assert list(table["modality"]) == [code] * 2
    assert set(table["value_unit"]) == {"relative"}
    told = "not SUV" in (result.path / "ledger.csv").read_text()
    assert told == (code == "PT")


def test_the_users_window_is_recorded(tmp_path: Path, workspace: Workspace) -> None:
    pixels = picture(3)
    ct = {"Modality": "CT", "SOPClassUID": CTImageStorage, "RescaleSlope": 1, "RescaleIntercept": -1024}
    dicom(tmp_path / "ct", pixels, **ct)
    options = IngestOptions.model_validate({"paths": [str(tmp_path / "ct")], "window": "lung", "size": 64})
    data = Dataset.open(stage.run(options, workspace).path)
    row = data.table.loc[0]
    assert (row.display_source, row.display_low, row.display_high) == ("user", -1350, 150)
    expected = np.clip((pixels - 1024.0 + 1350) / 1500, 0, 1)
    assert np.allclose(data.images(np.array([0]))[0, 0], expected, atol=1e-6)
