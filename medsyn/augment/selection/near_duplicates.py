"""Near-duplicates among the synthetic images themselves, in memory that does not grow with their number."""

from __future__ import annotations

import hashlib
from mmap import mmap
from pathlib import Path
from typing import NamedTuple

import numpy as np

from medsyn.augment.staging import Staging
from medsyn.data import near
from medsyn.data.grey import luminance
from medsyn.data.likeness import likeness
from medsyn.data.thumbnail import SIDE, thumbnail

ALIKE = 0.97
"""`likeness` from which two images count as one. The most alike of 17 million pairs of films of different patients
reach 0.961; copies that differ by noise, brightness or part of a pixel lie above 0.98."""

BANDS = 2 * near.BITS // 64
BITS = 17
"""Of each band that address a table. A table holds the newest image of each address: of a class of more than some
100,000 images, an image may be compared with those that came last only."""

WORDS = near.BITS // 64
BYTES = SIDE * SIDE + 8 * WORDS
"""That each accepted image takes on disk until the set is complete."""


class Sketch(NamedTuple):
    """What images are compared by: thumbnails uint8 ``[n, SIDE, SIDE]`` and fingerprints uint64 ``[n, 16]``.

    Pictures that hold too little to be told from others are compared for equality: their fingerprint is a hash.
    """

    thumbnails: np.ndarray
    prints: np.ndarray

    @classmethod
    def of(cls, images: np.ndarray) -> Sketch:
        """Of images ``[n, C, H, W]`` in [0, 1]."""
        small = thumbnail(images[:, 0] if images.shape[1] == 1 else luminance(np.moveaxis(images, 1, -1)))
        prints = near.fingerprint(small)
        for i in np.flatnonzero(near.featureless(small)):
            prints[i] = np.frombuffer(hashlib.shake_128(small[i].tobytes()).digest(prints[i].nbytes), np.uint64)
        return cls(small, prints)


class NearDuplicates:
    """Accepted images, to compare new ones of the same class with.

    Args:
        file: Where their sketches lie until the set is complete.
        n: Images that there will be.
    """

    def __init__(self, file: Path, n: int) -> None:
        self.staged = Staging(file, np.uint8, (n, BYTES))
        self._tables: dict[int, np.ndarray] = {}

    def score(self, thumb: np.ndarray, fingerprint: np.ndarray, label: int) -> float:
        """How alike an image is to the accepted one most like it: above 1 fails.

        Args:
            thumb: uint8 ``[SIDE, SIDE]``.
            fingerprint: uint64 ``[16]``.
            label: Class index.
        """
        if label not in self._tables:
            return 0.0
        rows = np.unique(self._tables[label][np.arange(BANDS), _addresses(fingerprint[None])[0]])
        rows = rows[rows > 0] - 1
        if not len(rows):
            return 0.0
        kept = np.asarray(self.staged.rows[rows])
        prints = np.ascontiguousarray(kept[:, SIDE * SIDE :]).view(np.uint64)
        close = near.differing(prints, np.broadcast_to(fingerprint, prints.shape)) <= near.MOST_BITS * near.BITS
        if not close.any():
            return 0.0
        if (kept[close, : SIDE * SIDE] == thumb.reshape(-1)).all(1).any():
            return 1e6
        pictures = np.concatenate([thumb[None], kept[close, : SIDE * SIDE].reshape(-1, SIDE, SIDE)])
        pairs = np.stack([np.zeros(len(pictures) - 1, np.int64), np.arange(1, len(pictures))], 1)
        return float(min((1 - ALIKE) / max(1 - likeness(pictures, pairs).max(), 1e-6), 1e6))

    def add(self, row: int, thumb: np.ndarray, fingerprint: np.ndarray, label: int) -> None:
        """Accept an image as number ``row`` of the set."""
        self.staged.rows[row, : SIDE * SIDE] = thumb.reshape(-1)
        self.staged.rows[row, SIDE * SIDE :] = fingerprint.view(np.uint8)
        self._table(label)[np.arange(BANDS), _addresses(fingerprint[None])[0]] = row + 1

    def restore(self, first: int, labels: np.ndarray) -> None:
        """Take up images ``first`` .. of a set that was begun earlier, of class indices ``labels``."""
        kept = np.ascontiguousarray(self.staged.rows[first : first + len(labels), SIDE * SIDE :]).view(np.uint64)
        for row, (label, address) in enumerate(zip(labels, _addresses(kept), strict=True), first):
            self._table(int(label))[np.arange(BANDS), address] = row + 1

    def _table(self, label: int) -> np.ndarray:
        """Row of the newest image of a class at each address, and 1, or 0 for none: 17 MB a class that has any."""
        if label not in self._tables:
            # Of the system, and not of the allocator, which would not give it back; all at once, and no more later.
            self._tables[label] = np.frombuffer(mmap(-1, BANDS * 4 << BITS), np.int32).reshape(BANDS, -1)
            self._tables[label].fill(0)
        return self._tables[label]


def _addresses(prints: np.ndarray) -> np.ndarray:
    """Address in the table of each band ``[n, BANDS]``: the first bits of each half of each word."""
    return (np.ascontiguousarray(prints).view(np.uint32) >> np.uint32(32 - BITS)).astype(np.int64)
