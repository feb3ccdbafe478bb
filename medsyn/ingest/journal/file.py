"""The SQLite file behind the journal."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from medsyn.ingest.source import Refused
from medsyn.workspace import private_folder

BATCH = 1000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (run INTEGER PRIMARY KEY, recipe TEXT, dataset TEXT);
CREATE TABLE IF NOT EXISTS inputs (
  number INTEGER PRIMARY KEY,
  path BLOB NOT NULL, member BLOB NOT NULL, root BLOB NOT NULL, relative BLOB NOT NULL,
  size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, refused TEXT,
  looked_as TEXT NOT NULL,                -- digest of what the first look depends on
  probe TEXT, kind TEXT NOT NULL DEFAULT 'other', modality TEXT, series TEXT,
  read_as TEXT,                           -- digest of the group of files that it was read with
  source_digest TEXT, subject_from TEXT, warnings TEXT,
  UNIQUE (path, member));
CREATE INDEX IF NOT EXISTS inputs_by_series ON inputs (series);
CREATE TABLE IF NOT EXISTS decided (      -- what each run makes of its inputs
  run INTEGER NOT NULL, number INTEGER NOT NULL,
  carried INTEGER NOT NULL DEFAULT 0,     -- 1: of an earlier run, not found in this one
  wanted INTEGER NOT NULL DEFAULT 0, part INTEGER, slice_index INTEGER, mask INTEGER,
  row TEXT, claim TEXT, label_map TEXT,
  PRIMARY KEY (run, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outcomes (
  number INTEGER NOT NULL, stage INTEGER NOT NULL, frame INTEGER, outcome TEXT NOT NULL, reason TEXT, detail TEXT,
  run INTEGER NOT NULL DEFAULT 0);        -- 0: holds for every run
CREATE INDEX IF NOT EXISTS outcomes_by_number ON outcomes (number, stage);
CREATE TABLE IF NOT EXISTS blocks (       -- images of one file, in their order
  id INTEGER PRIMARY KEY, number INTEGER NOT NULL, images INTEGER NOT NULL,
  columns TEXT NOT NULL, thumbnails BLOB NOT NULL, masks BLOB,
  pixels BLOB);                           -- gone, with the masks, once all of them are in a dataset
CREATE INDEX IF NOT EXISTS blocks_by_number ON blocks (number);
CREATE TABLE IF NOT EXISTS kept (         -- where the images of a block are, beside here
  block INTEGER NOT NULL, place INTEGER NOT NULL, dataset TEXT NOT NULL, image INTEGER NOT NULL,
  PRIMARY KEY (block, place)) WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS forget_kept AFTER DELETE ON blocks BEGIN
  DELETE FROM kept WHERE block = OLD.id; END;
"""


class JournalFile:
    """A connection in which every step is one transaction.

    Args:
        file: Made where it is not there yet, mode 0600.
    """

    def __init__(self, file: Path) -> None:
        private_folder(file.parent)
        file.touch(mode=0o600)
        self._db = sqlite3.connect(file, isolation_level=None)
        self._db.execute("PRAGMA page_size=32768")  # pixels by the page: fewer of them to link, to free and to move
        self._db.execute("PRAGMA auto_vacuum=INCREMENTAL")
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            with suppress(sqlite3.Error):  # the file is closed, or SQLite has rolled back by itself
                self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _rows(self, query: str, values: Sequence[object] = ()) -> Iterator[tuple[Any, ...]]:
        cursor = self._db.execute(query, values)
        while rows := cursor.fetchmany(BATCH):
            yield from rows

    def _forget(self, table: str, numbers: Sequence[int], where: str = "1") -> None:
        self._db.executemany(f"DELETE FROM {table} WHERE number = ? AND {where}", [(n,) for n in numbers])

    def _tell(self, stage: int, number: int, refused: Refused, run: int = 0) -> None:
        self._db.execute(
            "INSERT INTO outcomes VALUES (?, ?, NULL, ?, ?, ?, ?)",
            (number, stage, refused.outcome, refused.reason, refused.detail, run),
        )
