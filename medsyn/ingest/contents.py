"""What is in a file, or in a member of an archive."""

from __future__ import annotations

from typing import BinaryIO

from medsyn.ingest.archive import open_member
from medsyn.ingest.source import Probe


def stream(found: Probe) -> BinaryIO:
    """The file, or the member of an archive, opened for reading and seeking.

    Raises:
        Refused: A member that cannot be unpacked.
    """
    return open(found.path, "rb") if found.member is None else open_member(found.path, found.member)


def content(found: Probe) -> bytes:
    """The whole file."""
    with stream(found) as file:
        return file.read()
