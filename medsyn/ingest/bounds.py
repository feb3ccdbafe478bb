"""What compressed data would grow to, found out before they do: a header may say less than the decoder allocates."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from pydicom import Dataset
from pydicom.encaps import generate_frames
from pydicom.filereader import read_dataset, read_preamble
from pydicom.uid import DeflatedExplicitVRLittleEndian

from medsyn.ingest.dicom_header import integer, text
from medsyn.ingest.source import Refused, most_bytes, most_of_plane

MAX_FRAMES = 2**16
_FRAME_OF_JPEG = re.compile(b"\xff[\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf\xf7]")
_SIZE_OF_JPEG_2000 = re.compile(b"\xff\x4f\xff\x51")
_PORTION = 2**16
_HEAD = 2**13


def check_deflated(file: BinaryIO, max_pixels: int) -> None:
    """Refuse a deflated data set (PS3.5 A.5) that inflates beyond `most_bytes`; leaves the file at its start.

    Raises:
        Refused: It inflates to more.
    """
    head = file.read(_HEAD)
    file.seek(0)
    meta_length = int.from_bytes(head[140:144], "little") if head[128:136] == b"DICM\2\0\0\0" else _HEAD
    if meta_length < _HEAD - 144 and DeflatedExplicitVRLittleEndian.encode() not in head:
        return
    read_preamble(file, force=True)
    meta = read_dataset(file, False, True, stop_when=lambda tag, vr, length: tag.group != 2)
    if text(meta, "TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        inflated, limit = zlib.decompressobj(-zlib.MAX_WBITS), most_bytes(max_pixels)
        while limit >= 0 and not inflated.eof and (data := inflated.unconsumed_tail or file.read(_PORTION)):
            limit -= len(inflated.decompress(data, _PORTION * 16))
        if limit < 0:
            raise _too_large(max_pixels)
    file.seek(0)


def check_pixels(header: Dataset, max_pixels: int) -> None:
    """Refuse pixels of another size than the header says, or of one that nobody should allocate.

    Raises:
        Refused: As said.
    """
    rows, columns = integer(header, "Rows"), integer(header, "Columns")
    frames, samples = max(1, integer(header, "NumberOfFrames", 1)), max(1, integer(header, "SamplesPerPixel", 1))
    too_large = rows * columns > most_of_plane(max_pixels, samples > 1)
    if too_large or rows * columns * samples * frames > max_pixels or frames > MAX_FRAMES:
        raise _too_large(max_pixels)
    if "PixelData" not in header or not header.file_meta.TransferSyntaxUID.is_encapsulated:
        return
    for frame in generate_frames(header.PixelData, number_of_frames=frames):
        size = claimed_size(frame)
        if size not in (None, (rows, columns, samples)):
            raise Refused("frame_size", "compressed pixels of another size than the header says", "failed")


def claimed_size(codestream: bytes) -> tuple[int, int, int] | None:
    """Rows, columns and samples that a JPEG, JPEG-LS or JPEG 2000 codestream claims; None: it is neither.

    Of several claims, the largest. Sources: ISO/IEC 10918-1 B.2.2 (frame header), ISO/IEC 15444-1 A.5.1 (SIZ).
    """
    found = []
    if codestream[:2] == b"\xff\xd8":
        for place in _frame_headers(codestream):
            rows, columns, samples = struct.unpack_from(">2HB", codestream, place + 5)
            found.append((rows, columns, samples))
    else:
        for match in _SIZE_OF_JPEG_2000.finditer(codestream, 0, max(0, len(codestream) - 38)):
            right, bottom, left, top = struct.unpack_from(">4I", codestream, match.start() + 8)
            (samples,) = struct.unpack_from(">H", codestream, match.start() + 40)
            found.append((bottom - top, right - left, samples))
    return max(found, key=lambda size: abs(size[0] * size[1] * size[2]), default=None)


def _frame_headers(codestream: bytes) -> Iterator[int]:
    """Where the frame headers of a JPEG are: thumbnails inside of other segments are stepped over."""
    place = 2
    while place + 10 <= len(codestream):
        marker = codestream[place + 1]
        if codestream[place] != 0xFF or marker == 0xDA:
            # Compressed data: of further frame headers in it, only hostile files know.
            match = _FRAME_OF_JPEG.search(codestream, place + 2, len(codestream) - 8)
            if match is None:
                return
            place = match.start()
        elif marker == 0xFF:
            place += 1
        elif marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD8:  # without a length
            place += 2
        else:
            if _FRAME_OF_JPEG.match(codestream, place):
                yield place
            place += 2 + int.from_bytes(codestream[place + 2 : place + 4], "big")


def _too_large(max_pixels: int) -> Refused:
    return Refused("too_large", f"more than {max_pixels} values are claimed (--max-pixels)", "failed")
