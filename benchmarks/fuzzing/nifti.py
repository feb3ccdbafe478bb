"""Spoiling NIfTI in the fields of its header."""

from __future__ import annotations

import gzip
import struct

import numpy as np

from fuzzing.blindly import FLOATS, NUMBERS, Random, number_of

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


def nifti(data: bytes, rng: Random) -> bytes:
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
            "<" + kind, int(rng.choice((1, -1))) * number_of(rng, bits)
        )
