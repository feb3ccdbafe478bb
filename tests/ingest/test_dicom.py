"""The DICOM reader on files of every kind: bits, colours, regions, frames, identifiers, damage."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset as Header
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_color_lut, convert_color_space
from pydicom.uid import (
    MPEG4HP41,
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    DigitalMammographyXRayImageStorageForPresentation,
    EnhancedMRImageStorage,
    JPEG2000Lossless,
    NuclearMedicineImageStorage,
    ParametricMapStorage,
    PositronEmissionTomographyImageStorage,
    RLELossless,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
    XRayAngiographicImageStorage,
)

from medsyn.config import IngestOptions, load_preset
from medsyn.data import Dataset
from medsyn.ingest import dicom as reader
from medsyn.ingest import stage
from medsyn.ingest.deidentify import keyed
from medsyn.ingest.source import Facts, LookFor, Plane, Probe, Recipe, Refused
from medsyn.workspace import Workspace

from .conftest import dicom, picture

KEY = b"k" * 32


def read(
    path: Path, modality: str = "xray", *, look: LookFor | None = None, **of_recipe: Any
) -> tuple[Facts, list[Plane]]:
    """One file by the two looks that ingest takes at it."""
    preset = load_preset(modality)
    found = Probe(1, str(path), kind="dicom")
    reader.probe(found, look or LookFor(KEY))
    facts, planes = reader.read(found, Recipe(KEY, preset, 64, preset.storage == "hounsfield", **of_recipe))
    return facts, list(planes)


def probed(path: Path, **of_look: Any) -> Probe:
    found = Probe(1, str(path), kind="dicom")
    reader.probe(found, LookFor(KEY, **of_look))
    return found


def refused(path: Path, modality: str = "xray", **of_look: Any) -> tuple[str, str]:
    with pytest.raises(Refused) as caught:
        read(path, modality, look=LookFor(KEY, **of_look))
    return caught.value.outcome, caught.value.reason


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


# ---- colour


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


# ---- what cannot be read


def test_kinds_that_are_left_out(tmp_path: Path) -> None:
    mosaic = dicom(tmp_path / "mosaic", picture(1), ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"])
    assert refused(mosaic) == ("skipped", "mosaic")
    scout = dicom(tmp_path / "scout", picture(1), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    assert refused(scout) == ("skipped", "localiser")


def test_video_is_told_by_its_transfer_syntax(tmp_path: Path) -> None:
    path = dicom(tmp_path / "us", picture(1), SOPClassUID=UltrasoundMultiFrameImageStorage)
    ds = pydicom.dcmread(path)
    for syntax, told in ((MPEG4HP41, "MPEG-4"), (UID("1.2.3.4.5"), "one that DICOM does not list")):
        ds.file_meta.TransferSyntaxUID = syntax
        ds.PixelData = encapsulate([b"video!!!"])
        ds["PixelData"].is_undefined_length = True
        ds.save_as(path, implicit_vr=False, little_endian=True)
        with pytest.raises(Refused, match="transfer_syntax") as caught:
            read(path)
        assert told in caught.value.detail
        assert "1.2.3" not in caught.value.detail


def test_a_file_without_meta_information(tmp_path: Path) -> None:
    ds = pydicom.dcmread(dicom(tmp_path / "film", picture(1)))
    for n, (implicit, little) in enumerate(((True, True), (False, True), (False, False))):
        bare = Header()
        bare.update(ds)
        pixels = picture(1).astype("<u2" if little else ">u2")
        bare.PixelData = pixels.tobytes()
        bare.save_as(tmp_path / str(n), implicit_vr=implicit, little_endian=little)
        with open(tmp_path / str(n), "rb") as file:
            assert reader.looks_like(file.read(132))
        assert np.array_equal(read(tmp_path / str(n))[1][0].values, picture(1))


def test_elements_of_the_wrong_kind_do_not_lose_the_image(tmp_path: Path) -> None:
    path = dicom(tmp_path / "film", picture(1))
    ds = pydicom.dcmread(path)
    ds.add_new("InstanceNumber", "LO", "one")
    ds.add_new("PatientAge", "DS", "30")
    ds.add_new("PixelSpacing", "LO", ["wide", "high"])
    ds.add_new("ImageOrientationPatient", "OB", b"\0\1")
    ds.add_new("SequenceOfUltrasoundRegions", "LO", "none")
    ds.add_new("PerFrameFunctionalGroupsSequence", "LO", "none")
    ds.add_new("WindowCenter", "LO", "bright")
    ds.add_new("WindowWidth", "LO", "bright")
    ds.add_new("VOILUTSequence", "LO", "none")
    ds.save_as(path)
    facts, (plane,) = read(path)
    assert np.array_equal(plane.values, picture(1))
    assert (plane.display, plane.spacing, plane.orientation) == (None, None, None)
    assert facts.subject_from == "patient"


def test_fewer_frames_than_the_header_says(tmp_path: Path) -> None:
    path = dicom(tmp_path / "us", np.stack([picture(n, 32, 8) for n in range(3)]), bits=8)
    ds = pydicom.dcmread(path)
    ds.compress(RLELossless, generate_instance_uid=False)
    ds.NumberOfFrames = 5
    ds.save_as(path)
    with pytest.raises((Refused, ValueError)):
        read(path)
    ds.NumberOfFrames = 10**7
    ds.Rows = ds.Columns = 1
    ds.save_as(path)
    assert refused(path) == ("failed", "too_large")


def test_a_frame_that_is_larger_than_the_header_says(tmp_path: Path) -> None:
    path = dicom(tmp_path / "ct", picture(1))
    ds = pydicom.dcmread(path)
    ds.file_meta.TransferSyntaxUID = JPEG2000Lossless
    siz = struct.pack(">HHIIII", 41, 0, 60000, 60000, 0, 0)
    jpeg = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc3\x00\x0b\x0c" + struct.pack(">HH", 60000, 60000) + bytes(20)
    for stream in (b"\xff\x4f\xff\x51" + siz + bytes(40), jpeg):
        ds.PixelData = encapsulate([stream])
        ds["PixelData"].is_undefined_length = True
        ds.save_as(path)
        assert refused(path) == ("failed", "frame_size")


def test_a_deflated_bomb_is_not_inflated(tmp_path: Path) -> None:
    path = dicom(tmp_path / "film", picture(1))
    ds = pydicom.dcmread(path)
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    ds.save_as(path)
    assert np.array_equal(read(path)[1][0].values, picture(1))
    data = path.read_bytes()
    start = 144 + struct.unpack("<I", data[140:144])[0]
    squeeze = zlib.compressobj(9, wbits=-15)
    zeros = b"".join(squeeze.compress(bytes(2**20)) for _ in range(64)) + squeeze.flush()
    assert len(zeros) < 2**17
    path.write_bytes(data[:start] + zeros)
    assert refused(path, max_pixels=2**16) == ("failed", "too_large")
