"""The manifest of a set against its card and its files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from medsyn.augment.verification.card import Card
from medsyn.augment.verification.files import Paths
from medsyn.augment.verification.results import Finding, Names
from medsyn.synthetic.manifest import SINGLE

FILE = "manifest.parquet"
COLUMNS = (
    *("index", "label", "accepted", "reason", "row", *SINGLE),
    *("seed", "checkpoint_digest", "pixel_digest"),
)


class Records(NamedTuple):
    """Accepted images, all candidates, and what is wrong."""

    accepted: int
    judged: int
    findings: list[Finding]


def rows(folder: Path) -> Iterator[dict[str, Any]]:
    """Rows of the manifest, `COLUMNS` of each; memory stays flat.

    Raises:
        OSError: It is missing or damaged.
        pyarrow.ArrowException: It is damaged.
        KeyError: A column is missing.
    """
    with pq.ParquetFile(folder / FILE) as file:
        missing = next((name for name in COLUMNS if name not in file.schema_arrow.names), None)
        if missing:
            raise KeyError(missing)
        for batch in file.iter_batches(4096, columns=list(COLUMNS)):
            yield from batch.to_pylist()


def check(folder: Path, card: Card, named: Paths) -> Records:
    """Compare the manifest with the card, and the files it names with those of the sums.

    Args:
        folder: The set.
        card: What card.json says.
        named: All files of the set.
    """
    compared = _Compared(card)
    try:
        for row in rows(folder):
            compared.take(row, named)
    except (OSError, KeyError, UnicodeDecodeError, pa.ArrowException) as error:
        return Records(0, 0, [Finding("manifest", f"{FILE} cannot be read ({type(error).__name__})")])
    return Records(compared.accepted.total(), compared.judged.total(), compared.findings())


class _Compared:
    """Counts of a manifest, row by row."""

    def __init__(self, card: Card) -> None:
        self.card = card
        self.judged, self.accepted, self.rejected = Counter[str](), Counter[str](), Counter[str]()
        self.order, self.origin, self.label, self.lost = Names(), Names(), Names(), Names()
        self._last = -1

    def take(self, row: Mapping[str, Any], named: Paths) -> None:
        index, label, accepted = row["index"], row["label"], row["accepted"]
        if index <= self._last or row["row"] != (self.accepted.total() if accepted else None):
            self.order.add(str(index))
        self._last = index
        if (row["seed"], row["checkpoint_digest"]) != (self.card.seed, self.card.checkpoint_digest):
            self.origin.add(str(index))
        if label != self.card.classes[index % len(self.card.classes)]:
            self.label.add(str(index))
        files = [row[fmt] for fmt in SINGLE if accepted and fmt in self.card.formats]
        if None in files or named.lacks(files):
            self.lost.add(str(index))
        self.judged[label] += 1
        if accepted:
            self.accepted[label] += 1
        else:
            self.rejected[str(row["reason"])] += 1

    def findings(self) -> list[Finding]:
        card, found = self.card, []
        for what, counted, told in (
            ("accepted images", self.accepted, card.images_per_class),
            ("candidates", self.judged, card.judged),
            ("rejected candidates", self.rejected, card.rejected),
        ):
            for name in sorted({*counted, *told}):
                if counted[name] != told.get(name, 0):
                    of = f"{counted[name]} {what} of '{name}'"
                    found.append(Finding("manifest", f"{FILE} has {of}, card.json counts {told.get(name, 0)}"))
        if self.accepted.total() != card.n:
            found.append(Finding("manifest", f"{FILE} has {self.accepted.total()} images, card.json says {card.n}"))
        for names, one, more in (
            (self.order, "candidate is out of order", "candidates are out of order"),
            (
                self.origin,
                "candidate is not of the card's seed and checkpoint",
                "candidates are not of the card's seed and checkpoint",
            ),
            (self.label, "candidate has not the label of its number", "candidates have not the label of their number"),
            (self.lost, "image has no file in the sums", "images have no file in the sums"),
        ):
            found += Finding.about("manifest", names, one, more)
        return found
