"""Files that lie, one lie a test: each ends in a row of the ledger with its reason, and allocates nothing for it."""

from __future__ import annotations

import gzip
import io
import os
import socket
import struct
import zipfile
import zlib
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit, RLELossless

from medsyn.config import load_preset
from medsyn.ingest import bounds, reading, scan
from medsyn.ingest.source import MAX_VALUES, LookFor, Recipe

from .conftest import dicom, picture, png


def outcome(path: Path, max_pixels: int = MAX_VALUES) -> tuple[str, str]:
    """Outcome and reason of the one file at a path, through the first look and the reading."""
    (item,) = scan.find([str(path)], max_pixels)
    (probe,) = scan.probe_chunk([item], LookFor(b"key", max_pixels=max_pixels))
    if probe.refused:
        return probe.refused.outcome, probe.refused.reason
    recipe = Recipe(b"key", load_preset("xray"), 32, hounsfield=False, max_pixels=max_pixels)
    (result,) = reading.read_task([reading.Group([probe], "")], recipe)
    (row,) = {(row.outcome, row.reason) for row in result.rows}
    return row


def compressed(path: Path, image: Image.Image, **elements: object) -> Path:
    """A DICOM file of one compressed frame, with what the header says about it in ``elements``."""
    buffer = io.BytesIO()
    if elements["syntax"] == JPEG2000Lossless:
        image.save(buffer, "JPEG2000", no_jp2=True)
    else:
        image.save(buffer, "JPEG")
    header = dcmread(dicom(path, np.asarray(image), bits=8))
    header.file_meta.TransferSyntaxUID = elements.pop("syntax")
    header.PixelData = encapsulate([buffer.getvalue()])
    header["PixelData"].is_undefined_length = True
    for keyword, value in elements.items():
        setattr(header, keyword, value)
    header.save_as(path)
    return path


def grey(side: int = 64) -> Image.Image:
    return Image.fromarray(picture(0, side, 8).astype(np.uint8))


# ---- what is not a file


def test_what_is_no_file_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "null").symlink_to(os.devnull)
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    (tmp_path / "folder" / "inner" / "up").symlink_to(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
    found = [(i.relative, i.refused.reason) for i in scan.find([str(tmp_path)]) if i.refused]
    odd = [(name, "not_a_file") for name in ("fifo", "loop", "null", "socket")]
    assert found == [odd[0], ("folder/inner/up", "link_to_folder"), *odd[1:]]


def test_files_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = png(tmp_path / "a.png", picture(0, 32, 8).astype(np.uint8))
    monkeypatch.setattr("builtins.open", lambda *a, **k: (_ for _ in ()).throw(PermissionError(13, "no")))
    assert [i.refused.reason for i in scan.find([str(path)]) if i.refused] == ["unreadable_file"]


def test_inputs_come_in_the_order_of_their_paths_each_once(tmp_path: Path) -> None:
    names = ["a/x", "a/b/y", "a.c", "a-b/z", "b", "ä"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    found = list(scan.find([str(tmp_path)]))
    assert [i.relative for i in found] == sorted(names)
    assert [(i.size, i.number) for i in found] == [(1, n) for n in range(1, 7)]
    assert {i.mtime_ns for i in found} == {os.stat(i.path).st_mtime_ns for i in found}
    twice = list(scan.find([str(tmp_path), str(tmp_path / "a"), str(tmp_path / "b"), str(tmp_path)]))
    assert sorted(i.path for i in twice) == sorted(i.path for i in found)
    assert [i.relative for i in twice if i.root == str(tmp_path / "a")] == ["b/y", "x"]


# ---- DICOM


@pytest.mark.parametrize(
    ("lies", "reason"),
    [
        ({"Rows": 20000, "Columns": 20000}, "too_large"),
        ({"NumberOfFrames": 2**31 - 1}, "too_large"),
        ({"Rows": 0}, "zero_size"),
        ({"Rows": 100}, "corrupt"),
        ({"BitsAllocated": 64}, "corrupt"),
    ],
)
def test_a_header_that_lies_about_its_pixels(tmp_path: Path, lies: dict[str, int], reason: str) -> None:
    assert outcome(dicom(tmp_path / "a", picture(0), **lies)) == ("failed", reason)


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEG2000Lossless])
def test_a_codestream_that_says_another_size_than_the_header(tmp_path: Path, syntax: str) -> None:
    assert outcome(compressed(tmp_path / "good", grey(), syntax=syntax)) == ("ingested", "")
    assert outcome(compressed(tmp_path / "lie", grey(), syntax=syntax, Rows=32)) == ("failed", "frame_size")
    huge = bytearray((tmp_path / "good").read_bytes())
    if syntax == JPEG2000Lossless:
        struct.pack_into(">2I", huge, huge.index(b"\xff\x4f\xff\x51") + 8, 2**20, 2**20)
    else:
        struct.pack_into(">2H", huge, huge.index(b"\xff\xc0") + 5, 65535, 65535)
    (tmp_path / "huge").write_bytes(huge)
    assert outcome(tmp_path / "huge") == ("failed", "frame_size")


def test_the_size_that_a_codestream_claims() -> None:
    buffer = io.BytesIO()
    image = Image.fromarray(np.zeros((5, 7, 3), np.uint8))
    image.save(buffer, "JPEG", progressive=True)
    plain = buffer.getvalue()
    assert bounds.claimed_size(plain) == (5, 7, 3)
    # A thumbnail inside of a segment is not the image, a second frame header behind the first is.
    thumbnail = plain[:2] + b"\xff\xe5" + struct.pack(">H", 2 + 60) + plain[plain.index(b"\xff\xc2") :][:60] + plain[2:]
    assert bounds.claimed_size(thumbnail) == (5, 7, 3)
    second = plain[plain.index(b"\xff\xc2") :][:19].replace(struct.pack(">2H", 5, 7), struct.pack(">2H", 900, 800))
    assert bounds.claimed_size(plain[:-2] + second) == (900, 800, 3)
    assert bounds.claimed_size(plain[:20]) is None
    assert bounds.claimed_size(b"") is None
    buffer = io.BytesIO()
    image.save(buffer, "JPEG2000")  # in a JP2 file
    assert bounds.claimed_size(buffer.getvalue()) == (5, 7, 3)


def test_a_decoder_that_panics_costs_its_file(tmp_path: Path) -> None:
    header = dcmread(dicom(tmp_path / "a", picture(0)))
    header.compress(RLELossless, encoding_plugin="pydicom")
    header.save_as(tmp_path / "a")
    data = bytearray((tmp_path / "a").read_bytes())
    place = data.index(struct.pack("<I", 2) + struct.pack("<I", 64))  # two segments, the first after the RLE header
    for offset in range(place + 64, len(data) - 8):
        data[offset] = 0x81  # the longest runs
    (tmp_path / "a").write_bytes(data)
    assert outcome(tmp_path / "a")[0] == "failed"


def test_a_deflated_header_that_inflates_without_end(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a", picture(0))
    header = dcmread(path)
    header.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    header.save_as(path)
    assert outcome(path) == ("ingested", "")
    data = path.read_bytes()
    start = 144 + int.from_bytes(data[140:144], "little")
    packer = zlib.compressobj(wbits=-15)
    with path.open("wb") as file:
        file.write(data[:start])
        for _ in range(80):
            file.write(packer.compress(bytes(2**20)))
        file.write(packer.flush())
    assert outcome(path, max_pixels=2**20) == ("failed", "too_large")


@pytest.mark.parametrize("depth", [100, 5000])
def test_sequences_in_sequences(tmp_path: Path, depth: int) -> None:
    path = dicom(tmp_path / "a", picture(0))
    data = path.read_bytes()
    opened = bytes.fromhex("00523092 5351 0000 ffffffff feff00e0 ffffffff")
    closed = bytes.fromhex("feff0de0 00000000 feffdde0 00000000")
    start = 144 + int.from_bytes(data[140:144], "little")
    path.write_bytes(data[:start] + opened * depth + closed * depth + data[start:])
    assert outcome(path) in (("ingested", ""), ("failed", "unreadable"))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_truncated_files(tmp_path: Path, share: float) -> None:
    files = [
        dicom(tmp_path / "dicom", picture(0)),
        compressed(tmp_path / "jpeg", grey(), syntax=JPEGBaseline8Bit),
        png(tmp_path / "a.png", picture(0, 64, 16)),
        tmp_path / "v.nii.gz",
        tmp_path / "set.npz",
    ]
    volume = np.random.default_rng(0).integers(0, 999, (16, 16, 9)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), files[3])
    np.savez(files[4], train_images=np.random.default_rng(0).integers(0, 255, (9, 16, 16), dtype=np.uint8))
    for path in files:
        assert outcome(path) == ("ingested", "")
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
        assert outcome(path)[0] == "failed"


# ---- NIfTI


@pytest.mark.parametrize(
    ("offset", "kind", "value", "result"),
    [
        (42, "h", 32767, ("failed", "truncated")),  # dim[1]
        (42, "h", -1, ("failed", "zero_size")),
        (108, "f", 1e9, ("failed", "too_large")),  # vox_offset
        (108, "f", float("nan"), ("failed", "corrupt")),
        (70, "h", 1792, ("skipped", "not_grey_values")),  # datatype
        (352, "i", 2**31 - 1, ("ingested", "")),  # size of an extension, which nobody reads
    ],
)
def test_a_volume_that_lies(tmp_path: Path, offset: int, kind: str, value: float, result: tuple[str, str]) -> None:
    volume = np.random.default_rng(0).integers(0, 999, (16, 16, 9)).astype(np.int16)
    data = bytearray(nibabel.Nifti1Image(volume, np.eye(4)).to_bytes())
    struct.pack_into("<" + kind, data, offset, value)
    (tmp_path / "v.nii").write_bytes(data)
    (tmp_path / "v.nii.gz").write_bytes(gzip.compress(bytes(data)))
    assert [outcome(tmp_path / name) for name in ("v.nii", "v.nii.gz")] == [result, result]


# ---- pictures


def test_a_picture_that_claims_more_than_is_allowed(tmp_path: Path) -> None:
    path = png(tmp_path / "a.png", picture(0, 64, 8).astype(np.uint8))
    assert outcome(path) == ("ingested", "")
    assert outcome(png(tmp_path / "b.png", picture(0, 100, 8).astype(np.uint8)), 2**16) == ("failed", "too_large")
    data = bytearray(path.read_bytes())
    for side in (9000, 60000):  # more than is allowed, and more than Pillow would open
        struct.pack_into(">2I", data, 16, side, side)
        struct.pack_into(">I", data, 29, zlib.crc32(data[12:29]))
        path.write_bytes(data)
        assert outcome(path) == ("failed", "too_large")


def test_pages_of_a_tiff_are_counted_up_to_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = [grey(), grey(48), grey(200)]
    path = tmp_path / "a.tif"
    pages[0].save(path, save_all=True, append_images=pages[1:])
    assert outcome(path) == ("ingested", "")
    assert outcome(path, 2**17) == ("failed", "too_large")  # the third page, which the first says nothing of
    monkeypatch.setattr("medsyn.ingest.raster.MAX_PAGES", 2)
    assert outcome(path) == ("failed", "too_large")
    # A directory that is its own successor.
    grey().save(path)
    data = bytearray(path.read_bytes())
    (place,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, place)
    struct.pack_into("<I", data, place + 2 + 12 * count, place)
    path.write_bytes(data)
    assert outcome(path)[0] in ("ingested", "failed")


# ---- npz


def npz(path: Path, header: str, body: bytes = b"", compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        text = header.encode()
        file.writestr("train_images.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + body)
    return path


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("{'descr': '|u1', 'fortran_order': False, 'shape': (9, 16, 16), }", "truncated"),
        ("{'descr': '|u1', 'fortran_order': True, 'shape': (9, 16, 16), }", "npz_dtype"),
        ("{'descr': '|u1', 'fortran_order': False, 'shape': (1000000, 64, 64), }", "too_large"),
        ("{'descr': '|u1', 'fortran_order': False, 'shape': (1, 16000, 16000), }", "too_large"),
        ("{'descr': '|u1', 'fortran_order': False, 'shape': (-9, 16, 16), }", "npz_shape"),
        ("{'descr': '|u1', 'fortran_order': False, 'shape': (), }", "npz_shape"),
        ("{'descr': '|O', 'fortran_order': False, 'shape': (9, 16, 16), }", "npz_dtype"),
        ("{'descr': '<U9', 'fortran_order': False, 'shape': (9, 16, 16), }", "npz_dtype"),
        ("(" * 5000, "unreadable"),
    ],
)
def test_an_array_that_lies(tmp_path: Path, header: str, reason: str) -> None:
    assert outcome(npz(tmp_path / "a.npz", header, b"x" * 100)) == ("failed", reason)


def test_an_array_packed_in_another_way_than_numpys(tmp_path: Path) -> None:
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (9, 16, 16), }"
    path = npz(tmp_path / "a.npz", header, bytes(2304), zipfile.ZIP_BZIP2)
    assert outcome(path) == ("failed", "npz_compression")
