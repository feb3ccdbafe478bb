"""Last step: what is kept, the ledger, and the dataset that is there now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from medsyn.data.settling import Dropped
from medsyn.ingest.journal.rows import path_name
from medsyn.ingest.journal.run import READ, SETTLED, Run
from medsyn.ingest.ledger import Row


class Settling(Run):
    """Tells what became of every file, and forgets the pixels that a dataset holds."""

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
