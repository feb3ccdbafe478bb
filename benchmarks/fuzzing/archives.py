"""Spoiling archives: entries that lie, arrays of no shape."""

from __future__ import annotations

import io
import struct
import zipfile

from fuzzing.blindly import Random, number_of


def archive(data: bytes, rng: Random) -> bytes:
    out = bytearray(data)
    marks = [(b"PK\x01\x02", 46), (b"PK\x03\x04", 30), (b"PK\x05\x06", 22)]
    for _ in range(int(rng.integers(1, 4))):
        mark, size = marks[int(rng.integers(3))]
        places = [i for i in range(len(out) - size + 1) if out[i : i + 4] == mark]
        if places:
            place = places[int(rng.integers(len(places)))] + int(rng.integers(4, size - 3))
            width = str(rng.choice(("<H", "<I")))
            struct.pack_into(width, out, place, number_of(rng, 8 * struct.calcsize(width)))
    return bytes(out)


def npz(data: bytes, rng: Random) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        chosen = int(rng.integers(len(old.infolist())))
        for i, entry in enumerate(old.infolist()):
            body = old.read(entry)
            new.writestr(zipfile.ZipInfo(entry.filename), _npy(body, rng) if i == chosen else body)
    return buffer.getvalue() if rng.random() < 0.8 else archive(data, rng)


def _npy(body: bytes, rng: Random) -> bytes:
    shape = tuple(number_of(rng, 64) * int(rng.choice((1, 1, -1))) for _ in range(int(rng.integers(0, 6))))
    shape = shape if rng.random() < 0.6 else (6, 16, 16)
    kind = str(rng.choice(("|u1", "<f8", "<f4", "|O", "<c16", "<U100000", "|V0", "<M8[s]", ">i2", "|b1", "x", "<f2")))
    text = f"{{'descr': '{kind}', 'fortran_order': {rng.random() < 0.3}, 'shape': {shape}, }}"
    if rng.random() < 0.1:
        text = "(" * int(rng.integers(1, 5000))
    length = len(text) if rng.random() < 0.8 else number_of(rng)
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", length % 65536) + text.encode() + body[128:]
