"""Zip archives: which members they have, and one member as a file. Nothing is unpacked under a name of its own."""

from __future__ import annotations

import io
import os
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import BinaryIO

from medsyn.ingest.source import Refused, most_bytes
from medsyn.packing import MAX_RATIO, is_bomb

MAX_MEMBERS = 2**19
MAX_DIRECTORY = 2**26
"""Bytes of an archive's own list of members: with it, a worker stays below 1 GiB."""
IN_MEMORY = 2**26
"""Bytes of a member above which it waits in a temporary file without a name."""
_NOT_OF_SCANS = ("[Content_Types].xml", "mimetype", "META-INF/MANIFEST.MF")
"""First members of Office and OpenDocument files and of Java programs, which are zips, too."""
_OTHERS = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"\x28\xb5\x2f\xfd")


@dataclass(frozen=True)
class Member:
    """A file in an archive: its name, its size in bytes as declared, and why it is left out."""

    name: str
    size: int
    refused: Refused | None = None


class Capped(io.BufferedReader):
    """A file of which nobody reads more at once than a list of members may hold."""

    def __init__(self, file: BinaryIO | io.RawIOBase) -> None:
        super().__init__(file)  # type: ignore[arg-type]  # of BinaryIO, typeshed forgets readinto

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > MAX_DIRECTORY:
            raise Refused("too_many_members", f"a list of members of more than {MAX_DIRECTORY >> 20} MiB", "failed")
        return super().read(size)


class _Archive(zipfile.ZipFile):
    def __init__(self, path: str) -> None:
        self._file = Capped(io.FileIO(path))
        super().__init__(self._file)

    def close(self) -> None:
        super().close()
        self._file.close()


def looks_like(head: bytes) -> bool:
    """Whether a file's first bytes are those of a zip; npz files are zips, too."""
    return head.startswith(b"PK\x03\x04")


def another(head: bytes) -> bool:
    """Whether a file's first 512 bytes are those of an archive that is not read (tar, gzip, 7z and others)."""
    return head.startswith(_OTHERS) or head[257:262] == b"ustar"


def members(path: str, max_pixels: int) -> list[Member] | None:
    """The members of an archive of scans in the order of their names, or None where the file is an npz.

    Folders in an archive are no members. A name that occurs again means the last entry of that name.

    Raises:
        Refused: Not an archive of scans, or one that cannot be read.
    """
    try:
        return _members(path, max_pixels)
    except Refused:
        raise
    except Exception as error:  # hostile input may raise anything; its text may quote a name
        raise Refused("corrupt_archive", f"a zip that cannot be opened ({type(error).__name__})", "failed") from None


def _members(path: str, max_pixels: int) -> list[Member] | None:
    archive = _opened(*_identity(path))
    entries = archive.infolist()
    files = [entry for entry in entries if not entry.filename.endswith("/") or entry.file_size]
    if files and all(entry.filename.endswith(".npy") for entry in files):
        return None
    if not files:
        raise Refused("empty_archive", "an archive without a file in it")
    if entries[0].filename in _NOT_OF_SCANS:
        raise Refused("not_an_image", "a document or a program")
    if len(files) > MAX_MEMBERS:
        raise Refused("too_many_members", f"an archive of more than {MAX_MEMBERS} files: split it", "failed")
    if sum(entry.compress_size for entry in files) > os.path.getsize(path):
        raise Refused("zip_bomb", "an archive whose members share their bytes", "quarantined")
    return list(_checked(archive, files, most_bytes(max_pixels)))


def _checked(archive: zipfile.ZipFile, files: list[zipfile.ZipInfo], limit: int) -> Iterator[Member]:
    names = {entry.filename for entry in files}
    again: Counter[str] = Counter()
    for entry in sorted(files, key=lambda entry: (entry.filename, entry.header_offset)):
        name = entry.filename
        if archive.getinfo(name) is not entry:
            while name in names:  # rows of the ledger are told apart by name
                again[entry.filename] += 1
                name = f"{entry.filename} ({again[entry.filename]})"
            names.add(name)
            yield Member(name, entry.file_size, Refused("replaced_member", "a later entry has the same name"))
        else:
            yield Member(name, entry.file_size, _refusal(entry, limit))


def _refusal(entry: zipfile.ZipInfo, limit: int) -> Refused | None:
    parts = entry.filename.replace("\\", "/").split("/")
    if ".." in parts or parts[0] == "" or parts[0].endswith(":"):
        return Refused("unsafe_name", "a name that leads out of its archive", "quarantined")
    if entry.flag_bits & 1:
        return Refused("encrypted", "encrypted: unpack the archive with its password", "failed")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        return Refused("unknown_compression", "packed in a way that is not read: unpack the archive", "failed")
    if entry.file_size > limit:
        return Refused("too_large", f"declared as more than {limit >> 20} MiB (--max-pixels)", "failed")
    if is_bomb(entry):
        return Refused("zip_bomb", f"packed to less than 1/{MAX_RATIO}, as no scan is", "quarantined")
    return None


def open_member(path: str, name: str) -> BinaryIO:
    """A member as a file to read and seek in.

    Raises:
        Refused: It cannot be unpacked.
    """
    entry = _opened(*_identity(path)).getinfo(name)
    if entry.file_size <= IN_MEMORY:
        return io.BytesIO(_unpacked(*_identity(path), name))
    large = tempfile.TemporaryFile()  # noqa: SIM115 - the caller's to close
    _copy(path, name, large)
    large.seek(0)
    return large


def _identity(path: str) -> tuple[str, int, int]:
    state = os.stat(path)
    return path, state.st_size, state.st_mtime_ns


@lru_cache(maxsize=2)
def _opened(path: str, size: int, modified: int) -> _Archive:
    """Kept open: the list of members of a large archive takes seconds to read."""
    return _Archive(path)


@lru_cache(maxsize=1)
def _unpacked(path: str, size: int, modified: int, name: str) -> bytes:
    """Kept, because the first look at a file opens it more than once."""
    buffer = io.BytesIO()
    _copy(path, name, buffer)
    return buffer.getvalue()


def _copy(path: str, name: str, target: BinaryIO) -> None:
    archive = _opened(*_identity(path))
    entry = archive.getinfo(name)
    # What bzip2 and LZMA make of one portion has no bound but the portion's size.
    portion = 2**16 if entry.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) else 2**12
    try:
        with archive.open(entry) as member:  # stops at the declared size, and checks the sum
            while block := member.read(portion):
                target.write(block)
    except Exception as error:  # whatever a decompressor raises
        detail = f"a member that cannot be unpacked ({type(error).__name__})"
        raise Refused("corrupt_member", detail, "failed") from None
