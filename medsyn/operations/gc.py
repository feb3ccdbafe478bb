"""What nobody needs any more: caches, what killed processes left, and results that are named."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from medsyn.errors import DataError, EnvironmentFault, MissingError, UsageError
from medsyn.operations.items import size
from medsyn.operations.locks import at_work, held
from medsyn.workspace import DATASET, GENERATOR, KINDS, STALE_SECONDS, SYNTHETIC, Workspace, disk_errors, read_json

SELECTIONS = "selections"
"""Of the cache; small, and read by streams of images in processes that hold no lock."""

PARTIAL, TRAINING, SET, WORK, LOCK = ".partial-", ".training-", ".unfinished-", ".work", ".lock"


@dataclass(frozen=True)
class Removable:
    """One thing that may go.

    Attributes:
        path: File or folder; it goes with `also`.
        why: Why nobody needs it.
        bytes: That it takes.
        lock: Held while it goes, where a process could want it.
        also: What belongs to it.
    """

    path: Path
    why: str
    bytes: int
    lock: Path | None = None
    also: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Collected:
    """What `collect` did, or would do.

    Attributes:
        removed: What went.
        kept: What could not go, and why: path -> reason.
        bytes: That are free now.
        dry: Whether nothing was touched.
    """

    removed: list[Removable]
    kept: dict[str, str]
    bytes: int
    dry: bool


def collect(workspace: Workspace, names: Sequence[str] = (), *, dry_run: bool = False) -> Collected:
    """Remove what nobody needs, and the results that are named.

    Args:
        workspace: The workspace.
        names: Complete results as ``synthetic/xray-003``; none goes that is not named.
        dry_run: Only tell.

    Raises:
        UsageError: A name that names no kind.
        MissingError: No such result, or no workspace.
        EnvironmentFault: Results are named while a process is at work in the workspace, or the disk refuses.
    """
    if not workspace.path.is_dir():
        raise MissingError("no workspace yet", where=workspace.path, mend="Name another --workspace.")
    named = [_named(workspace, name) for name in dict.fromkeys(names)]
    busy = next(at_work(workspace), None)
    if named and busy is not None:
        raise EnvironmentFault(
            "medsyn is at work here and may be reading what is to go", where=busy, mend="Wait for it, then try again."
        )
    removed, kept = [], {}
    for one in [*removable(workspace), *named]:
        if dry_run or _remove(workspace, one):
            removed.append(one)
        else:
            kept[str(one.path)] = "a process has taken it up"
    return Collected(removed, kept, sum(one.bytes for one in removed), dry_run)


def removable(workspace: Workspace) -> list[Removable]:
    """What nobody needs, without what living processes hold; no complete result is among it."""
    return [
        *_partial(workspace),
        *_trainings(workspace),
        *_sets(workspace),
        *_locks(workspace),
        *_written(workspace),
        *_cache(workspace),
    ]


def _partial(workspace: Workspace) -> Iterator[Removable]:
    """What was being built when its process died."""
    for folder in (workspace.path, *(workspace.path / kind.folder for kind in KINDS)):
        for path in folder.glob(f"{PARTIAL}*"):
            lock = _lock_of(path)
            if path.suffix != LOCK and path.is_dir() and not held(lock):
                yield Removable(path, "half-built by a process that is dead", size(path)[0], lock)


def _trainings(workspace: Workspace) -> Iterator[Removable]:
    complete = [_main(path, GENERATOR.main_file) for path in workspace.all(GENERATOR)]
    for path in (workspace.path / GENERATOR.folder).glob(f"{TRAINING}*"):
        lock = _lock_of(path)
        if path.suffix == LOCK or not path.is_dir() or held(lock):
            continue
        why = _spent(path, complete)
        if why:
            yield Removable(path, why, size(path)[0], lock)


def _spent(training: Path, complete: Iterable[dict[str, Any]]) -> str:
    """Why nobody will go on with an unfinished training; empty where somebody may."""
    state = training / "state.json"
    if not state.is_file():
        return "a training that died before its first snapshot"
    told = _main(training, state.name)
    if "modality" not in told:
        return "an unfinished training whose state is damaged"
    for config in complete:
        same = config.get("dataset", {}).get("content_digest") == told.get("dataset_digest")
        shown = config.get("training", {}).get("kimg", -1) * 1000 == told.get("images")
        if same and shown and config.get("plan") == told.get("plan"):
            return "a training whose generator is complete"
    return ""


def _sets(workspace: Workspace) -> Iterator[Removable]:
    folder = workspace.path / SYNTHETIC.folder
    for path in sorted({folder / p.name.removesuffix(WORK) for p in folder.glob(f"{SET}*") if p.suffix != LOCK}):
        work, lock = path.with_name(path.name + WORK), _lock_of(path)
        if held(lock) or (path.is_dir() and (work / "part-000000.parquet").is_file()):
            continue
        why = "what a finished set needed" if not path.is_dir() else "a set of which nothing was kept"
        yield Removable(path, why, size(path)[0] + size(work)[0], lock, (work,))


def _locks(workspace: Workspace) -> Iterator[Removable]:
    """Lock files of what is not there any more."""
    found = [
        lock
        for folder in (workspace.path, *(workspace.path / kind.folder for kind in KINDS))
        for prefix in (PARTIAL, TRAINING, SET)
        for lock in folder.glob(f"{prefix}*{LOCK}")
    ]
    found += (workspace.private / "pacs").glob(f"*{LOCK}")
    for lock in found:
        path = lock.with_suffix("")
        if not path.exists() and not path.with_name(path.name + WORK).exists() and not held(lock):
            yield Removable(lock, "a lock of what is not there any more", lock.stat().st_size, lock)


def _written(workspace: Workspace) -> Iterator[Removable]:
    """Files that a process was writing when it died."""
    for folder in (workspace.path, workspace.private):
        for path in folder.glob(".*.????????"):
            state = path.stat()
            if path.is_file() and time.time() - state.st_mtime > STALE_SECONDS:
                yield Removable(path, "a file that was never finished", state.st_size)


def _cache(workspace: Workspace) -> Iterator[Removable]:
    """Features, trained arms, generators that lie unpacked: made again where they are missed."""
    cache = workspace.path / "cache"
    if not cache.is_dir() or next(at_work(workspace), None) is not None:
        return
    for path in sorted(cache.iterdir()):
        if path.is_dir() and path.name != SELECTIONS:
            yield Removable(path, "cache: computed again when it is missed", size(path)[0], cache / f"{path.name}.lock")


def _named(workspace: Workspace, name: str) -> Removable:
    folder, _, result = name.strip("/").partition("/")
    kind = next((kind for kind in KINDS if kind.folder == folder), None)
    if kind is None or not result or "/" in result:
        raise UsageError(
            f"'{name}' does not say of which kind it is",
            where="medsyn gc",
            mend=f"Write FOLDER/NAME with one of {', '.join(k.folder for k in KINDS)}, as in synthetic/xray-003.",
        )
    path = workspace.path / folder / result
    if result.startswith(".") or not path.is_dir():
        names = ", ".join(p.name for p in workspace.all(kind)) or "none"
        raise MissingError(f"no {kind.noun} '{result}'", where=workspace.path, mend=f"There are: {names}.")
    also: tuple[Path, ...] = ()
    if kind is DATASET:
        listed = _main(path, kind.main_file).get("paths_list")
        also = (workspace.private / str(listed),) if listed else ()
    return Removable(path, f"{kind.noun}, named", size(path)[0] + sum(size_of(p) for p in also), also=also)


def size_of(file: Path) -> int:
    """Bytes of a file, 0 where it is not there."""
    return file.stat().st_size if file.is_file() else 0


def _remove(workspace: Workspace, one: Removable) -> bool:
    """Remove one thing, unless a process has taken it up since it was listed."""
    with disk_errors(one.path):
        if one.lock is None:
            _away(workspace, one)
            return True
        with suppress(Timeout), FileLock(one.lock, timeout=0):
            _away(workspace, one)
            if one.lock.name.startswith("."):  # of this one thing, not of a kind of cache
                one.lock.unlink(missing_ok=True)
            else:  # it stays, and is no new one that a process is about to take
                os.utime(one.lock, (0, 0))
            return True
        return False


def _away(workspace: Workspace, one: Removable) -> None:
    for path in (one.path, *one.also):
        if path.is_dir():
            # Out of sight at once: half a result is never seen.
            gone = path if path.name.startswith(".") else workspace.path / f"{PARTIAL}gone-{secrets.token_hex(4)}"
            if gone != path:
                path.rename(gone)
            shutil.rmtree(gone)
        else:
            path.unlink(missing_ok=True)


def _main(folder: Path, file: str) -> dict[str, Any]:
    try:
        return read_json(folder / file)
    except DataError:
        return {}


def _lock_of(path: Path) -> Path:
    return path.with_name(path.name + LOCK)
