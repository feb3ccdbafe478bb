"""The ledger: one row an input, so that nothing is lost silently."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from medsyn.data.writer import Dropped
from medsyn.workspace import atomic_file

OUTCOMES = ("ingested", "duplicate", "quarantined", "skipped", "failed")

SCHEMA = pa.schema(
    [
        pa.field("input", pa.int64(), nullable=False),  # place among the sorted paths, from 1
        pa.field("kind", pa.string(), nullable=False),  # dicom, nifti, raster, npz, other
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("detail", pa.string()),
        pa.field("images", pa.int64(), nullable=False),  # images of this input in the dataset
        pa.field("source_digest", pa.string()),  # SHA-256, null where the file was not read whole
    ]
)


@dataclass
class Row:
    """One input."""

    input: int
    kind: str
    outcome: str
    reason: str = ""
    detail: str = ""
    images: int = 0
    source_digest: str | None = None


class Ledger:
    """Rows by input number."""

    def __init__(self) -> None:
        self.rows: dict[int, Row] = {}

    def add(self, row: Row) -> None:
        """Enter an input.

        Raises:
            ValueError: It has a row already.
        """
        if row.input in self.rows:
            raise ValueError(f"input {row.input} has two rows")
        self.rows[row.input] = row

    def correct(self, dropped: Iterable[Dropped]) -> None:
        """Take back images that were read but not kept."""
        by_source: dict[int, list[Dropped]] = {}
        for drop in dropped:
            by_source.setdefault(drop.source, []).append(drop)
        for source, drops in by_source.items():
            row = self.rows[source]
            row.images -= len(drops)
            counts = Counter(d.reason for d in drops)
            if row.images:
                told = "; ".join(f"{n} images dropped: {reason}" for reason, n in sorted(counts.items()))
                row.detail = "; ".join(filter(None, [row.detail, told]))
            else:
                row.reason = max(sorted(counts), key=lambda reason: counts[reason])
                row.outcome = "duplicate" if row.reason == "duplicate" else "quarantined"
                row.detail = next(d.detail for d in drops if d.reason == row.reason)

    def outcomes(self) -> dict[str, int]:
        """Inputs by outcome; they add up to all inputs."""
        counts = Counter(row.outcome for row in self.rows.values())
        return {outcome: counts[outcome] for outcome in OUTCOMES}

    def reasons(self) -> dict[str, int]:
        """Inputs by reason, most frequent first."""
        counts = Counter(row.reason for row in self.rows.values() if row.reason)
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    def summary(self) -> dict[str, Any]:
        """Counts alone, fit for MLflow."""
        return {
            "inputs": len(self.rows),
            "outcomes": self.outcomes(),
            "reasons": self.reasons(),
            "images": sum(row.images for row in self.rows.values()),
        }

    def write(self, folder: Path) -> None:
        """Write ``ledger.parquet`` and ``ledger.csv``."""
        rows = [asdict(self.rows[number]) for number in sorted(self.rows)]
        for row in rows:
            row["reason"], row["detail"] = row["reason"] or None, row["detail"] or None
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), folder / "ledger.parquet")
        with open(folder / "ledger.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, SCHEMA.names, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def write_paths(file: Path, paths: Iterable[tuple[int, str]]) -> None:
    """Write input number -> path, readable by the owner alone; only below `Workspace.private`."""
    with atomic_file(file, mode=0o600) as partial, open(partial, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("input", "path"))
        # Names that are not UTF-8 are written with escapes rather than lost.
        writer.writerows((n, os.fsencode(path).decode("utf-8", "backslashreplace")) for n, path in paths)
