"""What a DICOM file unpacks to, found out before it is unpacked."""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO

from pydicom import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

from medsyn.ingest.dicom_header import integer
from medsyn.ingest.source import Refused

_HEADER = 2**24
"""Bytes that a header may add to the pixels."""


def check_deflated(file: BinaryIO, max_values: int) -> None:
    """Inflate a deflated data set piece by piece without keeping it; ``file`` is left at its start.

    Raises:
        Refused: It holds more than ``max_values`` values of two bytes, or is damaged.
    """
    head = file.read(1024)
    file.seek(0)
    if DeflatedExplicitVRLittleEndian.encode() not in head:
        return
    start = 132 if head[128:132] == b"DICM" else 0
    if head[start : start + 4] != b"\x02\x00\x00\x00":
        raise Refused("corrupt", "a deflated file without the length of its meta information", "failed")
    file.seek(start + 12 + struct.unpack("<I", head[start + 8 : start + 12])[0])
    inflate, total = zlib.decompressobj(wbits=-15), 0
    try:
        while part := inflate.unconsumed_tail or file.read(2**16):
            total += len(inflate.decompress(part, 2**20))
            if total > 2 * max_values + _HEADER:
                raise Refused("too_large", f"it inflates to more than {max_values} values (--max-pixels)", "failed")
    except zlib.error:
        raise Refused("corrupt", "a deflated file that does not inflate", "failed") from None
    file.seek(0)


def check_codestreams(header: Dataset) -> None:
    """Compare the size that every compressed frame states with the header's, which was checked already.

    Raises:
        Refused: They differ: a decoder would allocate what the frame says.
    """
    syntax = header.file_meta.TransferSyntaxUID
    if not syntax.is_encapsulated or syntax == RLELossless:
        return
    stated = integer(header, "Rows"), integer(header, "Columns")
    frames = max(1, integer(header, "NumberOfFrames", 1))
    for frame in generate_frames(header.PixelData, number_of_frames=frames):
        size = codestream_size(frame)
        if size is not None and size != stated:
            raise Refused("corrupt", "a compressed frame of another size than the header says", "failed")


def codestream_size(frame: bytes) -> tuple[int, int] | None:
    """Rows and columns in a JPEG 2000 (ISO 15444-1 A.5.1), JPEG (10918-1 B.2.2) or JPEG-LS (14495-1 C.2.2) frame.

    Returns:
        None where none of them is recognised.
    """
    start = frame.find(b"\xff\x4f\xff\x51", 0, 1024)
    if start >= 0 and len(frame) >= start + 24:
        right, bottom, left, top = struct.unpack(">4I", frame[start + 8 : start + 24])
        return bottom - top, right - left
    place = 2 if frame[:2] == b"\xff\xd8" else len(frame)
    while place + 9 <= len(frame) and frame[place] == 0xFF:
        marker, length = frame[place + 1], struct.unpack(">H", frame[place + 2 : place + 4])[0]
        if marker == 0xFF:  # a fill byte
            place += 1
        elif marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            return struct.unpack(">2H", frame[place + 5 : place + 9])
        else:
            place += 2 + length
    return None
