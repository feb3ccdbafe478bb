"""Ways to spoil a file: blindly, and where it hurts, in the fields that say how large everything is."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Callable

import numpy as np
from pydicom import dcmread
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

Random = np.random.Generator
NUMBERS = (0, 1, 2, 3, 7, 8, 12, 16, 24, 32, 64, 127, 128, 255, 256, 1000, 4096, 32767, 32768, 65535, 65536, 2**24)
LARGE = (2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1)
FLOATS = ("0", "-1", "1e308", "-1e308", "1e-308", "nan", "inf", "-inf", "1e16", "")


def mutate(reader: str, data: bytes, others: list[bytes], rng: Random) -> bytes:
    """Spoil a file in one to three ways.

    Args:
        reader: Which reader it is for.
        data: The sound file.
        others: Files to splice pieces from.
        rng: Source of every choice.
    """
    knowing = _KNOWING.get(reader)
    if knowing is not None and rng.random() < 0.6:
        try:
            data = knowing(data, rng)
        except Exception:  # an already spoilt file that its format's library does not take apart
            data = _blind(data, others, rng)
        if rng.random() < 0.7:
            return data
    for _ in range(int(rng.integers(1, 4))):
        data = _blind(data, others, rng)
    return data


# ---- blindly


def _blind(data: bytes, others: list[bytes], rng: Random) -> bytes:
    out = bytearray(data or b"\0")
    kind = int(rng.integers(8))
    # Headers are at the start: half of all places are there.
    end = len(out) if rng.random() < 0.5 else min(len(out), 512)
    at = int(rng.integers(end))
    length = int(min(len(out) - at, rng.integers(1, 2 ** rng.integers(1, 12))))
    if kind == 0:
        for place in rng.integers(0, end, int(rng.integers(1, 32))):
            out[place] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        out[at] = int(rng.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF)))
    elif kind == 2:
        width = str(rng.choice(("<H", ">H", "<I", ">I", "<Q", ">Q")))
        value = int(rng.choice(np.array((*NUMBERS, *LARGE), dtype=object)))
        size = struct.calcsize(width)
        out[at : at + size] = struct.pack(width, value % 256**size)
    elif kind == 3:
        del out[at:]
    elif kind == 4:
        del out[at : at + length]
    elif kind == 5:
        out[at:at] = out[at : at + length] * int(rng.integers(1, 20))
    elif kind == 6:
        out[at : at + length] = bytes(length)
    else:
        other = others[int(rng.integers(len(others)))]
        start = int(rng.integers(max(1, len(other))))
        out[at : at + length] = other[start : start + length]
    return bytes(out)


def _number(rng: Random, bits: int = 16) -> int:
    choices = [n for n in (*NUMBERS, *LARGE) if n < 2**bits]
    return int(choices[int(rng.integers(len(choices)))])


# ---- DICOM

_LIES: dict[str, str] = {
    **dict.fromkeys(("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "SamplesPerPixel"), "US"),
    **dict.fromkeys(("PlanarConfiguration", "PixelRepresentation", "PixelPaddingValue"), "US"),
    **dict.fromkeys(("NumberOfFrames", "InstanceNumber"), "IS"),
    **dict.fromkeys(("WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept", "PixelSpacing"), "DS"),
    **dict.fromkeys(("ImagePositionPatient", "ImageOrientationPatient", "PixelAspectRatio"), "DS"),
}
_WORDS = {
    "PhotometricInterpretation": ("MONOCHROME1", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "PALETTE COLOR", "X"),
    "Modality": ("CT", "MR", "US", "PT", "SEG", "", "X" * 3000),
    "VOILUTFunction": ("LINEAR", "LINEAR_EXACT", "SIGMOID", "X"),
    "ImageType": ("ORIGINAL\\PRIMARY\\MOSAIC", "DERIVED", "LOCALIZER", "\\" * 3000),
}
_SYNTAXES = (
    *("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99", "1.2.3"),
    *("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"),
    *("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.5"),
)


def _dicom(data: bytes, rng: Random) -> bytes:
    if rng.random() < 0.05:
        return _deep(data, int(2 ** rng.integers(1, 15)))
    header = dcmread(io.BytesIO(data), force=True)
    for _ in range(int(rng.integers(1, 4))):
        _lie(header, rng)
    buffer = io.BytesIO()
    header.save_as(buffer, enforce_file_format=False)
    return buffer.getvalue()


def _deep(data: bytes, depth: int) -> bytes:
    """Sequences in sequences, of undefined length, before everything else."""
    opened = bytes.fromhex("00523092 5351 0000 ffffffff feff00e0 ffffffff")
    closed = bytes.fromhex("feff0de0 00000000 feffdde0 00000000")
    start = 144 + int.from_bytes(data[140:144], "little")
    return data[:start] + opened * depth + closed * depth + data[start:]


def _lie(header: Dataset, rng: Random) -> None:
    kind = int(rng.integers(8))
    if kind <= 3:
        keyword = str(rng.choice(list(_LIES)))
        vr = _LIES[keyword]
        if vr == "US":
            _set(header, keyword, vr, struct.pack("<H", _number(rng)))
        else:
            many = int(rng.choice((1, 1, 2, 3, 6, 500)))
            words = [str(rng.choice(FLOATS)) if vr == "DS" else str(_number(rng, 64)) for _ in range(many)]
            _set(header, keyword, vr, "\\".join(words).encode())
    elif kind == 4:
        keyword = str(rng.choice(list(_WORDS)))
        _set(header, keyword, "CS", str(rng.choice(_WORDS[keyword])).encode())
    elif kind == 5:
        header.file_meta.TransferSyntaxUID = str(rng.choice(_SYNTAXES))
    elif kind == 6:
        del header[list(header.keys())[int(rng.integers(len(header)))]]
    else:  # a wrong VR
        element = header[list(header.keys())[int(rng.integers(len(header)))]]
        raw = element.value if isinstance(element.value, bytes) else str(element.value).encode()
        header[element.tag] = DataElement(element.tag, "UN", raw)


def _set(header: Dataset, keyword: str, vr: str, value: bytes) -> None:
    """As it stands in a file: nothing checks it before it is read."""
    tag = Tag(keyword)
    header[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)


# ---- NIfTI

_FIELDS = {  # offset and format of NIfTI-1 fields, nifti1.h
    **{40 + 2 * i: "h" for i in range(8)},
    **{
        70: "h",
        72: "h",
        108: "f",
        112: "f",
        116: "f",
        252: "h",
        254: "h",
        344: "4s",
        0: "i",
        348: "4s",
        352: "i",
        356: "i",
    },
    **{76 + 4 * i: "f" for i in range(8)},
    **{256 + 4 * i: "f" for i in range(18)},
}
_FIELDS_2 = {  # NIfTI-2, nifti2.h
    **{16 + 8 * i: "q" for i in range(8)},
    **{12: "h", 14: "h", 168: "q", 176: "d", 184: "d", 344: "i", 348: "i", 540: "4s", 544: "i", 548: "i"},
    **{104 + 8 * i: "d" for i in range(8)},
    **{400 + 8 * i: "d" for i in range(12)},
}


def _nifti(data: bytes, rng: Random) -> bytes:
    packed = data[:2] == b"\x1f\x8b"
    out = bytearray(gzip.decompress(data) if packed else data)
    fields = _FIELDS_2 if out[4:8] == b"n+2\0" else _FIELDS
    for _ in range(int(rng.integers(1, 4))):
        offset = int(rng.choice(list(fields)))
        _overwrite(out, offset, fields[offset], rng)
    if rng.random() < 0.05:
        out += bytes(2**24)
    return gzip.compress(bytes(out), 1, mtime=0) if packed or rng.random() < 0.1 else bytes(out)


def _overwrite(out: bytearray, offset: int, kind: str, rng: Random) -> None:
    if kind in "fd":
        number = float(rng.choice([f for f in FLOATS if f] + [str(n) for n in NUMBERS]))
        if kind == "f":
            number = float(np.clip(number, -3e38, 3e38))
        out[offset : offset + struct.calcsize(kind)] = struct.pack("<" + kind, number)
    elif kind == "4s":
        out[offset : offset + 4] = [b"n+1\0", b"ni1\0", b"n+2\0", b"\1\0\0\0"][int(rng.integers(4))]
    else:
        bits = 8 * struct.calcsize(kind) - 1
        out[offset : offset + struct.calcsize(kind)] = struct.pack(
            "<" + kind, int(rng.choice((1, -1))) * _number(rng, bits)
        )


# ---- pictures


def _raster(data: bytes, rng: Random) -> bytes:
    if data.startswith(b"\x89PNG"):
        return _png(data, rng)
    if data.startswith(b"\xff\xd8"):
        return _jpeg(data, rng)
    if data[:4] == b"II*\0":
        return _tiff(data, rng)
    out = bytearray(data)
    struct.pack_into("<I", out, int(rng.choice((10, 14, 18, 22, 26, 28, 30, 34, 46))), _number(rng, 32))
    return bytes(out)


def _png(data: bytes, rng: Random) -> bytes:
    chunks, place = [], 8
    while place + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, place)
        chunks.append((name, data[place + 8 : place + 8 + length]))
        place += 12 + length
    which, kind = int(rng.integers(len(chunks))), int(rng.integers(6))
    name = chunks[which][0]
    if kind <= 1:
        head = bytearray(chunks[0][1])
        struct.pack_into(">I", head, int(rng.choice((0, 4))), _number(rng, 32))
        head[int(rng.integers(8, 13))] = int(rng.integers(18))
        chunks[0] = (b"IHDR", bytes(head))
    elif kind == 2:
        chunks.insert(int(rng.integers(1, len(chunks) + 1)), chunks[which])
    elif kind == 3:
        del chunks[which]
    elif kind == 4:
        chunks[which] = (name, zlib.compress(bytes(int(2 ** rng.integers(10, 26)))))
    else:
        text = rng.choice((b"zTXt", b"iTXt", b"iCCP", b"eXIf", b"tRNS", b"PLTE", b"acTL", b"fcTL"))
        chunks.insert(1, (bytes(text), b"k\0\0" + zlib.compress(bytes(int(2 ** rng.integers(4, 26))))))
    packed = (struct.pack(">I", len(b)) + n + b + struct.pack(">I", zlib.crc32(n + b)) for n, b in chunks)
    return data[:8] + b"".join(packed)


def _jpeg(data: bytes, rng: Random) -> bytes:
    out, place = bytearray(data), 2
    segments = []
    while place + 4 <= len(out) and out[place] == 0xFF and out[place + 1] != 0xDA:
        segments.append((place, 2 + int.from_bytes(out[place + 2 : place + 4], "big")))
        place += segments[-1][1]
    frames = [at for at, _ in segments if 0xC0 <= out[at + 1] <= 0xCF and out[at + 1] not in (0xC4, 0xC8, 0xCC)]
    at, length = segments[int(rng.integers(len(segments)))]
    kind = int(rng.integers(5))
    if kind <= 1 and frames:
        struct.pack_into(">H", out, frames[0] + int(rng.choice((5, 7))), _number(rng))
    elif kind == 2 and frames:
        out[frames[0] + int(rng.choice((1, 4, 9, 10, 11, 12)))] = int(rng.integers(256))
    elif kind == 3:
        out[place:place] = out[at : at + length] * int(rng.integers(1, 50))
    else:
        del out[at : at + length]
    return bytes(out)


def _tiff(data: bytes, rng: Random) -> bytes:
    out = bytearray(data)
    (place,) = struct.unpack_from("<I", out, 4)
    (count,) = struct.unpack_from("<H", out, place)
    for _ in range(int(rng.integers(1, 4))):
        entry = place + 2 + 12 * int(rng.integers(count))
        kind = int(rng.integers(5))
        if kind == 0:
            struct.pack_into("<H", out, entry + 2, int(rng.integers(1, 18)))
        elif kind == 1:
            struct.pack_into("<I", out, entry + 4, _number(rng, 32))
        elif kind == 2:
            struct.pack_into("<I", out, entry + 8, _number(rng, 32))
        elif kind == 3:
            struct.pack_into("<H", out, entry, int(rng.integers(254, 350)))
        else:  # the next directory: this one again, or nowhere
            struct.pack_into("<I", out, place + 2 + 12 * count, int(rng.choice((place, 8, 4, len(out) - 6))))
    return bytes(out)


# ---- archives


def _zip(data: bytes, rng: Random) -> bytes:
    out = bytearray(data)
    marks = [(b"PK\x01\x02", 46), (b"PK\x03\x04", 30), (b"PK\x05\x06", 22)]
    for _ in range(int(rng.integers(1, 4))):
        mark, size = marks[int(rng.integers(3))]
        places = [i for i in range(len(out) - size + 1) if out[i : i + 4] == mark]
        if places:
            place = places[int(rng.integers(len(places)))] + int(rng.integers(4, size - 3))
            width = str(rng.choice(("<H", "<I")))
            struct.pack_into(width, out, place, _number(rng, 8 * struct.calcsize(width)))
    return bytes(out)


def _npz(data: bytes, rng: Random) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        chosen = int(rng.integers(len(old.infolist())))
        for i, entry in enumerate(old.infolist()):
            body = old.read(entry)
            new.writestr(zipfile.ZipInfo(entry.filename), _npy(body, rng) if i == chosen else body)
    return buffer.getvalue() if rng.random() < 0.8 else _zip(data, rng)


def _npy(body: bytes, rng: Random) -> bytes:
    shape = tuple(_number(rng, 64) * int(rng.choice((1, 1, -1))) for _ in range(int(rng.integers(0, 6))))
    shape = shape if rng.random() < 0.6 else (6, 16, 16)
    kind = str(rng.choice(("|u1", "<f8", "<f4", "|O", "<c16", "<U100000", "|V0", "<M8[s]", ">i2", "|b1", "x", "<f2")))
    text = f"{{'descr': '{kind}', 'fortran_order': {rng.random() < 0.3}, 'shape': {shape}, }}"
    if rng.random() < 0.1:
        text = "(" * int(rng.integers(1, 5000))
    length = len(text) if rng.random() < 0.8 else _number(rng)
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", length % 65536) + text.encode() + body[128:]


# ---- tables

_CELLS = (
    *(
        "",
        " ",
        '"',
        '""',
        "nan",
        "N/A",
        "-1",
        "0",
        "1.0",
        "1e999",
        "inf",
        "uncertain",
        "\\",
        "../../im1.png",
        "//im1.png",
    ),
    *(
        "im1",
        "im1.png",
        "1/im1.png",
        "P1",
        "01",
        "1.2.1",
        "1.2.1 ",
        "=1+1",
        "\u202eim1",
        "\ufeffa",
        "\0",
        "a\nb",
        "a\r",
        "é",
    ),
    *("x" * 20_000, "label", "file", "class", "patient_id", "0" * 400, "９", "½"),
)


def _table(data: bytes, rng: Random) -> bytes:
    if data.startswith(b"PAR1"):
        return _blind(data, [data], rng)
    text = data.decode("utf-8-sig", "surrogateescape")
    head = text.splitlines()[0] if text else ""
    delimiter = max(",;\t", key=head.count)
    rows = [line.split(delimiter) for line in text.splitlines()] or [[""]]
    for _ in range(int(rng.integers(1, 4))):
        kind, row = int(rng.integers(8)), rows[int(rng.integers(len(rows)))]
        column = int(rng.integers(max(1, len(row))))
        cell = str(_CELLS[int(rng.integers(len(_CELLS)))])
        if kind <= 1:
            row[column : column + 1] = [cell]
        elif kind == 2:  # a column's name
            rows[0][column : column + 1] = [cell]
        elif kind == 3:
            row[column:column] = [cell] * int(rng.choice((1, 2, 60)))
        elif kind == 4:
            del row[column:]
        elif kind == 5:
            rows += [list(row)] * int(rng.choice((1, 2, 100)))
        elif kind == 6:
            for each in rows:
                each.append(cell if rng.random() < 0.5 else each[0] if each else "")
        else:
            rows[:] = rows[: int(rng.integers(1, 3))]
    encoding = str(rng.choice((*["utf-8"] * 9, "utf-8-sig", "utf-16", "latin-1")))
    return "\n".join(delimiter.join(row) for row in rows).encode(encoding, "replace")


_KNOWING: dict[str, Callable[[bytes, Random], bytes]] = {
    "dicom": _dicom,
    "dicomdir": _dicom,
    "nifti": _nifti,
    "raster": _raster,
    "npz": _npz,
    "zip": _zip,
    "labels": _table,
}
