"""The journal: what was found, looked at and read, so that a killed ingest goes on and a next one only adds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby, islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from medsyn import __version__
from medsyn.data.schema import ImageRecord
from medsyn.data.settling import Dropped
from medsyn.ingest.journal_file import BATCH, JournalFile
from medsyn.ingest.journal_rows import (
    FLAGS,
    JSON,
    RECORD,
    Stored,
    digest,
    label_row,
    path_bytes,
    path_name,
    probe_of,
    refusal,
)
from medsyn.ingest.labels import LabelRow
from medsyn.ingest.ledger import Row
from medsyn.ingest.reading import FileResult, Group
from medsyn.ingest.scan import Input
from medsyn.ingest.source import LookFor, Probe, Recipe, Refused
from medsyn.ingest.subjects import Claim

T = TypeVar("T")
LOOKED, CHOSEN, READ, SETTLED = range(4)
"""When an input got its outcome. What it gets while it is looked at and read stays; the rest is each run's own."""


class Journal(JournalFile):
    """An SQLite file in the workspace's private folder; each step is one transaction, so a kill costs one step.

    Args:
        file: Made where it is not there yet, mode 0600.
        name: What datasets call it.
        adding: Whether the images of earlier runs stay in the dataset where this run does not find their files.
    """

    def __init__(self, file: Path, name: str, *, adding: bool) -> None:
        super().__init__(file)
        self.name, self._recipe = name, ""
        (self.run,) = self._db.execute("INSERT INTO runs DEFAULT VALUES RETURNING run").fetchone()
        self._mine = f"(run = {self.run}" + (" OR committed)" if adding else ")")

    # ---- looking

    def find(self, inputs: Iterable[Input], look: LookFor) -> None:
        """Enter the files of this run; one that changed since will be looked at and read anew."""
        looked_as = digest(look.tag, look.allow_burned_in, look.max_pixels)
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
                            *(path_bytes(name) for name in (i.path, i.member or "", i.root, i.relative)),
                            *(i.size, i.mtime_ns, refusal(i.refused), looked_as, self.run),
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
            yield Input(
                number,
                path_name(path),
                path_name(root),
                path_name(relative),
                refusal,
                path_name(member) or None,
                size,
                mtime,
            )

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
            yield probe_of(number, path, member, probe, *place)

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
        self._recipe = digest(__version__, *values)
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
                found = probe_of(number, path, member, probe, part, slice_index)
                if mask is not None:
                    found.mask, stamp = self._mask(mask)
                    parts.append(stamp)
                parts.append(f"{number} {size} {mtime} {part} {slice_index}")
                read_as.add(was)
                files.append(found)
            read_now = digest(*parts)
            if read_as != {read_now}:
                yield Group(files, read_now)

    def read(self, results: Sequence[FileResult]) -> None:
        """Keep the images and outcomes of some files."""
        record_columns = ", ".join(RECORD)
        marks = ", ".join("?" * (len(RECORD) + 4))
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
                    f"INSERT INTO images (number, pixels, mask, thumbnail, {record_columns}) VALUES ({marks})",
                    [
                        (
                            result.number,
                            image.pixels.tobytes(),
                            None if image.mask is None else image.mask.tobytes(),
                            image.thumbnail.tobytes(),
                            *columns(image.record),
                        )
                        for image in result.images
                    ],
                )

    def images(self) -> Iterator[Stored]:
        """All images of the dataset, by number and frame."""
        names = ", ".join(f"images.{c}" for c in RECORD)
        query = (
            "SELECT id, images.number, dataset, image, pixels, images.mask, thumbnail, kind, subject_from, warnings, "
            f"row, claim, {names} FROM images JOIN inputs USING (number) WHERE {self._mine} AND wanted "
            "ORDER BY images.number, id"
        )
        for row in self._rows(query):
            ident, number, dataset, image, pixels, mask, thumbnail, kind, subject_from, warnings, label, claim = row[
                :12
            ]
            values: dict[str, Any] = dict(zip(RECORD, row[12:], strict=True))
            pixel_digest = values.pop("pixel_digest")
            for name in JSON:
                values[name] = json.loads(values[name]) if values[name] else None
            for name in FLAGS:
                values[name] = bool(values[name])
            record = ImageRecord(source=number, **values)
            record.pixel_digest = pixel_digest
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
                label_row(label) if label else None,
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
            yield number, "/".join(filter(None, (path_name(path), path_name(member))))

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

    def _mask(self, number: int) -> tuple[Probe, str]:
        path, member, probe, size, mtime = self._db.execute(
            "SELECT path, member, probe, size, mtime_ns FROM inputs WHERE number = ?", (number,)
        ).fetchone()
        return probe_of(number, path, member, probe, None, None), f"mask {size} {mtime}"


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    source = iter(items)
    while batch := list(islice(source, BATCH)):
        yield batch
