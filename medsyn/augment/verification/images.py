"""A sample of a set's images: do they say that they are synthetic, are they those of the manifest, and does the
generator make them again?"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from medsyn.augment.making import Unit, drawn
from medsyn.augment.verification import records
from medsyn.augment.verification.card import Card
from medsyn.augment.verification.files import Paths
from medsyn.augment.verification.npz import NpzImages
from medsyn.augment.verification.results import Finding, Names
from medsyn.compute import numpy_rng, single_threaded
from medsyn.errors import DataError
from medsyn.generator import Generator
from medsyn.progress import Progress
from medsyn.synthetic import arrays
from medsyn.synthetic.manifest import SINGLE
from medsyn.synthetic.marks import says_synthetic
from medsyn.synthetic.reading import read_image

LEAST = 10
TOLERANCE = {8: 1, 16: 257}
"""Bits of a pixel -> values by which an image may differ that was made on another platform: one grey level of 256."""


class Images:
    """Looks at some images of a set.

    Args:
        folder: The set.
        card: What card.json says.
        named: All files of the set; others are not read.
        model: Made the set; None: it is not at hand.
        here: Whether this platform is the one that it was made on, where it is made again bit for bit.

    Attributes:
        sampled: Images that were drawn.
        marked: Files of which it was read that they are synthetic.
        remade: Images that were made again.
        identical: Of these, bit for bit.
        largest: Difference, in grey levels, of the others from what is stored.
    """

    def __init__(self, folder: Path, card: Card, named: Paths, model: Generator | None, *, here: bool) -> None:
        self.tolerance = 0 if here else TOLERANCE[card.bits]
        self.folder, self.card, self.named, self.model = folder, card, named, model
        self.sampled = self.marked = self.remade = self.identical = self.largest = 0
        self._unreadable, self._unmarked, self._differ, self._unlike = Names(), Names(), Names(), Names()
        self._npz: NpzImages | None = None
        self._npz_fault: Finding | None = None

    def check(self, n: int, share: float, seed: int, progress: Progress) -> list[Finding]:
        """Look at a share of all ``n`` accepted images, drawn at random, at least `LEAST`.

        Returns:
            What is wrong.
        """
        number = min(n, max(LEAST, round(share * n)))
        if n and "npz" in self.card.formats and not self.named.lacks([arrays.NAME]):
            try:
                self._npz = NpzImages(self.folder / arrays.NAME, n)
            except DataError as error:
                self._npz_fault = Finding("images", f"{arrays.NAME} {error.what}")
        size = len(self.card.classes) * (self.model.batch if self.model else 1)
        label = f"making {number} images again" if self.model else f"reading {number} images"
        with progress.task(label, number) as task:
            for group, members in groupby(self._sample(n, number, seed), lambda row: row["index"] // size):
                rows = list(members)
                stored = [self._stored(row) for row in rows]
                self._remake(group, rows, stored)
                self.sampled += len(rows)
                task.update(self.sampled)
        return self._findings()

    def _sample(self, n: int, number: int, seed: int) -> Iterator[dict[str, Any]]:
        asked = np.zeros(n, bool)
        asked[numpy_rng("verify", seed).choice(n, number, replace=False)] = True
        accepted = (row for row in records.rows(self.folder) if row["accepted"])
        return (row for wanted, row in zip(asked, accepted, strict=False) if wanted)

    def _stored(self, row: Mapping[str, Any]) -> np.ndarray | None:
        """Pixels of one image, of the first file of it that can be read."""
        found = None
        for name, pixels in self._each(row):
            if hashlib.sha256(pixels.tobytes()).hexdigest() != row["pixel_digest"]:
                self._differ.add(name)
            found = pixels if found is None else found
        return found

    def _each(self, row: Mapping[str, Any]) -> Iterator[tuple[str, np.ndarray]]:
        """Name and pixels of every file of one image that can be read."""
        for name in (row[fmt] for fmt in SINGLE if row[fmt] is not None):
            if self.named.lacks([name]) or not (self.folder / name).is_file():  # which is told already
                continue
            try:
                pixels = read_image(self.folder / name)
                marked = says_synthetic(self.folder / name)
            except Exception:  # each library has errors of its own for a damaged file
                self._unreadable.add(name)
                continue
            self.marked += marked
            if not marked:
                self._unmarked.add(name)
            yield name, pixels
        if self._npz is not None:
            try:
                pixels, label = self._npz.image(row["row"])
            except DataError as error:
                self._npz, self._npz_fault = None, Finding("images", f"{arrays.NAME} {error.what}")
                return
            name = f"{arrays.NAME} row {row['row']}"
            if self.card.classes[label : label + 1] != [row["label"]]:
                self._differ.add(f"{name} (label)")
            yield name, pixels

    def _remake(self, group: int, rows: list[dict[str, Any]], stored: list[np.ndarray | None]) -> None:
        """Make images of one group again and compare them with the stored ones."""
        if self.model is None:
            return
        for place, label in enumerate(self.model.classes):
            own = [i for i, row in enumerate(rows) if row["label"] == label]
            if not own:
                continue
            with single_threaded():
                index, pixels, _ = drawn(
                    self.model, Unit(group, place), self.card.seed, self.card.truncation, self.card.bits
                )
            at = {k: i for i, k in enumerate(index.tolist())}
            for i in own:
                if rows[i]["index"] in at:  # else its label is wrong, which is told of the manifest
                    self._compare(rows[i], pixels[at[rows[i]["index"]]], stored[i])

    def _compare(self, row: Mapping[str, Any], made: np.ndarray, stored: np.ndarray | None) -> None:
        self.remade += 1
        if hashlib.sha256(made.tobytes()).hexdigest() == row["pixel_digest"]:
            self.identical += 1
        elif stored is None or (stored.shape, stored.dtype) != (made.shape, made.dtype):
            self._unlike.add(str(row["index"]))
        else:
            difference = int(np.abs(made.astype(np.int64) - stored).max())
            self.largest = max(self.largest, difference)
            if difference > self.tolerance:
                self._unlike.add(f"{row['index']} (by {difference})")

    def _findings(self) -> list[Finding]:
        found = [self._npz_fault] if self._npz_fault else []
        for names, one, more in (
            (self._unreadable, "file cannot be read", "files cannot be read"),
            (self._unmarked, "file does not say that it is synthetic", "files do not say that they are synthetic"),
            (self._differ, "image is not that of the manifest", "images are not those of the manifest"),
        ):
            found += Finding.about("images", names, one, more)
        differs = "from what the generator makes" + (", by more than 1 grey level" if self.tolerance else "")
        return found + Finding.about("generator", self._unlike, f"image differs {differs}", f"images differ {differs}")
