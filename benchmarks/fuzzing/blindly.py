"""Spoiling without knowing what a file means, and the numbers that spoil a field."""

from __future__ import annotations

import struct

import numpy as np

Random = np.random.Generator
NUMBERS = (0, 1, 2, 3, 7, 8, 12, 16, 24, 32, 64, 127, 128, 255, 256, 1000, 4096, 32767, 32768, 65535, 65536, 2**24)
LARGE = (2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1)
FLOATS = ("0", "-1", "1e308", "-1e308", "1e-308", "nan", "inf", "-inf", "1e16", "")


def blind(data: bytes, others: list[bytes], rng: Random) -> bytes:
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


def number_of(rng: Random, bits: int = 16) -> int:
    choices = [n for n in (*NUMBERS, *LARGE) if n < 2**bits]
    return int(choices[int(rng.integers(len(choices)))])
