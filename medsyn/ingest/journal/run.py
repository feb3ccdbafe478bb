"""One run of an ingest in its journal: which files are its own, and what became of them."""

from __future__ import annotations

from pathlib import Path

from medsyn.ingest.journal.file import JournalFile

READERS = 3
"""Goes up when readers see something else in the same files, which then have to be read again."""
LOOKED, CHOSEN, READ, SETTLED = range(4)
"""When an input got its outcome. What it gets while it is looked at and read stays; the rest is each run's own."""


class Run(JournalFile):
    """A run that has begun: what its steps have in common.

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
