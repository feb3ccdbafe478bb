"""The journal: what was found, looked at and read, so that a killed ingest goes on and a next one only adds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

import numpy as np

from medsyn.compute import portions
from medsyn.data.settling import Dropped
from medsyn.data.thumbnail import SIDE
from medsyn.errors import DataError
from medsyn.ingest.block import unpack
from medsyn.ingest.journal_file import BATCH, JournalFile
from medsyn.ingest.journal_rows import (
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

READERS = 3
"""Goes up when readers see something else in the same files, which then have to be read again."""
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
        self.name, self.adding = name, adding
        self._recipe, self._base = "", 0
        self.notes: list[str] = []  # what the user has to know of earlier runs
        (self.run,) = self._db.execute("INSERT INTO runs DEFAULT VALUES RETURNING run").fetchone()
        self._db.execute(
            f"CREATE TEMP VIEW here AS SELECT * FROM decided JOIN inputs USING (number) WHERE run = {self.run}"
        )
        self._db.execute(f"CREATE TEMP VIEW told AS SELECT rowid, * FROM outcomes WHERE run IN (0, {self.run})")
        self._db.execute(
            "CREATE TEMP VIEW readable AS SELECT * FROM here WHERE NOT carried AND probe IS NOT NULL AND NOT EXISTS "
            f"(SELECT 1 FROM told WHERE told.number = here.number AND stage < {READ})"
        )

    # ---- looking

    def reconcile(self, there: Mapping[str, int | None]) -> int:
        """Compare with the datasets that there are, after a kill, a failure or a deletion.

        Args:
            there: Dataset folder -> the run of this journal that made it, None where another journal did.

        Returns:
            How many files were part of a dataset that is not there any more: they will be read again.
        """
        marks = ", ".join("?" * len(there))
        gone = f"SELECT number FROM kept JOIN blocks ON id = block WHERE dataset NOT IN ({marks})"
        with self._transaction():
            for dataset, run in there.items():  # killed between the commit of the dataset and its note in here
                self._db.execute("UPDATE runs SET dataset = ? WHERE run = ? AND dataset IS NULL", (dataset, run))
            kept = f"SELECT run FROM runs WHERE dataset IN ({marks}) OR run = {self.run}"
            for table in ("decided", "outcomes"):
                self._db.execute(f"DELETE FROM {table} WHERE run > 0 AND run NOT IN ({kept})", list(there))
            (base,) = self._db.execute(f"SELECT max(run) FROM runs WHERE dataset IN ({marks})", list(there)).fetchone()
            self._base = base or 0
            self._db.execute(f"UPDATE inputs SET read_as = NULL WHERE number IN ({gone})", list(there))
            return self._db.execute(f"DELETE FROM decided WHERE number IN ({gone})", list(there)).rowcount

    def find(self, inputs: Iterable[Input], look: LookFor) -> None:
        """Enter the files of this run; one that changed since, or failed, will be looked at and read anew."""
        looked_as = _looked_as(look)
        for batch in portions(inputs, BATCH):
            names = [(path_bytes(i.path), path_bytes(i.member or "")) for i in batch]
            with self._transaction():
                self._db.executemany(
                    "INSERT INTO inputs (path, member, root, relative, size, mtime_ns, refused, looked_as) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (path, member) DO UPDATE SET "
                    "probe = CASE WHEN size = excluded.size AND mtime_ns = excluded.mtime_ns "
                    "AND looked_as = excluded.looked_as AND refused IS excluded.refused THEN probe END, "
                    "looked_as = excluded.looked_as, root = excluded.root, relative = excluded.relative, "
                    "size = excluded.size, mtime_ns = excluded.mtime_ns, refused = excluded.refused",
                    [
                        (
                            *name,
                            *(path_bytes(i.root), path_bytes(i.relative)),
                            *(i.size, i.mtime_ns, refusal(i.refused), looked_as),
                        )
                        for name, i in zip(names, batch, strict=True)
                    ],
                )
                self._db.executemany(
                    f"INSERT OR IGNORE INTO decided (run, number) SELECT {self.run}, number FROM inputs "
                    "WHERE path = ? AND member = ?",
                    names,
                )
        with self._transaction():
            for column, stage in (("probe", LOOKED), ("read_as", READ)):
                self._db.execute(
                    f"UPDATE inputs SET {column} = NULL WHERE number IN (SELECT number FROM here JOIN told "
                    f"USING (number) WHERE stage = {stage} AND outcome = 'failed')"
                )
            if self.adding:
                self._carry()

    def recorded(self, root: str, look: LookFor) -> dict[str, Input]:
        """Files of earlier runs that this first look would find the same in: path -> as they were found.

        Args:
            root: The folder that they were found below.
            look: The first look.
        """
        query = (
            "SELECT path, root, relative, refused, size, mtime_ns FROM inputs WHERE root = ? AND member = X'' "
            "AND probe IS NOT NULL AND looked_as = ? AND number NOT IN (SELECT number FROM outcomes "
            f"WHERE run = 0 AND stage IN ({LOOKED}, {READ}) AND outcome = 'failed')"
        )
        found = {}
        for path, root_, relative, refused, size, mtime in self._rows(query, (path_bytes(root), _looked_as(look))):
            why = Refused(*json.loads(refused)) if refused else None
            found[path_name(path)] = Input(
                0, path_name(path), path_name(root_), path_name(relative), why, None, size, mtime
            )
        return found

    def _carry(self) -> None:
        """Take over what the newest dataset holds and this run did not find."""
        taken = ("number", "wanted", "part", "slice_index", "mask", "row", "claim", "label_map")
        self._db.execute(
            f"INSERT OR IGNORE INTO decided (run, carried, {', '.join(taken)}) "
            f"SELECT {self.run}, 1, {', '.join(taken)} FROM decided WHERE run = {self._base}"
        )
        self._db.execute(
            f"INSERT INTO outcomes SELECT number, stage, frame, outcome, reason, detail, {self.run} FROM outcomes "
            f"WHERE run = {self._base} AND stage = {CHOSEN} AND number IN (SELECT number FROM here WHERE carried)"
        )

    def inputs(self, where: str = "1") -> Iterator[Input]:
        """Files of this run, by number."""
        query = (
            "SELECT number, path, root, relative, refused, member, size, mtime_ns FROM here "
            f"WHERE NOT carried AND {where} ORDER BY number"
        )
        for number, path, root, relative, refused, member, size, mtime in self._rows(query):
            yield Input(
                number,
                path_name(path),
                path_name(root),
                path_name(relative),
                Refused(*json.loads(refused)) if refused else None,
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
            self._forget("blocks", [p.number for p in probes])
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
        query = f"SELECT number, path, member, probe, part, slice_index FROM readable WHERE {where} ORDER BY {order}"
        for number, path, member, probe, *place in self._rows(query):
            yield probe_of(number, path, member, probe, *place)

    def count(self, where: str = "1") -> int:
        """Files of this run."""
        return int(self._db.execute(f"SELECT count(*) FROM here WHERE NOT carried AND {where}").fetchone()[0])

    def folders_left_out(self) -> dict[str, int]:
        """Reason -> folders of this run that were not entered."""
        query = (
            f"SELECT reason, count(*) FROM here JOIN told USING (number) WHERE NOT carried "
            f"AND refused IS NOT NULL AND stage = {LOOKED} GROUP BY 1"
        )
        return dict(self._rows(query))  # type: ignore[arg-type]

    def kinds(self) -> Counter[tuple[str, str]]:
        """(kind, DICOM Modality) -> readable files of this run."""
        query = "SELECT kind, modality, count(*) FROM readable GROUP BY 1, 2"
        return Counter({(kind, modality or ""): n for kind, modality, n in self._rows(query)})

    # ---- choosing

    def refuse(self, refused: Mapping[int, Refused]) -> None:
        """Leave files of this run out, for a reason that may not hold in the next one."""
        with self._transaction():
            for number, why in refused.items():
                self._tell(CHOSEN, number, why, self.run)

    def settle_series(self, places: Mapping[int, tuple[int, int]]) -> None:
        """Give slices the volume of their series that they belong to, and their place in it."""
        with self._transaction():
            self._db.executemany(
                f"UPDATE decided SET part = ?, slice_index = ? WHERE run = {self.run} AND number = ?",
                [(*place, number) for number, place in places.items()],
            )

    def settle_masks(self, masks: Mapping[int, int]) -> None:
        """Give images the number of their segmentation."""
        with self._transaction():
            self._db.executemany(
                f"UPDATE decided SET mask = ? WHERE run = {self.run} AND number = ?", [(m, n) for n, m in masks.items()]
            )

    def label(self, rows: Mapping[int, LabelRow]) -> None:
        """Give files what the labels say of them."""
        self._say("row", rows)

    def claim(self, claims: Mapping[int, Claim]) -> None:
        """Give files the patients that somebody else than their header names."""
        self._say("claim", claims)

    def _say(self, column: str, said: Mapping[int, LabelRow] | Mapping[int, Claim]) -> None:
        with self._transaction():
            self._db.executemany(
                f"UPDATE decided SET {column} = ? WHERE run = {self.run} AND number = ?",
                ((json.dumps(asdict(what)), number) for number, what in said.items()),
            )

    def keep_labels(self) -> set[int]:
        """Files that nothing names in this run keep what an earlier one of this name said of them; which these are."""
        if not self.adding:
            return set()
        query = (
            "UPDATE decided SET (row, claim) = (SELECT row, claim FROM decided b "
            f"WHERE b.run = {self._base} AND b.number = decided.number) WHERE run = {self.run} AND row IS NULL "
            "AND number IN (SELECT number FROM readable) "
            f"AND number IN (SELECT number FROM decided WHERE run = {self._base} AND row IS NOT NULL) RETURNING number"
        )
        with self._transaction():
            return {number for (number,) in self._rows(query)}

    def extended_series(self) -> int:
        """Series of which some files are carried and others are new: their slices are not settled together."""
        query = (
            "SELECT count(*) FROM (SELECT series FROM here WHERE series IS NOT NULL AND wanted GROUP BY series "
            "HAVING min(carried) < max(carried))"
        )
        return int(self._db.execute(query).fetchone()[0])

    # ---- reading

    def choose(self, recipe: Recipe, label_map: Mapping[str, str]) -> int:
        """Everything of this run that nothing refuses will be read.

        Args:
            recipe: How.
            label_map: Other names for the labels that files bring along.

        Returns:
            How many files.

        Raises:
            DataError: The dataset that is added to was read by other settings.
        """
        key = digest(recipe.key)
        pixels = {k: v for k, v in asdict(recipe).items() if k not in ("key", "mask_label", "target", "max_pixels")}
        self._recipe = digest(READERS, key, pixels)
        self._said = {"npz": recipe.target or "", "nifti": recipe.mask_label or "", "raster": recipe.mask_label or ""}
        self._shape, self._dtype = recipe.shape, np.dtype(recipe.dtype)
        (carried,) = self._db.execute("SELECT count(*) FROM here WHERE carried AND wanted").fetchone()
        was = self._db.execute("SELECT recipe FROM runs WHERE run = ?", (self._base,)).fetchone()
        if carried and was is not None and was[0] != self._recipe:
            raise DataError(
                f"'{self.name}' holds {carried} files that were read with other settings (size, window, slices, "
                "colour, preset, or another project key)",
                where="--name",
                mend="Say the same settings, name those files again, too, or use another --name.",
            )
        with self._transaction():
            self._db.execute("UPDATE runs SET recipe = ? WHERE run = ?", (self._recipe, self.run))
            return self._db.execute(
                f"UPDATE decided SET wanted = 1, label_map = ? WHERE run = {self.run} "
                "AND number IN (SELECT number FROM readable)",
                (json.dumps(dict(label_map)),),
            ).rowcount

    def groups(self, by_series: bool) -> Iterator[Group]:
        """Wanted files that have not been read yet, a series (``by_series``) in one piece."""
        first = (
            "CASE WHEN kind = 'dicom' AND series IS NOT NULL THEN "
            "(SELECT min(number) FROM inputs s WHERE s.series = here.series) ELSE number END"
            if by_series
            else "number"
        )
        query = (
            f"SELECT {first} AS first, kind, number, path, member, probe, part, slice_index, size, mtime_ns, mask, "
            "read_as FROM here WHERE NOT carried AND wanted ORDER BY first, part, slice_index, number"
        )
        for _, members in groupby(self._rows(query), key=lambda row: row[0]):
            files, read_as, parts = [], set(), [self._recipe]
            for _, kind, number, path, member, probe, part, slice_index, size, mtime, mask, was in members:
                found = probe_of(number, path, member, probe, part, slice_index)
                if mask is not None:
                    found.mask, stamp = self._mask(mask)
                    parts.append(stamp)
                parts.append(f"{number} {size} {mtime} {part} {slice_index} {self._said.get(kind)}")
                read_as.add(was)
                files.append(found)
            read_now = digest(*parts)
            if read_as != {read_now}:
                yield Group(files, read_now)

    def read(self, results: Sequence[FileResult]) -> None:
        """Keep the images and outcomes of some files."""
        with self._transaction():
            self._forget("blocks", [r.number for r in results])
            self._forget("outcomes", [r.number for r in results], f"stage = {READ}")
            self._db.executemany(
                "UPDATE inputs SET read_as = ?, source_digest = ?, subject_from = ?, warnings = ? WHERE number = ?",
                [
                    (
                        *(r.read_as, r.facts and r.facts.digest, r.facts and r.facts.subject_from),
                        *(json.dumps(list(r.facts.warnings) if r.facts else []), r.number),
                    )
                    for r in results
                ],
            )
            self._db.executemany(
                "INSERT INTO outcomes VALUES (?, ?, ?, ?, ?, ?, 0)",
                ((r.number, READ, *row) for r in results for row in r.rows),
            )
            self._db.executemany(
                "INSERT INTO blocks (number, images, columns, pixels, masks, thumbnails) VALUES (?, ?, ?, ?, ?, ?)",
                (
                    (r.number, block.images, block.columns, block.pixels, block.masks, block.thumbnails)
                    for r in results
                    for block in r.blocks
                ),
            )

    def stored(self) -> Iterator[Stored]:
        """All images of the dataset, by number and frame."""
        query = (
            "SELECT id, images, columns, pixels, masks, thumbnails, kind, subject_from, warnings, row, claim, "
            "label_map FROM blocks JOIN here USING (number) WHERE wanted ORDER BY blocks.number, id"
        )
        in_datasets = "SELECT dataset, image FROM kept WHERE block = ? ORDER BY place"
        side = self._shape[1:]
        for row in self._db.execute(query):  # one by one: a row may be large
            ident, n, columns, pixels, masks, thumbnails, kind, subject_from, warnings, *said = row
            label, claim, label_map = said
            yield Stored(
                ident,
                unpack(columns, n),
                None if pixels is None else np.frombuffer(pixels, self._dtype).reshape(n, *self._shape),
                None if masks is None else np.frombuffer(masks, np.uint8).reshape(n, *side),
                np.frombuffer(thumbnails, np.uint8).reshape(n, SIDE, SIDE),
                [] if pixels else list(self._rows(in_datasets, (ident,))),
                kind,
                subject_from,
                json.loads(warnings),
                label_row(label) if label else None,
                Claim(**json.loads(claim)) if claim else None,
                json.loads(label_map) if label_map else {},
            )

    # ---- the end

    def settle(self, dropped: Iterable[Dropped]) -> None:
        """Note what was read and not kept."""
        with self._transaction():
            for d in dropped:
                outcome = "duplicate" if d.reason == "duplicate" else "quarantined"
                self._db.execute(
                    "INSERT INTO outcomes VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (d.source, SETTLED, d.frame, outcome, d.reason, d.detail, self.run),
                )

    def rows(self) -> Iterator[Row]:
        """The ledger: one row an input, or one an image where it holds several."""
        query = (
            "SELECT number, kind, stage, frame, outcome, reason, detail, source_digest FROM here "
            "JOIN told USING (number) ORDER BY number, stage, frame, told.rowid"
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
                _, kind, _, frame, outcome, reason, detail, source = dropped.get(row[3], row)
                yield Row(number, frame, kind, outcome, reason or "", detail or "", int(outcome == "ingested"), source)

    def paths(self) -> Iterator[tuple[int, str]]:
        """Ledger number -> path, for the owner."""
        query = "SELECT number, path, member FROM here ORDER BY number"
        for number, path, member in self._rows(query):
            yield number, "/".join(filter(None, (path_name(path), path_name(member))))

    def paths_of(self, numbers: Sequence[int]) -> dict[int, str]:
        """Paths of some files."""
        wanted = set(numbers)
        return {n: path for n, path in self.paths() if n in wanted}

    def commit(self, dataset: str, kept: Iterable[tuple[int, int]]) -> None:
        """The dataset is there: its images need no copy here.

        Args:
            dataset: Name of its folder.
            kept: Block of each of its images, and place therein, in their order.
        """
        with self._transaction():
            self._db.execute("UPDATE runs SET dataset = ? WHERE run = ?", (dataset, self.run))
            for table in ("decided", "outcomes"):
                self._db.execute(f"DELETE FROM {table} WHERE run > 0 AND run <> {self.run}")
            self._db.executemany(
                "INSERT OR REPLACE INTO kept VALUES (?, ?, ?, ?)",
                ((block, place, dataset, image) for image, (block, place) in enumerate(kept)),
            )
            self._db.execute(
                "UPDATE blocks SET pixels = NULL, masks = NULL WHERE pixels IS NOT NULL "
                "AND images = (SELECT count(*) FROM kept WHERE block = id)"
            )
        self._db.execute("PRAGMA incremental_vacuum").fetchall()

    def _mask(self, number: int) -> tuple[Probe, str]:
        path, member, probe, size, mtime = self._db.execute(
            "SELECT path, member, probe, size, mtime_ns FROM inputs WHERE number = ?", (number,)
        ).fetchone()
        return probe_of(number, path, member, probe, None, None), f"mask {size} {mtime}"


def _looked_as(look: LookFor) -> str:
    return digest(READERS, look.key, look.tag, look.allow_burned_in, look.max_pixels)
