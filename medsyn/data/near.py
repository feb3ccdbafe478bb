"""Near-duplicate pictures of different subjects: re-encoded, rescaled, re-windowed or slightly cropped copies.

Every picture becomes a thumbnail of 32 x 32 px and a fingerprint of 1,024 bits. An index over the fingerprints names
candidates, and `likeness` decides. A mirrored film does not count: it is not the same exposure.

How this differs from `medsyn.evaluate.checks.singles`, which looks for copies, too: that one compares every synthetic
image with every training image, mirrored and shifted by up to 2 px, and learns what is normal from the references. It
costs n m products, needs torch, and errs towards an alarm that a person reads. This one looks for pairs in a whole
archive in close to linear time, and errs towards silence: a false pair makes two patients one, and such joins chain.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from medsyn.data import splits
from medsyn.data.dataset import Dataset
from medsyn.data.grey import luminance
from medsyn.data.likeness import SIDE, centred, details, likeness
from medsyn.data.rows import Pictures
from medsyn.data.thumbnail import thumbnail

BITS = 1024
FIRM = 1.0
"""Deviation of the narrow Gaussian for the fingerprint, which must not change with a shift by half a pixel."""

WINDOW = 64
"""Pictures after it, in the order of the band, that one picture is compared with."""

MOST_BITS = 0.14
"""Share of differing bits beyond which a pair is not looked at."""

CHUNK = 512

LEAST_DETAIL = 1.0
LEAST_SPREAD = 40.0
"""A picture is featureless where its details deviate by less than `LEAST_DETAIL` grey levels of 255, or come from fewer
than `LEAST_SPREAD` of 784 thumbnail pixels (the participation ratio of their energy): an empty slice, the tip of a
head. Two patients' discs fit one another as well as two copies do. Of 8,900 films and heads one lies below."""

LARGE_GROUP = 20
"""Subjects in one unit from which the reader is told."""


def thumbnails_of(dataset: Dataset) -> np.ndarray:
    """Thumbnails of all images that may be seen of a dataset, in the order of its table: uint8 ``[n, SIDE, SIDE]``."""
    rows = dataset.rows(labelled=False)
    out = np.empty((len(rows), SIDE, SIDE), np.uint8)
    for start in range(0, len(rows), CHUNK):
        images = dataset.images(rows[start : start + CHUNK])
        out[start : start + CHUNK] = thumbnail(
            images[:, 0] if images.shape[1] == 1 else luminance(np.moveaxis(images, 1, -1))
        )
    return out


def fingerprint(thumbnails: np.ndarray | Pictures) -> np.ndarray:
    """On which side of `BITS` random planes the details of a picture lie.

    Two pictures whose details correlate by r differ in a share ``arccos(r) / pi`` of the bits, whatever the pictures
    (Charikar 2002, "Similarity estimation techniques from rounding algorithms", section 3): 1/64 at r = 0.999, 1/16 at
    0.98. The planes are fixed, so that fingerprints of different ingests can be compared.

    Args:
        thumbnails: uint8 ``[n, SIDE, SIDE]``; may be on disk.

    Returns:
        uint64 ``[n, BITS / 64]``.
    """
    out = np.empty((len(thumbnails), BITS // 64), np.uint64)
    for start in range(0, len(thumbnails), CHUNK):
        side = centred(details(thumbnails[start : start + CHUNK], FIRM)) @ _planes() > 0
        out[start : start + CHUNK] = np.packbits(side, axis=1).view(np.uint64)
    return out


@cache
def _planes() -> np.ndarray:
    """Random signs float32 ``[784, BITS]``, of a hash: the streams of NumPy may change from version to version."""
    n = centred(np.zeros((1, SIDE, SIDE), np.float32)).size * BITS
    drawn = np.frombuffer(hashlib.shake_128(b"medsyn near-duplicates").digest(n // 8), np.uint8)
    return (np.unpackbits(drawn).astype(np.float32) * 2 - 1).reshape(-1, BITS)


def featureless(thumbnails: np.ndarray | Pictures) -> np.ndarray:
    """Pictures that hold too little to tell two patients apart, bool ``[n]``: see `LEAST_DETAIL`.

    Args:
        thumbnails: uint8 ``[n, SIDE, SIDE]``; may be on disk.
    """
    out = np.empty(len(thumbnails), bool)
    for start in range(0, len(thumbnails), CHUNK):
        energy = centred(details(thumbnails[start : start + CHUNK])).astype(np.float64) ** 2
        total = energy.sum(axis=1)
        spread = total**2 / np.maximum((energy**2).sum(axis=1), 1e-12)
        few = (total < LEAST_DETAIL**2 * energy.shape[1]) | (spread < LEAST_SPREAD)
        out[start : start + CHUNK] = few
    return out


def threshold(n: int) -> float:
    """Likeness from which a pair among ``n`` pictures counts as one exposure.

    The number of pairs of strangers grows with the square of n, so the demand grows with n: 0.955 for 1,000 pictures,
    0.983 for a million. Of 500,000 pairs of chest films of different patients the most alike reach 0.947, of 17 million
    pairs at 28 px 0.961 (but for one of 0.976 that may be the same child). The share beyond 1 - x falls as the 7th to
    10th power of x: the exponent 1/7 keeps the strangers that one picture is taken for below one in a thousand, however
    many pictures there are.
    """
    return 1 - 0.045 * (1000 / max(n, 1000)) ** (1 / 7)


def _prefix(n: int) -> int:
    """Leading bits of a band that two of ``n`` fingerprints must share to be compared.

    One bit more for twice as many, so that a picture meets as many others by chance however many there are.
    """
    return min(32, math.ceil(math.log2(max(n, 2))) + 11)


def pairs(
    fingerprints: np.ndarray,
    thumbnails: np.ndarray | Pictures,
    groups: np.ndarray,
    new_from: int = 0,
    plain: np.ndarray | None = None,
) -> np.ndarray:
    """Near-duplicate pictures of different groups: enough of them to tie together all groups that share one.

    Pairs that share the first bits of a 32-bit half of one of the fingerprint's words are compared. That is every pair
    within `BITS` / 32 - 1 differing bits (the pigeonhole principle), and most of those up to a tenth. Where more than
    `WINDOW` pictures share these bits, each is compared with as many that follow it in the order of the whole word, and
    no more. So time grows as ``n log n``, and memory by some 60 bytes a picture beside what is passed in.

    Args:
        fingerprints: Of `fingerprint`, uint64 ``[n, k]``.
        thumbnails: uint8 ``[n, SIDE, SIDE]``; may be on disk.
        groups: Subject of each picture, integers ``[n]`` from 0. Pairs within one do not count.
        new_from: Pairs of pictures that both stand before this place are not looked for.
        plain: Of `featureless`, where that is known.

    Returns:
        int64 ``[m, 2]``, ascending, the lower place first. A pair whose groups hang together already by others may be
        missing, so that a picture that was copied a thousand times does not cost half a million comparisons.
    """
    n, least = len(fingerprints), threshold(len(fingerprints))
    useful = np.flatnonzero(~(featureless(thumbnails) if plain is None else plain)).astype(np.int32)
    unit = np.arange(groups.max(initial=-1) + 1, dtype=np.int32)
    seen, found = np.zeros(0, np.int64), [np.zeros((0, 2), np.int64)]
    for candidates in _candidates(fingerprints, useful, groups, new_from):
        of = unit[groups[candidates]]
        candidates = candidates[of[:, 0] != of[:, 1]]
        codes = np.setdiff1d(candidates[:, 0] * n + candidates[:, 1], seen)
        seen = np.union1d(seen, codes)
        both = np.stack(np.divmod(codes, n), axis=1)
        both = both[likeness(thumbnails, both) > least]
        if len(both):
            found.append(both)
            unit = splits.join(unit[groups[both]], len(unit))[unit]
    every = np.concatenate(found)
    return every[np.lexsort((every[:, 1], every[:, 0]))]


def _candidates(prints: np.ndarray, rows: np.ndarray, groups: np.ndarray, new_from: int) -> Iterator[np.ndarray]:
    """Pairs of ``rows``, int64 ``[m, 2]``, lower first, for each band: half a word leads, the other half orders.

    Sorted words and a window instead of a bucket for each prefix (Bawa 2005, "LSH forest"): a crowded prefix is refined
    by the bits that follow, and cannot blow up.
    """
    most, unlike = int(MOST_BITS * BITS), np.uint64(64 - _prefix(len(rows)))
    for word in range(prints.shape[1]):
        for turned in (False, True):
            key = prints[rows, word]
            if turned:
                key = (key << np.uint64(32)) | (key >> np.uint64(32))
            order = np.argsort(key, kind="stable")
            key, order = key[order], rows[order]
            parts = [np.zeros((0, 2), np.int64)]
            for step in range(1, min(WINDOW + 1, len(order))):
                same = np.flatnonzero((key[step:] ^ key[:-step]) >> unlike == 0)
                if not len(same):
                    break
                for start in range(0, len(same), 64 * CHUNK):
                    at = same[start : start + 64 * CHUNK]
                    a, b = order[at], order[at + step]
                    a, b = np.minimum(a, b), np.maximum(a, b)
                    wanted = (groups[a] != groups[b]) & (b >= new_from)
                    a, b = a[wanted], b[wanted]
                    near = differing(prints[a], prints[b]) <= most
                    parts.append(np.stack([a[near], b[near]], axis=1, dtype=np.int64))
            yield np.concatenate(parts)


_ONES = np.array([bin(i).count("1") for i in range(65536)], np.uint8)


def differing(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Hamming distance of rows of words, int64 ``[n]``."""
    return _ONES[np.ascontiguousarray(a ^ b).view(np.uint16)].sum(axis=1, dtype=np.int64)


@dataclass(frozen=True)
class NearTies:
    """Subjects that are most likely one person.

    Attributes:
        edges: Pairs of subjects, each once, ascending: ``[k, 2]``, as the subjects were given.
        pairs: The pictures behind them, int64 ``[m, 2]``; places among the earlier pictures, then the new ones.
        caveats: What the reader of every later report must know.
    """

    edges: np.ndarray
    pairs: np.ndarray
    caveats: list[str]

    @classmethod
    def none(cls) -> NearTies:
        """Nobody is tied to anybody."""
        return cls(np.zeros((0, 2), "S16"), np.zeros((0, 2), np.int64), [])


def near_ties(
    thumbnails: np.ndarray | Pictures, subjects: np.ndarray, new_from: int = 0, plain: np.ndarray | None = None
) -> NearTies:
    """Subjects tied by near-duplicate pictures.

    Args:
        thumbnails: uint8 ``[n, SIDE, SIDE]``, of `thumbnail`; may be on disk.
        subjects: Subject of each ``[n]``: names or their `medsyn.data.names.marks`.
        new_from: How many of the first pictures belong to earlier datasets of the same name. What ties those to one
            another was settled then.
        plain: Of `featureless`, where that is known.
    """
    names, groups = np.unique(subjects, return_inverse=True)
    found = pairs(fingerprint(thumbnails), thumbnails, groups.astype(np.int32), new_from, plain)
    tied = np.unique(np.sort(groups[found], axis=1), axis=0).reshape(-1, 2)
    return NearTies(names[tied], found, _caveats(tied))


def _caveats(edges: np.ndarray) -> list[str]:
    if not len(edges):
        return []
    subjects, ends = np.unique(edges, return_inverse=True)
    sizes = np.bincount(splits.join(ends.reshape(-1, 2), len(subjects)))
    told = [f"{len(subjects)} subjects share a nearly identical image with another one and count as {len(sizes)}"]
    largest = sizes.max()
    if largest > LARGE_GROUP:
        told.append(
            f"{largest} subjects hang together by nearly identical images and go to one split together: "
            "either the images were copied very often, or they hold too little to tell patients apart"
        )
    return told
