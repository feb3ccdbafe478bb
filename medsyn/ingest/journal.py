"""The journal: what was found, looked at and read, so that a killed ingest goes on and a next one only adds."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from itertools import groupby, islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from medsyn import __version__
from medsyn.data.schema import ImageRecord
from medsyn.data.settling import Dropped
from medsyn.ingest.deidentify import Covariates
from medsyn.ingest.labels import LabelRow, Target
from medsyn.ingest.ledger import Row
from medsyn.ingest.reading import FileResult, Group
from medsyn.ingest.scan import Input
from medsyn.ingest.source import LookFor, Probe, Recipe, Refused
from medsyn.ingest.subjects import Claim

T = TypeVar("T")
BATCH = 1000
LOOKED, CHOSEN, READ, SETTLED = range(4)
"""When an input got its outcome. What it gets while it is looked at and read stays; the rest is each run's own."""

_RECORD = [f.name for f in fields(ImageRecord) if f.name != "source"]
_JSON = ("orientation", "targets")
_FLAGS = ("inverted", "synthetic", "has_mask")
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS runs (run INTEGER PRIMARY KEY, recipe TEXT, dataset TEXT);
CREATE TABLE IF NOT EXISTS inputs (
  number INTEGER PRIMARY KEY,
  path BLOB NOT NULL, member BLOB NOT NULL, root BLOB NOT NULL, relative BLOB NOT NULL,
  size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, refused TEXT,
  run INTEGER NOT NULL,                   -- the last one that found it
  committed INTEGER NOT NULL DEFAULT 0,   -- whether it is part of the newest dataset of this name
  looked_as TEXT NOT NULL,                -- digest of what the first look depends on
  probe TEXT, kind TEXT NOT NULL DEFAULT 'other', modality TEXT, series TEXT,
  wanted INTEGER NOT NULL DEFAULT 0, part INTEGER, slice_index INTEGER, mask INTEGER, row TEXT, claim TEXT,
  read_as TEXT,                           -- digest of the group of files that it was read with
  source_digest TEXT, subject_from TEXT, warnings TEXT,
  UNIQUE (path, member));
CREATE INDEX IF NOT EXISTS inputs_by_series ON inputs (series);
CREATE TABLE IF NOT EXISTS outcomes (
  number INTEGER NOT NULL, stage INTEGER NOT NULL, frame INTEGER, outcome TEXT NOT NULL, reason TEXT, detail TEXT);
CREATE INDEX IF NOT EXISTS outcomes_by_number ON outcomes (number, stage);
CREATE TABLE IF NOT EXISTS images (
  id INTEGER PRIMARY KEY, number INTEGER NOT NULL,
  dataset TEXT, image INTEGER,            -- where its pixels are, once they are not here any more
  pixels BLOB, mask BLOB, thumbnail BLOB, {", ".join(_RECORD)});
CREATE INDEX IF NOT EXISTS images_by_number ON images (number);
"""


@dataclass
class Stored:
    """One image as it was read, and what else is known of its input."""

    id: int
    record: ImageRecord
    pixels: np.ndarray | None  # None: they are image `image` of dataset `dataset`
    mask: np.ndarray | None
    thumbnail: np.ndarray
    dataset: str | None
    image: int | None
    kind: str
    subject_from: str
    warnings: list[str]
    row: LabelRow | None
    claim: Claim | None


class Journal:
    """An SQLite file in the workspace's private folder; each step is one transaction, so a kill costs one step.

    Args:
        file: Made where it is not there yet, mode 0600.
        adding: Whether the images of earlier runs stay in the dataset where this run does not find their files.
    """

    def __init__(self, file: Path, *, adding: bool) -> None:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.touch(mode=0o600)
        self._db = sqlite3.connect(file, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_SCHEMA)
        self._recipe = ""
        (self.run,) = self._db.execute("INSERT INTO runs DEFAULT VALUES RETURNING run").fetchone()
        self._mine = f"(run = {self.run}" + (" OR committed)" if adding else ")")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # ---- looking

    def find(self, inputs: Iterable[Input], look: LookFor) -> None:
        """Enter the files of this run; one that changed since will be looked at and read anew."""
        looked_as = _digest(look.tag, look.allow_burned_in, look.max_pixels)
        for batch in _batches(inputs):
            with self._transaction():
                self._db.executemany(
                    "INSERT INTO inputs (path, member, root, relative, size, mtime_ns, refused, looked_as, run) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (path, member) DO UPDATE SET "
                    "probe = CASE WHEN size = excluded.size AND mtime_ns = excluded.mtime_ns "
                    "AND looked_as = excluded.looked_as THEN probe END, looked_as = excluded.looked_as, "
                    "run = excluded.run, root = excluded.root, relative = excluded.relative, "
                    "size = excluded.size, mtime_ns = excluded.mtime_ns, refused = excluded.refused",
                    [
                        (
                            *(_bytes(name) for name in (i.path, i.member or "", i.root, i.relative)),
                            *(i.size, i.mtime_ns, _refusal(i.refused), looked_as, self.run),
                        )
                        for i in batch
                    ],
                )
        with self._transaction():
            # What the labels and the options of this run decide, it decides anew.
            for stage in (CHOSEN, SETTLED):
                self._db.execute(
                    f"DELETE FROM outcomes WHERE stage = {stage} AND number IN "
                    f"(SELECT number FROM inputs WHERE {self._mine})"
                )
            self._db.execute(
                "UPDATE inputs SET wanted = 0, row = NULL, claim = NULL, mask = NULL WHERE run = ?", (self.run,)
            )

    def inputs(self, where: str = "1") -> Iterator[Input]:
        """Files of this run, by number."""
        columns = "number, path, root, relative, refused, member, size, mtime_ns"
        query = f"SELECT {columns} FROM inputs WHERE run = {self.run} AND {where} ORDER BY number"
        for number, path, root, relative, refused, member, size, mtime in self._rows(query):
            refusal = Refused(*json.loads(refused)) if refused else None
            yield Input(number, _name(path), _name(root), _name(relative), refusal, _name(member) or None, size, mtime)

    def unknown(self) -> Iterator[Input]:
        """Files of this run that have not been looked at."""
        return self.inputs("probe IS NULL")

    def looked(self, probes: Sequence[Probe]) -> None:
        """Keep what a first look found."""
        with self._transaction():
            self._forget("outcomes", [p.number for p in probes])
            self._forget("images", [p.number for p in probes])
            for p in probes:
                facts = {k: v for k, v in asdict(p).items() if k not in ("number", "path", "member", "refused", "mask")}
                self._db.execute(
                    "UPDATE inputs SET probe = ?, kind = ?, modality = ?, series = ?, read_as = NULL WHERE number = ?",
                    (json.dumps(facts), p.kind, p.modality, p.series or None, p.number),
                )
                if p.refused:
                    self._tell(LOOKED, p.number, p.refused)

    def probes(self, where: str = "1", order: str = "number") -> Iterator[Probe]:
        """What can be read of this run's files."""
        query = (
            "SELECT number, path, member, probe, part, slice_index FROM inputs "
            f"WHERE run = {self.run} AND probe IS NOT NULL AND NOT EXISTS "
            f"(SELECT 1 FROM outcomes o WHERE o.number = inputs.number AND stage < {READ}) AND {where} ORDER BY {order}"
        )
        for number, path, member, probe, *place in self._rows(query):
            yield _probe(number, path, member, probe, *place)

    def count(self, where: str = "1") -> int:
        """Files of this run."""
        return int(self._db.execute(f"SELECT count(*) FROM inputs WHERE run = {self.run} AND {where}").fetchone()[0])

    def folders_left_out(self) -> dict[str, int]:
        """Reason -> folders of this run that were not entered."""
        query = (
            f"SELECT reason, count(*) FROM inputs JOIN outcomes USING (number) WHERE run = {self.run} "
            f"AND refused IS NOT NULL AND stage = {LOOKED} GROUP BY 1"
        )
        return dict(self._rows(query))  # type: ignore[arg-type]

    def kinds(self) -> Counter[tuple[str, str]]:
        """(kind, DICOM Modality) -> readable files of this run."""
        query = (
            f"SELECT kind, modality, count(*) FROM inputs WHERE run = {self.run} AND NOT EXISTS "
            f"(SELECT 1 FROM outcomes o WHERE o.number = inputs.number AND stage < {READ}) GROUP BY 1, 2"
        )
        return Counter({(kind, modality or ""): n for kind, modality, n in self._rows(query)})

    # ---- choosing

    def refuse(self, refused: Mapping[int, Refused]) -> None:
        """Leave files of this run out, for a reason that may not hold in the next one."""
        with self._transaction():
            for number, refusal in refused.items():
                self._tell(CHOSEN, number, refusal)

    def settle_series(self, places: Mapping[int, tuple[int, int]]) -> None:
        """Give slices the volume of their series that they belong to, and their place in it."""
        with self._transaction():
            self._db.executemany(
                "UPDATE inputs SET part = ?, slice_index = ? WHERE number = ?",
                [(*place, number) for number, place in places.items()],
            )

    def settle_masks(self, masks: Mapping[int, int]) -> None:
        """Give images the number of their segmentation."""
        with self._transaction():
            self._db.executemany("UPDATE inputs SET mask = ? WHERE number = ?", [(m, n) for n, m in masks.items()])

    def label(self, rows: Mapping[int, LabelRow], claims: Mapping[int, Claim]) -> None:
        """Give files what is said of them."""
        for column, said in (("row", rows), ("claim", claims)):
            with self._transaction():
                self._db.executemany(
                    f"UPDATE inputs SET {column} = ? WHERE number = ?",
                    ((json.dumps(asdict(what)), number) for number, what in said.items()),
                )

    # ---- reading

    def choose(self, recipe: Recipe) -> int:
        """Everything of this run that nothing refuses will be read.

        Images of earlier runs that were read by another recipe do not fit: they leave the dataset.

        Returns:
            How many files.
        """
        values = [v for k, v in asdict(recipe).items() if k != "key"]
        self._recipe = _digest(__version__, *values)
        self._shape, self._dtype = recipe.shape, np.dtype(recipe.dtype)
        with self._transaction():
            self._db.execute("UPDATE runs SET recipe = ? WHERE run = ?", (self._recipe, self.run))
            self._db.execute(
                "UPDATE inputs SET committed = 0 WHERE run IN (SELECT run FROM runs WHERE recipe IS NOT ?)",
                (self._recipe,),
            )
            return self._db.execute(
                f"UPDATE inputs SET wanted = 1 WHERE run = {self.run} AND probe IS NOT NULL AND NOT EXISTS "
                f"(SELECT 1 FROM outcomes o WHERE o.number = inputs.number AND stage < {READ})"
            ).rowcount

    def groups(self, by_series: bool) -> Iterator[Group]:
        """Wanted files that have not been read yet, a series (``by_series``) in one piece."""
        first = (
            "CASE WHEN kind = 'dicom' AND series IS NOT NULL THEN "
            "(SELECT min(number) FROM inputs s WHERE s.series = inputs.series) ELSE number END"
            if by_series
            else "number"
        )
        query = (
            f"SELECT {first} AS first, number, path, member, probe, part, slice_index, size, mtime_ns, mask, read_as "
            f"FROM inputs WHERE run = {self.run} AND wanted ORDER BY first, part, slice_index, number"
        )
        for _, members in groupby(self._rows(query), key=lambda row: row[0]):
            files, read_as, parts = [], set(), [self._recipe]
            for _, number, path, member, probe, part, slice_index, size, mtime, mask, was in members:
                found = _probe(number, path, member, probe, part, slice_index)
                if mask is not None:
                    found.mask, stamp = self._mask(mask)
                    parts.append(stamp)
                parts.append(f"{number} {size} {mtime} {part} {slice_index}")
                read_as.add(was)
                files.append(found)
            digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
            if read_as != {digest}:
                yield Group(files, digest)

    def read(self, results: Sequence[FileResult]) -> None:
        """Keep the images and outcomes of some files."""
        columns = ", ".join(_RECORD)
        marks = ", ".join("?" * (len(_RECORD) + 4))
        with self._transaction():
            self._forget("images", [r.number for r in results])
            self._forget("outcomes", [r.number for r in results], f"stage = {READ}")
            for result in results:
                facts = result.facts
                self._db.execute(
                    "UPDATE inputs SET read_as = ?, source_digest = ?, subject_from = ?, warnings = ? WHERE number = ?",
                    (
                        result.read_as,
                        facts and facts.digest,
                        facts and facts.subject_from,
                        json.dumps(list(facts.warnings) if facts else []),
                        result.number,
                    ),
                )
                self._db.executemany(
                    "INSERT INTO outcomes VALUES (?, ?, ?, ?, ?, ?)",
                    [(result.number, READ, r.frame, r.outcome, r.reason, r.detail) for r in result.rows],
                )
                self._db.executemany(
                    f"INSERT INTO images (number, pixels, mask, thumbnail, {columns}) VALUES ({marks})",
                    [
                        (
                            result.number,
                            image.pixels.tobytes(),
                            None if image.mask is None else image.mask.tobytes(),
                            image.thumbnail.tobytes(),
                            *_columns(image.record),
                        )
                        for image in result.images
                    ],
                )

    def images(self) -> Iterator[Stored]:
        """All images of the dataset, by number and frame."""
        names = ", ".join(f"images.{c}" for c in _RECORD)
        query = (
            "SELECT id, images.number, dataset, image, pixels, images.mask, thumbnail, kind, subject_from, warnings, "
            f"row, claim, {names} FROM images JOIN inputs USING (number) WHERE {self._mine} AND wanted "
            "ORDER BY images.number, id"
        )
        for row in self._rows(query):
            ident, number, dataset, image, pixels, mask, thumbnail, kind, subject_from, warnings, label, claim = row[
                :12
            ]
            values: dict[str, Any] = dict(zip(_RECORD, row[12:], strict=True))
            digest = values.pop("pixel_digest")
            for name in _JSON:
                values[name] = json.loads(values[name]) if values[name] else None
            for name in _FLAGS:
                values[name] = bool(values[name])
            record = ImageRecord(source=number, **values)
            record.pixel_digest = digest
            side = self._shape[1:]
            yield Stored(
                ident,
                record,
                None if pixels is None else np.frombuffer(pixels, self._dtype).reshape(self._shape),
                None if mask is None else np.frombuffer(mask, np.uint8).reshape(side),
                np.frombuffer(thumbnail, np.uint8),
                dataset,
                image,
                kind,
                subject_from,
                json.loads(warnings),
                _label_row(label) if label else None,
                Claim(**json.loads(claim)) if claim else None,
            )

    def failures(self) -> tuple[int, int]:
        """Files of which nothing was ingested and something failed, and all files."""
        failed, everything = (
            self._db.execute(f"SELECT count(*) FROM inputs WHERE {self._mine} {condition}").fetchone()[0]
            for condition in (
                "AND EXISTS (SELECT 1 FROM outcomes o WHERE o.number = inputs.number AND outcome = 'failed') "
                "AND NOT EXISTS (SELECT 1 FROM outcomes o WHERE o.number = inputs.number AND outcome = 'ingested')",
                "",
            )
        )
        return failed, everything

    def reconcile(self, there: Mapping[str, int | None]) -> None:
        """Compare with the datasets that there are, after a kill or a deletion.

        Args:
            there: Dataset folder -> the run of this journal that made it, None where another journal did.
        """
        marks = ", ".join("?" * len(there))
        gone = f"SELECT number FROM images WHERE dataset IS NOT NULL AND dataset NOT IN ({marks})"
        with self._transaction():
            self._db.execute(f"UPDATE inputs SET read_as = NULL, committed = 0 WHERE number IN ({gone})", list(there))
            for dataset, run in there.items():
                # Killed between the commit of the dataset and its note in here.
                noted = self._db.execute(
                    "UPDATE runs SET dataset = ? WHERE run = ? AND dataset IS NULL", (dataset, run)
                )
                if noted.rowcount:
                    self._db.execute("UPDATE inputs SET committed = 1 WHERE run = ? AND wanted", (run,))

    # ---- the end

    def settle(self, dropped: Iterable[Dropped]) -> None:
        """Note what was read and not kept."""
        with self._transaction():
            for d in dropped:
                outcome = "duplicate" if d.reason == "duplicate" else "quarantined"
                self._db.execute(
                    "INSERT INTO outcomes VALUES (?, ?, ?, ?, ?, ?)",
                    (d.source, SETTLED, d.frame, outcome, d.reason, d.detail),
                )

    def rows(self) -> Iterator[Row]:
        """The ledger: one row an input, or one an image where it holds several."""
        query = (
            "SELECT number, kind, stage, frame, outcome, reason, detail, source_digest FROM inputs "
            f"JOIN outcomes USING (number) WHERE {self._mine} ORDER BY number, stage, frame, outcomes.rowid"
        )
        for number, group in groupby(self._rows(query), key=lambda row: row[0]):
            told = list(group)
            first = told[0][2]
            if first < READ:
                _, kind, _, _, outcome, reason, detail, _ = told[0]
                yield Row(number, None, kind, outcome, reason or "", detail or "")
                continue
            dropped = {row[3]: row for row in told if row[2] == SETTLED}
            for row in (r for r in told if r[2] == READ):
                _, kind, _, frame, outcome, reason, detail, digest = dropped.get(row[3], row)
                yield Row(number, frame, kind, outcome, reason or "", detail or "", int(outcome == "ingested"), digest)

    def paths(self) -> Iterator[tuple[int, str]]:
        """Ledger number -> path, for the owner."""
        query = f"SELECT number, path, member FROM inputs WHERE {self._mine} ORDER BY number"
        for number, path, member in self._rows(query):
            yield number, "/".join(filter(None, (_name(path), _name(member))))

    def paths_of(self, numbers: Sequence[int]) -> dict[int, str]:
        """Paths of some files."""
        wanted = set(numbers)
        return {n: path for n, path in self.paths() if n in wanted}

    def commit(self, dataset: str, kept: Iterable[int]) -> None:
        """The dataset is there: its images need no copy here.

        Args:
            dataset: Name of its folder.
            kept: `Stored.id` of its images in their order.
        """
        with self._transaction():
            self._db.execute("UPDATE runs SET dataset = ? WHERE run = ?", (dataset, self.run))
            self._db.execute(f"UPDATE inputs SET committed = ({self._mine} AND wanted)")
            self._db.executemany(
                "UPDATE images SET dataset = ?, image = ?, pixels = NULL, mask = NULL WHERE id = ?",
                ((dataset, place, ident) for place, ident in enumerate(kept)),
            )
        self._db.execute("PRAGMA incremental_vacuum")

    # ---- SQLite

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _rows(self, query: str, values: Sequence[object] = ()) -> Iterator[tuple[Any, ...]]:
        cursor = self._db.execute(query, values)
        while rows := cursor.fetchmany(BATCH):
            yield from rows

    def _forget(self, table: str, numbers: Sequence[int], where: str = "1") -> None:
        self._db.executemany(f"DELETE FROM {table} WHERE number = ? AND {where}", [(n,) for n in numbers])

    def _tell(self, stage: int, number: int, refused: Refused) -> None:
        self._db.execute(
            "INSERT INTO outcomes VALUES (?, ?, NULL, ?, ?, ?)",
            (number, stage, refused.outcome, refused.reason, refused.detail),
        )

    def _mask(self, number: int) -> tuple[Probe, str]:
        path, member, probe, size, mtime = self._db.execute(
            "SELECT path, member, probe, size, mtime_ns FROM inputs WHERE number = ?", (number,)
        ).fetchone()
        return _probe(number, path, member, probe, None, None), f"mask {size} {mtime}"


def _probe(number: int, path: bytes, member: bytes, facts: str, part: int | None, slice_index: int | None) -> Probe:
    found = Probe(number, _name(path), _name(member) or None, **json.loads(facts))
    found.orientation, found.slice_index = tuple(found.orientation), slice_index
    found.part = part or 0
    return found


def _label_row(text: str) -> LabelRow:
    values = json.loads(text)
    targets = {name: Target(*target) for name, target in values["targets"].items()}
    return LabelRow(**{**values, "covariates": Covariates(**values["covariates"]), "targets": targets})


def _columns(record: ImageRecord) -> list[Any]:
    values = {name: getattr(record, name) for name in _RECORD}
    for name in _JSON:
        values[name] = None if values[name] is None else json.dumps(values[name])
    return list(values.values())


def _bytes(name: str) -> bytes:
    """A path as bytes: names that are not UTF-8 exist."""
    return name.encode("utf-8", "surrogateescape")


def _name(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _refusal(refused: Refused | None) -> str | None:
    return refused and json.dumps([refused.reason, refused.detail, refused.outcome])


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    source = iter(items)
    while batch := list(islice(source, BATCH)):
        yield batch
