"""What a stage tells MLflow, kept in the workspace until MLflow has it."""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections import deque
from collections.abc import Generator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from medsyn.workspace import Workspace

SCHEMA = 1
FOLDER = "tracking"
LOCAL = "local-"
"""Of the id of a run until MLflow has given it one."""

Entry = dict[str, Any]


class Journal:
    """Entries in a file of JSON lines, in the order in which MLflow shall have them; files to send lie beside.

    One process holds a journal at a time. A journal of a killed process is whole up to its last line.

    Attributes:
        store: `medsyn.tracking.store.address` of the store it is for.
        pending: Entries that MLflow does not have yet.
        runs: Id in MLflow by local id; empty for a run that MLflow has refused.
        doubtful: Local ids of runs that may have been created twice.
        kept: Whether all of it is on disk.
    """

    def __init__(self, folder: Path, lock: FileLock, store: str) -> None:
        self.folder, self._lock, self.store = folder, lock, store
        self.pending: deque[Entry] = deque()
        self.runs: dict[str, str] = {}
        self.doubtful: set[str] = set()
        self.kept = True
        self._next = 0

    @classmethod
    def begin(cls, workspace: Workspace, stage: str, store: str) -> Journal:
        """A new one, in memory alone where the workspace cannot be written."""
        name = f"{time.time_ns() // 1_000_000:013d}-{stage}-{secrets.token_hex(4)}"
        folder = workspace.path / FOLDER / name
        journal = cls(folder, _lock_of(folder), store)
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            # The lock comes first: a folder without one is another process's to deliver.
            journal._lock.acquire(timeout=0)
            folder.mkdir()
        except (OSError, Timeout):
            journal.kept = False
        journal._write({"journal": SCHEMA, "store": store})
        return journal

    @classmethod
    def waiting(cls, workspace: Workspace) -> Generator[Journal, None, None]:
        """What processes that have ended left undelivered, oldest first, each held while it is in use."""
        for folder in _folders(workspace):
            lock = _lock_of(folder)
            try:
                lock.acquire(timeout=0)
            except (OSError, Timeout):
                continue
            try:
                journal = cls._read(folder, lock)
                if journal is not None:
                    yield journal
            finally:
                lock.release()

    @classmethod
    def _read(cls, folder: Path, lock: FileLock) -> Journal | None:
        try:
            lines = (folder / "journal.jsonl").read_text(encoding="utf-8", errors="replace").split("\n")
        except OSError:
            return None  # delivered by another process meanwhile
        journal, last = cls(folder, lock, ""), 0
        entries: dict[int, Entry] = {}
        open_runs: list[str] = []
        for line in lines:
            try:
                value = json.loads(line)
                if "journal" in value:
                    journal.store = value["store"]
                elif "done" in value:
                    journal._note(entries.pop(value["done"]), value)
                else:
                    entries[value["entry"]] = value | {"tried": True}
                    last, journal._next = value["at"], value["entry"] + 1
                    if value["do"] == "create":
                        open_runs.append(value["run"])
                    elif value["do"] == "end":
                        open_runs.remove(value["run"])
            except (ValueError, KeyError, TypeError):
                continue  # cut short by a full disk or a power failure
        journal.pending.extend(entries.values())
        for run in reversed(open_runs):  # their process was killed
            journal.add("end", run, status="KILLED", at=last)
        return journal

    def add(self, do: str, run: str, **values: Any) -> Entry:
        """Append what shall be done to a run, see `medsyn.tracking.delivery`."""
        entry = {"entry": self._next, "do": do, "run": run, "at": time.time_ns() // 1_000_000, **values}
        self._next += 1
        self.pending.append(entry)
        self._write(entry)
        return entry

    def keep(self, file: Path) -> str:
        """Copy a file to send; what it is called from now on, relative to the journal."""
        place = Path("files", str(self._next), file.name)
        try:
            (self.folder / place).parent.mkdir(parents=True)
            shutil.copyfile(file, self.folder / place)
        except OSError:
            return str(file)  # to be sent from where it is, while it is there
        return place.as_posix()

    def done(self, entry: Entry, **facts: Any) -> None:
        """MLflow has it, or will never take it.

        Args:
            entry: The first that is pending.
            facts: ``run_id`` and ``doubtful`` of a run.
        """
        self.pending.popleft()
        self._note(entry, facts)
        self._write({"done": entry["entry"], **facts})
        if entry["do"] == "artifact":
            shutil.rmtree(self.folder / "files" / str(entry["entry"]), ignore_errors=True)

    def close(self) -> None:
        """Let go of it; without anything pending it vanishes."""
        if not self.pending:
            shutil.rmtree(self.folder, ignore_errors=True)
            with suppress(OSError):
                Path(self._lock.lock_file).unlink()
        self._lock.release()

    def _note(self, entry: Entry, facts: Mapping[str, Any]) -> None:
        if "run_id" in facts:
            self.runs[entry["run"]] = facts["run_id"]
        if facts.get("doubtful"):
            self.doubtful.add(entry["run"])

    def _write(self, value: Mapping[str, Any]) -> None:
        if not self.kept:
            return
        line = json.dumps({k: v for k, v in value.items() if k != "tried"}, ensure_ascii=False)
        try:
            with open(self.folder / "journal.jsonl", "a", encoding="utf-8") as file:
                file.write("\n" + line)  # what was cut short before does not spoil it
        except OSError:
            self.kept = False  # it goes on in memory


def count(workspace: Workspace) -> int:
    """How many journals there are, those of living processes included."""
    return len(_folders(workspace))


def local_id() -> str:
    return LOCAL + secrets.token_hex(16)


def _folders(workspace: Workspace) -> list[Path]:
    place = workspace.path / FOLDER
    try:
        return sorted(p for p in place.iterdir() if p.is_dir())
    except OSError:
        return []


def _lock_of(folder: Path) -> FileLock:
    return FileLock(folder.with_name(f".{folder.name}.lock"))
