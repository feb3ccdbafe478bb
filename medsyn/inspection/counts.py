"""How many: images and subjects by class and split, images per subject, splits, leaks, inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from medsyn.data.schema import SPLITS
from medsyn.errors import DataError
from medsyn.inspection.columns import Coded, Columns
from medsyn.inspection.results import (
    UNLABELLED,
    Bin,
    ClassCount,
    InputCount,
    Large,
    Leak,
    PerSubject,
    Splits,
    TargetCount,
)

LARGEST = 5
KEY_DIGITS = 8
_BINS = ((1, 1), (2, 2), (3, 5), (6, 10), (11, 50), (51, 500), (501, None))


def classes(columns: Columns, labels: np.ndarray, names: Sequence[str]) -> list[ClassCount]:
    """Images and units per class and split; a unit with images of two classes counts in both."""
    split, unit = _splits(columns), columns.unit.codes
    rows = []
    for i, name in [*enumerate(names), (-1, UNLABELLED)]:
        here = labels == i
        if i < 0 and not here.any():
            continue
        images: dict[str, int] = {s: int((here & (split == k)).sum()) for k, s in enumerate(SPLITS)}
        units: dict[str, int] = {s: len(np.unique(unit[here & (split == k)])) for k, s in enumerate(SPLITS)}
        rows.append(ClassCount(name, images, units))
    return rows


def targets(columns: Columns) -> list[TargetCount]:
    """Values of every task but the class."""
    return [TargetCount(*row) for row in columns.targets()]


def per_subject(columns: Columns, labels: np.ndarray, names: Sequence[str]) -> PerSubject:
    """The distribution of images over subjects, and the subjects with the most."""
    subject, split = columns.subject, _splits(columns)
    images = np.bincount(subject.codes, minlength=len(subject.values))
    some = images[images > 0]
    bins = [
        Bin(_bin(low, high), int(((some >= low) & (some <= (high or some.max()))).sum()))
        for low, high in _BINS
        if (some >= low).any()
    ]
    largest = []
    for code in np.argsort(-images, kind="stable")[:LARGEST]:
        here = subject.codes == code
        held = [names[i] for i in np.unique(labels[here]) if i >= 0] + [UNLABELLED] * bool((labels[here] < 0).any())
        where = ", ".join(s for k, s in enumerate(SPLITS) if (split[here] == k).any())
        key = subject.values[code][:KEY_DIGITS]
        largest.append(Large(key, int(images[code]), float(images[code] / len(labels)), where, held))
    quartiles = [float(q) for q in np.percentile(some, [0, 25, 50, 75, 100])] if len(some) else []
    return PerSubject(quartiles, bins, largest)


def _bin(low: int, high: int | None) -> str:
    if high is None:
        return f"more than {low - 1}"
    return str(low) if low == high else f"{low} to {high}"


def splits(columns: Columns) -> Splits:
    """Where the splits came from, and which subjects were joined into one unit."""
    unit, subject = columns.unit, columns.subject
    pairs = np.unique(unit.codes.astype(np.int64) * len(subject.values) + subject.codes)
    subjects = np.bincount(pairs // max(1, len(subject.values)), minlength=len(unit.values))
    origin = columns.text("origin", "splits") or Coded(np.zeros(0, np.int32), [])
    counted = {name: len(np.unique(unit.codes[origin.codes == code])) for code, name in enumerate(origin.values)}
    joined = subjects > 1
    units = int((subjects > 0).sum())
    return Splits(dict(sorted(counted.items())), units, int(joined.sum()), int(subjects[joined].sum()))


def leaks(columns: Columns) -> list[Leak]:
    """Every kind of key that ties images together, looked for in more than one split."""
    return [
        Leak(what, len(np.unique(keys[known])), _crossing(keys[known], split[known]))
        for what, keys, known, split in _keys(columns)
        if known.any()
    ]


def _keys(columns: Columns) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    split = _splits(columns)
    if not len(split):
        return
    keys = [columns.hashed(name, "splits") for name in ("subject", "also_subject")]
    subjects = np.concatenate([k for k in keys if k is not None])
    yield "subjects", subjects, subjects > 0, np.tile(split, len(subjects) // len(split))
    yield "split units", columns.unit.codes, columns.unit.codes >= 0, split
    for what, name in (("studies", "study"), ("series", "series"), ("volumes", "volume")):
        found = columns.text(name)
        if found is not None:
            yield what, found.codes, found.codes >= 0, split
    pixels = columns.hashed("pixel_digest")
    if pixels is not None:
        yield "pixel digests", pixels, pixels > 0, split


def _crossing(keys: np.ndarray, split: np.ndarray) -> int:
    """Keys that occur in more than one split."""
    order = np.lexsort((split, keys))
    keys, split = keys[order], split[order]
    changes = np.flatnonzero((keys[1:] == keys[:-1]) & (split[1:] != split[:-1]))
    return len(np.unique(keys[changes]))


def _splits(columns: Columns) -> np.ndarray:
    """Place of each image's split in `SPLITS`, -1 for another name."""
    of_code = [SPLITS.index(v) if v in SPLITS else -1 for v in columns.split.values]
    return np.array([*of_code, -1], np.int32)[columns.split.codes]


def inputs(folder: Path) -> tuple[int, list[InputCount]]:
    """Number of inputs, and outcomes and reasons of the ledger, the most frequent first; nothing without a ledger."""
    file = folder / "ledger.parquet"
    if not file.is_file():
        return 0, []
    try:
        table = pq.read_table(file, columns=["input", "outcome", "reason", "images"])
    except (OSError, pa.ArrowException):
        raise DataError("cannot be read", where=file, mend="Ingest the scans again.") from None
    wanted = [([], "count_all"), ("input", "count_distinct"), ("images", "sum")]
    counted = table.group_by(["outcome", "reason"]).aggregate(wanted).to_pylist()
    rows = []
    for r in counted:
        images = int(r["images_sum"] or 0)
        rows.append(InputCount(r["outcome"], r["reason"] or "", r["count_all"], r["input_count_distinct"], images))
    total = pc.count_distinct(table["input"]).as_py()
    return total, sorted(rows, key=lambda r: (-r.rows, r.outcome, r.reason))
