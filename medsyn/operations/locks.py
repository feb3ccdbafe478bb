"""Whether a living process holds something, asked without taking it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from medsyn.workspace import KINDS, Workspace

YOUNG = 60.0
"""Seconds: a process may be between making a lock file and taking the lock."""


def held(lock: Path) -> bool:
    """Whether a process holds this lock file; a file that was made only now counts as held."""
    try:
        if time.time() - lock.stat().st_mtime < YOUNG and not _beside(lock).exists():
            return True
        with open(lock, "rb") as file:
            return _taken(file.fileno())
    except FileNotFoundError:
        return False


def at_work(workspace: Workspace) -> Iterator[Path]:
    """Lock files that processes hold while they make something in this workspace."""
    folders = [workspace.path, *(workspace.path / kind.folder for kind in KINDS)]
    locks = [lock for folder in folders for lock in folder.glob(".*-*.lock")]
    locks += workspace.private.glob("pacs/*.lock")
    locks += workspace.private.glob("ingest/*/.lock")
    locks += (workspace.path / "cache").glob("*.lock")
    yield from filter(held, locks)


def _beside(lock: Path) -> Path:
    """What the lock is for."""
    return lock.parent if lock.name == ".lock" else lock.with_suffix("")


def _taken(file: int) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows: no file of a living process can be removed there
        return False
    try:
        # Shared: two who ask at once do not see each other.
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    fcntl.flock(file, fcntl.LOCK_UN)
    return False
