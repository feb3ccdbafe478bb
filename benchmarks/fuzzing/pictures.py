"""Spoiling PNG, JPEG, TIFF and BMP where they say how large everything is."""

from __future__ import annotations

import struct
import zlib

from fuzzing.blindly import Random, number_of


def raster(data: bytes, rng: Random) -> bytes:
    if data.startswith(b"\x89PNG"):
        return _png(data, rng)
    if data.startswith(b"\xff\xd8"):
        return _jpeg(data, rng)
    if data[:4] == b"II*\0":
        return _tiff(data, rng)
    out = bytearray(data)
    struct.pack_into("<I", out, int(rng.choice((10, 14, 18, 22, 26, 28, 30, 34, 46))), number_of(rng, 32))
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
        struct.pack_into(">I", head, int(rng.choice((0, 4))), number_of(rng, 32))
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
        struct.pack_into(">H", out, frames[0] + int(rng.choice((5, 7))), number_of(rng))
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
            struct.pack_into("<I", out, entry + 4, number_of(rng, 32))
        elif kind == 2:
            struct.pack_into("<I", out, entry + 8, number_of(rng, 32))
        elif kind == 3:
            struct.pack_into("<H", out, entry, int(rng.integers(254, 350)))
        else:  # the next directory: this one again, or nowhere
            struct.pack_into("<I", out, place + 2 + 12 * count, int(rng.choice((place, 8, 4, len(out) - 6))))
    return bytes(out)
