"""Zip archives and DICOMDIR: every member and every reference is an input with an outcome."""

from __future__ import annotations

import copy
import io
import os
import shutil
import struct
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydicom import dcmread
from pydicom.fileset import FileSet

from medsyn.config import IngestOptions
from medsyn.data import Dataset
from medsyn.ingest import archive, scan, stage
from medsyn.ingest.contents import content
from medsyn.ingest.source import MAX_VALUES, LookFor, Probe
from medsyn.workspace import Workspace

from .conftest import dicom, picture, png, table


def zipped(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def film(seed: int) -> bytes:
    buffer = io.BytesIO()
    from PIL import Image

    Image.fromarray(picture(seed, 32, 8).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def looked_at(*paths: Path, max_pixels: int = MAX_VALUES) -> dict[str, str]:
    """Relative path -> reason, '' where the file is to be read."""
    inputs = list(scan.find([str(path) for path in paths], max_pixels))
    assert [item.number for item in inputs] == list(range(1, len(inputs) + 1))
    probes = scan.probe_chunk(inputs, LookFor(b"key", max_pixels=max_pixels))
    return {i.relative: p.refused.reason if p.refused else "" for i, p in zip(inputs, probes, strict=True)}


def test_a_zip_is_read_as_its_folder_is(tmp_path: Path, workspace: Workspace) -> None:
    folder = tmp_path / "scans"
    rows = []
    for i in range(8):
        name = f"{'ab'[i % 2]}/im{i}.png"
        png(folder / "set" / name, picture(i, 32, 8).astype(np.uint8))
        rows.append({"file": name, "label": "ab"[i % 2], "patient_id": f"p{i}"})
    labels = table(tmp_path / "labels.csv", rows)
    (folder / "notes.txt").write_text("by hand")
    shutil.make_archive(str(tmp_path / "packed" / "set"), "zip", folder / "set")
    shutil.copy(folder / "notes.txt", tmp_path / "packed")
    options = {"modality": "xray", "size": 32, "subject_from": "file"}
    plain = stage.run(IngestOptions(paths=[str(folder)], **options), workspace)
    packed = stage.run(IngestOptions(paths=[str(tmp_path / "packed")], **options), workspace)
    assert packed.outcomes == plain.outcomes
    pixels = [Dataset.open(result.path).images(np.arange(8)) for result in (plain, packed)]
    # `notes.txt` has another place among the inputs, the images have the same order.
    assert np.array_equal(*pixels)
    named = [i.relative for i in scan.find([str(tmp_path / "packed" / "set.zip")])]
    assert named == sorted(row["file"] for row in rows)
    assert [i.name for i in scan.find([str(tmp_path / "packed")])][1] == str(tmp_path / "packed/set.zip/a/im0.png")
    assert labels.exists()


def test_members_that_are_not_read_are_told(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"good.png": film(0), "../up.png": film(1), "/root.png": film(2)})
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("c:\\windows.png", film(3))
        file.writestr("dir/", b"")
        file.writestr("empty.png", b"")
        file.writestr("inner.zip", zipped(tmp_path / "inner", {"x.png": film(4)}).read_bytes())
        file.writestr("set.npz", b"")
        with pytest.warns(UserWarning, match="Duplicate"):
            file.writestr("good.png", film(5))
        file.writestr("locked.png", film(6))
        file.writestr("odd.png", film(7))
        file.getinfo("locked.png").flag_bits |= 1
        file.getinfo("odd.png").compress_type = 97
    (tmp_path / "inner").unlink()
    found = looked_at(tmp_path)
    prefix = "a.zip/"
    assert {name.removeprefix(prefix): reason for name, reason in found.items()} == {
        "../up.png": "unsafe_name",
        "/root.png": "unsafe_name",
        "c:/windows.png" if os.sep == "\\" else "c:\\windows.png": "unsafe_name",
        "empty.png": "empty",
        "good.png": "",
        "good.png (1)": "replaced_member",
        "inner.zip": "nested_archive",
        "locked.png": "encrypted",
        "odd.png": "unknown_compression",
        "set.npz": "empty",
    }


def test_of_two_entries_with_one_name_the_last_is_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("x.png", film(0))
        with pytest.warns(UserWarning, match="Duplicate"):
            file.writestr("x.png", film(1))
    assert content(Probe(1, str(tmp_path / "a.zip"), "x.png")) == film(1)


def test_bombs_are_not_unpacked(tmp_path: Path) -> None:
    zeros = bytes(2**26 + 2**20)
    zipped(tmp_path / "ratio.zip", {"x.png": zeros})
    assert looked_at(tmp_path / "ratio.zip") == {"x.png": "zip_bomb"}
    zipped(tmp_path / "size.zip", {"x.png": zeros[: 2**24 + 2**20]})
    assert looked_at(tmp_path / "size.zip", max_pixels=2**16) == {"x.png": "too_large"}
    # Members that overlap: many times the same bytes.
    path = zipped(tmp_path / "overlap.zip", {f"{n}.png": film(0) for n in range(9)}, zipfile.ZIP_STORED)
    with zipfile.ZipFile(path, "a") as file:
        for entry in file.infolist():
            entry.header_offset = 0
            entry.compress_size *= 2
        file.writestr("last.png", b"")
    assert looked_at(path) == {"overlap.zip": "zip_bomb"}


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_gives_no_more_than_it_declares(tmp_path: Path, compression: int) -> None:
    data = film(0)
    path = zipped(tmp_path / "a.zip", {"x.png": data, "y.png": data}, compression)
    assert content(Probe(1, str(path), "x.png")) == data
    raw = bytearray(path.read_bytes())
    entry = raw.index(b"PK\x01\x02")
    struct.pack_into("<I", raw, entry + 24, 10)  # declared size in the list of members
    path.write_bytes(raw)
    assert looked_at(path) == {"x.png": "corrupt_member", "y.png": ""}


def test_a_large_member_waits_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(tmp_path / "a.zip", {"x": b"12345678"})
    monkeypatch.setattr(archive, "IN_MEMORY", 4)
    with archive.open_member(str(path), "x") as file:
        assert (file.read(), file.seek(2), file.read(2)) == (b"12345678", 2, b"34")


def test_archives_that_are_not_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = zipped(tmp_path / "good.zip", {"x.png": film(0)}).read_bytes()
    (tmp_path / "cut.zip").write_bytes(good[:-10])
    zipped(tmp_path / "report.docx", {"[Content_Types].xml": b"<x/>", "media/image1.png": film(0)})
    with zipfile.ZipFile(tmp_path / "folders.zip", "w") as file:
        file.writestr("only/", b"")
    shutil.make_archive(str(tmp_path / "b"), "tar", tmp_path, "good.zip")
    shutil.make_archive(str(tmp_path / "c"), "gztar", tmp_path, "good.zip")
    assert looked_at(tmp_path) == {
        "b.tar": "archive",
        "c.tar.gz": "archive",
        "cut.zip": "corrupt_archive",
        "folders.zip": "empty_archive",
        "good.zip/x.png": "",
        "report.docx": "not_an_image",
    }
    with zipfile.ZipFile(tmp_path / "nameless.zip", "w") as file:
        file.writestr("x", b"a film")
    raw = (tmp_path / "nameless.zip").read_bytes()
    (tmp_path / "nameless.zip").write_bytes(raw.replace(b"x", b"\0"))
    assert looked_at(tmp_path / "nameless.zip") == {"": "unsafe_name"}
    # A fresh copy, since an archive is kept open.
    shutil.copy(tmp_path / "good.zip", tmp_path / "many.zip")
    monkeypatch.setattr(archive, "MAX_MEMBERS", 0)
    assert looked_at(tmp_path / "many.zip") == {"many.zip": "too_many_members"}
    shutil.copy(tmp_path / "good.zip", tmp_path / "long.zip")
    monkeypatch.setattr(archive, "MAX_DIRECTORY", 30)
    assert looked_at(tmp_path / "long.zip") == {"long.zip": "too_many_members"}


def test_npz_in_a_zip(tmp_path: Path, workspace: Workspace) -> None:
    buffer = io.BytesIO()
    rng = np.random.default_rng(0)
    arrays = {f"{s}_images": rng.integers(0, 255, (20, 16, 16), dtype=np.uint8) for s in ("train", "val", "test")}
    np.savez_compressed(
        buffer, **arrays, **{f"{s}_labels": np.arange(20)[:, None] % 2 for s in ("train", "val", "test")}
    )
    path = zipped(tmp_path / "a.zip", {"pneumoniamnist.npz": buffer.getvalue()})
    result = stage.run(IngestOptions(paths=[str(path)]), workspace)
    assert (result.modality, result.images) == ("xray", 60)
    assert list(result.images_per_class) == ["normal", "pneumonia"]


# ---- DICOMDIR


@pytest.fixture
def medium(tmp_path: Path) -> Path:
    """A folder with a DICOMDIR of three films."""
    files = FileSet()
    for i in range(3):
        path = dicom(tmp_path / "made" / str(i), picture(i), patient=f"P{i}", PatientName="A^B")
        header = dcmread(path)
        header.StudyDate, header.StudyTime, header.StudyID = "20200101", "120000", "1"
        header.SeriesNumber = header.InstanceNumber = 1
        files.add(header)
    files.write(tmp_path / "medium")
    return tmp_path / "medium"


def test_a_dicomdir_stands_for_its_files(medium: Path, workspace: Workspace) -> None:
    walked = looked_at(medium)
    assert sorted(walked.values()) == ["", "", "", "dicomdir"]
    assert looked_at(medium / "DICOMDIR") == walked
    assert looked_at(medium / "DICOMDIR", medium) == walked
    result = stage.run(IngestOptions(paths=[str(medium / "DICOMDIR")], size=32), workspace)
    assert result.outcomes == {"ingested": 3, "duplicate": 0, "quarantined": 0, "skipped": 1, "failed": 0}
    assert list(pd.read_csv(result.ledger)["reason"].dropna()) == ["dicomdir"]


def test_references_of_a_dicomdir_are_checked(medium: Path) -> None:
    index = dcmread(medium / "DICOMDIR")
    images = [r for r in index.DirectoryRecordSequence if r.DirectoryRecordType == "IMAGE"]
    # On a disk, names are often lower case.
    first = Path(*images[0].ReferencedFileID)
    (medium / first).rename((medium / first).with_name("im000000x"))
    images[0].ReferencedFileID = [*first.parts[:-1], "IM000000X"]
    images[1].ReferencedFileID = ["..", "made", "1"]
    images[2].ReferencedFileID = ["PT000009", "GONE"]
    again, outside = copy.deepcopy(images[0]), copy.deepcopy(images[0])
    (medium / "LINK").symlink_to(medium.parent / "made" / "2")
    outside.ReferencedFileID = "LINK"
    index.DirectoryRecordSequence.extend([again, outside])
    index.save_as(medium / "DICOMDIR")
    found = looked_at(medium / "DICOMDIR")
    assert list(found.values()) == ["dicomdir", "", "outside_folder", "missing_reference", "outside_folder"]
    index_bytes = (medium / "DICOMDIR").read_bytes()
    (medium / "DICOMDIR").write_bytes(index_bytes.replace(b"\x04\x00\x20\x12SQ\0\0", b"\x04\x00\x20\x12SS\x02\0"))
    (reason,) = looked_at(medium / "DICOMDIR").values()
    assert reason == "unreadable"
