"""DICOMDIR: the files that the index of a medium refers to (PS3.3 F.3, PS3.10 8)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pydicom import dcmread
from pydicom.uid import MediaStorageDirectoryStorage

from medsyn.ingest.source import Refused, quiet

MAX_BYTES = 2**28
_MISSING = Refused("missing_reference", "the DICOMDIR names a file that is not there", "failed")
_OUTSIDE = Refused("outside_folder", "the DICOMDIR names a file outside of its folder", "failed")


def looks_like(head: bytes) -> bool:
    """Whether a file's first 4,096 bytes are those of a DICOMDIR."""
    return head[128:132] == b"DICM" and MediaStorageDirectoryStorage.encode() in head


def references(path: str) -> Iterator[tuple[str, Refused | None]]:
    """Files that a DICOMDIR refers to, each once, by their path in its folder, with the reason where one is left out.

    Raises:
        Refused: It cannot be read.
    """
    file_ids = _file_ids(path)
    return _resolved(Path(path).parent, file_ids)


def _resolved(folder: Path, file_ids: list[list[str]]) -> Iterator[tuple[str, Refused | None]]:
    top, listings = folder.resolve(), dict[str, dict[str, str]]()
    seen: set[str] = set()
    for parts in file_ids:
        refused: Refused | None = _OUTSIDE
        if any(part in ("", ".", "..") or any(c in part for c in "/\\\0") for part in parts):
            relative = "/".join(parts)
        else:
            relative = _locate(str(folder), parts, listings)
            file = folder / relative
            refused = None if os.path.isfile(file) else _MISSING
            if refused is None and not file.resolve().is_relative_to(top):
                refused = _OUTSIDE
        if relative not in seen:
            seen.add(relative)
            yield relative, refused


def _file_ids(path: str) -> list[list[str]]:
    if os.path.getsize(path) > MAX_BYTES:
        raise Refused("too_large", f"a DICOMDIR of more than {MAX_BYTES >> 20} MiB", "failed")
    found = []
    try:
        with quiet():
            for record in dcmread(path, specific_tags=["DirectoryRecordSequence"]).get("DirectoryRecordSequence", []):
                name = record.get("ReferencedFileID")
                if name:
                    found.append([name] if isinstance(name, str) else [str(part) for part in name])
    except Exception as error:  # hostile input may raise anything; its text may quote the header
        detail = f"a DICOMDIR that cannot be read ({type(error).__name__})"
        raise Refused("unreadable", detail, "failed") from None
    return found


def _locate(folder: str, parts: list[str], listings: dict[str, dict[str, str]]) -> str:
    """Path in the folder; names on a medium are upper case, their copies on a disk often are not."""
    there: list[str] = []
    for part in parts:
        at = os.path.join(folder, *there)
        if not os.path.exists(os.path.join(at, part)):
            if at not in listings:
                listings[at] = {name.upper(): name for name in os.listdir(at)} if os.path.isdir(at) else {}
            part = listings[at].get(part.upper(), part)
        there.append(part)
    return "/".join(there)
