"""First step: which files there are, and what a first look found in them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict

from medsyn.compute import portions
from medsyn.ingest.journal.file import BATCH
from medsyn.ingest.journal.rows import digest, path_bytes, path_name, probe_of, refusal
from medsyn.ingest.journal.run import CHOSEN, LOOKED, READ, READERS, Run
from medsyn.ingest.scan import Input
from medsyn.ingest.source import LookFor, Probe, Refused


class Looking(Run):
    """Enters the files of a run, and what is seen of them before any is read."""

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
        return dict(self._rows(query))

    def kinds(self) -> Counter[tuple[str, str]]:
        """(kind, DICOM Modality) -> readable files of this run."""
        query = "SELECT kind, modality, count(*) FROM readable GROUP BY 1, 2"
        return Counter({(kind, modality or ""): n for kind, modality, n in self._rows(query)})


def _looked_as(look: LookFor) -> str:
    return digest(READERS, look.key, look.tag, look.allow_burned_in, look.max_pixels)
