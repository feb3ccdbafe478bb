"""DICOM files that cannot be read, or hardly."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset as Header
from pydicom.encaps import encapsulate
from pydicom.uid import (
    MPEG4HP41,
    UID,
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
    UltrasoundMultiFrameImageStorage,
)

from medsyn.ingest import dicom as reader
from medsyn.ingest.source import Refused

from .conftest import dicom, picture
from .dicom_looks import read, refused


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
