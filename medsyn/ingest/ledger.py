"""The ledger: one row an input, or one an image where an input holds several, so that nothing is lost silently."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from medsyn.compute import portions
from medsyn.workspace import atomic_file

OUTCOMES = ("ingested", "duplicate", "quarantined", "skipped", "failed")
BATCH = 4096
EXAMPLES = 10

SCHEMA = pa.schema(
    [
        pa.field("input", pa.int64(), nullable=False),  # number of the file, or of the member of an archive, from 1
        pa.field("frame", pa.int32()),  # number of the image in a file that holds several, from 0; null: the whole file
        pa.field("kind", pa.string(), nullable=False),  # dicom, nifti, raster, npz, other
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("detail", pa.string()),
        pa.field("images", pa.int64(), nullable=False),  # images of this row in the dataset: 0 or 1
        pa.field("source_digest", pa.string()),  # SHA-256, null where the file was not read whole
    ]
)


class Row(NamedTuple):
    """One input, or one image of it."""

    input: int
    frame: int | None
    kind: str
    outcome: str
    reason: str = ""
    detail: str = ""
    images: int = 0
    source_digest: str | None = None


@dataclass
class Summary:
    """What became of all inputs.

    Attributes:
        files: Inputs.
        failed_files: Those of which nothing was ingested, and something failed.
        outcomes: Outcome -> rows; adds up to all rows.
        reasons: Reason -> rows, most frequent first.
        examples: The first failures.
    """

    files: int = 0
    failed_files: int = 0
    outcomes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    reasons: Counter[str] = field(default_factory=Counter)
    examples: list[Row] = field(default_factory=list)

    _last: int | None = None
    _of_last: set[str] = field(default_factory=set)

    def add(self, row: Row) -> None:
        """Count a row; the rows of one input come one after another."""
        if row.input != self._last:
            self.files += 1
            self._last, self._of_last = row.input, set()
        before = _failed(self._of_last)
        self._of_last.add(row.outcome)
        self.failed_files += _failed(self._of_last) - before
        self.outcomes[row.outcome] += 1
        if row.reason:
            self.reasons[row.reason] += 1
        if row.outcome == "failed" and len(self.examples) < EXAMPLES:
            self.examples.append(row)

    def to_dict(self) -> dict[str, Any]:
        """Counts alone, fit for MLflow."""
        reasons = dict(sorted(self.reasons.items(), key=lambda item: (-item[1], item[0])))
        return {
            "files": self.files,
            "failed_files": self.failed_files,
            "rows": sum(self.outcomes.values()),
            "outcomes": self.outcomes,
            "reasons": reasons,
        }


def summarise(rows: Iterable[Row]) -> Summary:
    """Count rows, by input, without writing them."""
    summary = Summary()
    for row in rows:
        summary.add(row)
    return summary


def write(rows: Iterable[Row], folder: Path) -> Summary:
    """Write ``ledger.parquet`` and ``ledger.csv``.

    Args:
        rows: By input.
        folder: Where to.
    """
    summary = Summary()
    with (
        pq.ParquetWriter(folder / "ledger.parquet", SCHEMA) as parquet,
        open(folder / "ledger.csv", "w", newline="", encoding="utf-8") as file,
    ):
        table = csv.writer(file, lineterminator="\n")
        table.writerow(SCHEMA.names)
        for batch in portions(rows, BATCH):
            for row in batch:
                summary.add(row)
            columns = ([None if v == "" else v for v in column] for column in zip(*batch, strict=True))
            parquet.write_table(pa.Table.from_arrays(list(map(pa.array, columns, SCHEMA.types)), schema=SCHEMA))
            table.writerows(batch)
    return summary


def _failed(outcomes: set[str]) -> bool:
    return "failed" in outcomes and "ingested" not in outcomes


def write_paths(file: Path, paths: Iterable[tuple[int, str]]) -> None:
    """Write input number -> path, readable by the owner alone; only below `Workspace.private`."""
    with atomic_file(file, mode=0o600) as partial, open(partial, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("input", "path"))
        # Names that are not UTF-8 are written with escapes rather than lost.
        writer.writerows((n, os.fsencode(path).decode("utf-8", "backslashreplace")) for n, path in paths)
