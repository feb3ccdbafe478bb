"""The folder a user works in: where things are, what is newest, locks, atomic writes."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from medsyn.errors import DataError, EnvironmentFault, MissingError

log = logging.getLogger(__name__)

SCHEMA = 1
DEFAULT = "medsyn-workspace"
STALE_SECONDS = 3600
"""A file that `atomic_file` has not finished by then belongs to a killed process."""


@dataclass(frozen=True)
class Kind:
    """One kind of thing that a stage leaves in the workspace."""

    folder: str  # below the workspace
    main_file: str  # written last: a folder without it does not count
    command: str  # the command that makes one
    noun: str


DATASET = Kind("datasets", "dataset.json", "medsyn ingest", "dataset")
GENERATOR = Kind("generators", "config.json", "medsyn train-gan", "generator")
SYNTHETIC = Kind("synthetic", "card.json", "medsyn augment", "synthetic set")
EVALUATION = Kind("evaluations", "report.json", "medsyn evaluate", "evaluation")
KINDS = (DATASET, GENERATOR, SYNTHETIC, EVALUATION)


class Workspace:
    """A folder with datasets, generators, synthetic sets, evaluations, one MLflow store and one project key.

    Every result is a folder ``<kind>/<name>-<number>``. It is built under a hidden name and renamed into place
    when complete, so that what is visible is always whole; "newest" is the highest number. Nothing points to
    anything, so nothing can point to the wrong place after a crash.

    Args:
        path: The folder; made at the first write.

    Raises:
        DataError: ``path`` is a file, or a workspace of a newer medsyn.
        EnvironmentFault: It may not be read.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = Path(path or os.environ.get("MEDSYN_WORKSPACE") or DEFAULT).absolute()
        marker = self.path / "medsyn.json"
        with disk_errors(self.path):
            if self.path.exists() and not self.path.is_dir():
                raise DataError("is not a folder", where=self.path, mend="Name another --workspace.")
            if marker.exists() and read_json(marker).get("schema", 0) > SCHEMA:
                raise DataError("was made by a newer medsyn", where=marker, mend="Upgrade medsyn to use it.")

    @property
    def private(self) -> Path:
        """Mode 0700: the project key and the lists that lead back to file names. Never share it."""
        return self.path / "private"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    def create(self) -> Workspace:
        """Make the folder if it is not there yet."""
        with disk_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            private_folder(self.private)
            self.logs.mkdir(exist_ok=True)
            for kind in KINDS:
                (self.path / kind.folder).mkdir(exist_ok=True)
            if not (self.path / "medsyn.json").exists():
                write_json(self.path / "medsyn.json", {"schema": SCHEMA})
        return self

    def project_key(self) -> bytes:
        """The 32-byte key behind every patient key; made once, mode 0600, sharable between workspaces by copying it."""
        self.create()
        file = self.private / "project.key"
        with FileLock(self.private / ".lock"):
            if not file.exists():
                with disk_errors(file), atomic_file(file, mode=0o600) as partial:
                    partial.write_text(secrets.token_hex(32) + "\n")
            text = file.read_text().strip()
        try:
            key = bytes.fromhex(text)
        except ValueError:
            key = b""
        if len(key) != 32:
            raise DataError(
                "is not a key of 64 hexadecimal digits",
                where=file,
                mend="Put back the original file; with another key, patients of earlier datasets cannot be recognised.",
            )
        return key

    # ---- what is there

    def all(self, kind: Kind, modality: str | None = None) -> list[Path]:
        """Complete results of one kind, oldest first, of one modality or of all."""
        folder = self.path / kind.folder
        found = (
            [p for p in folder.iterdir() if _number(p) and (p / kind.main_file).is_file()] if folder.is_dir() else []
        )
        found.sort(key=_number)
        if modality is not None:
            found = [p for p in found if read_json(p / kind.main_file).get("modality") == modality]
        return found

    def latest(self, kind: Kind, modality: str | None = None) -> Path:
        """The newest complete result of one kind.

        Raises:
            MissingError: There is none.
        """
        found = self.all(kind, modality)
        if not found:
            of = f" for modality '{modality}'" if modality else ""
            run = kind.command + (f" --modality {modality}" if modality else "")
            gone = "" if self.path.is_dir() else ", for there is no such workspace"
            raise MissingError(f"no {kind.noun} yet{of}{gone}", where=self.path, mend=f"Run '{run}' first.")
        return found[-1]

    def find(self, kind: Kind, name: str | Path) -> Path:
        """A result by folder name (``xray-001``), by its name without number (the newest), or by path.

        Raises:
            MissingError: Nothing of that name.
        """
        path = Path(name)
        if (path / kind.main_file).is_file():
            return path.absolute()
        found = [p for p in self.all(kind) if p.name == str(name) or _stem(p) == str(name)]
        if not found:
            names = ", ".join(p.name for p in self.all(kind)) or "none"
            raise MissingError(f"no {kind.noun} '{name}'", where=self.path, mend=f"There are: {names}.")
        return found[-1]

    def chosen(self, kind: Kind, name: str | Path | None, modality: str | None = None) -> Path:
        """The result of this name, see `find`; without one the newest, see `latest`."""
        return self.find(kind, name) if name else self.latest(kind, modality)

    # ---- making something new

    @contextmanager
    def build(self, kind: Kind, name: str) -> Iterator[Build]:
        """Build a result in a hidden folder; `Build.commit` shows it, any exception leaves the workspace as it was.

        Yields:
            A `Build` whose ``path`` is an empty folder.

        Raises:
            EnvironmentFault: The disk is full or not writable.
        """
        folder = self.path / kind.folder
        with disk_errors(folder), self.scratch(f"{kind.folder}/.partial-{name}") as partial:
            yield Build(self, kind, name, partial)

    @contextmanager
    def scratch(self, prefix: str = ".partial-scratch") -> Iterator[Path]:
        """An empty hidden folder that goes when the block ends, or, after a crash, with the next `clean`.

        Args:
            prefix: Where, relative to the workspace; the last part begins with ``.partial-``.
        """
        self.create()
        self.clean()
        partial = self.path / f"{prefix}-{secrets.token_hex(4)}"
        # The lock comes first: a folder without one is free for any other process to clean away.
        with FileLock(_lock_of(partial), timeout=0):
            try:
                partial.mkdir()
                yield partial
            finally:
                shutil.rmtree(partial, ignore_errors=True)
                _lock_of(partial).unlink(missing_ok=True)

    def clean(self) -> int:
        """Remove what killed processes left half-made; what a living process is making stays. Returns how many."""
        removed = 0
        for folder in (self.path, *(self.path / kind.folder for kind in KINDS)):
            # A killed process leaves its folder, its lock file, or both.
            for name in {p.name.removesuffix(".lock") for p in folder.glob(".partial-*")}:
                partial = folder / name
                if not partial.exists() and _age(_lock_of(partial)) < 60:
                    continue  # another process is between its lock and its folder
                try:
                    with FileLock(_lock_of(partial), timeout=0):
                        shutil.rmtree(partial, ignore_errors=True)
                        _lock_of(partial).unlink(missing_ok=True)
                except Timeout:
                    continue
                removed += 1
        for folder in (self.path, self.private):
            for left in folder.glob(".*.????????"):
                if _age(left) > STALE_SECONDS:
                    left.unlink(missing_ok=True)
        return removed

    def reserve(self, kind: Kind, name: str, partial: Path) -> Path:
        """Give ``partial`` the next number of its kind and rename it into place."""
        with FileLock(self.path / kind.folder / ".lock"):
            numbers = [_number(p) for p in (self.path / kind.folder).iterdir()]
            final = self.path / kind.folder / f"{name}-{max(numbers, default=0) + 1:03d}"
            fsync_tree(partial)
            partial.rename(final)
        return final


@dataclass
class Build:
    """A result under construction."""

    workspace: Workspace
    kind: Kind
    name: str
    path: Path

    def commit(self, main: dict[str, Any]) -> Path:
        """Write the main file, then show the folder under its final name.

        Args:
            main: Content of the kind's main JSON file.

        Returns:
            The final path.
        """
        write_json(self.path / self.kind.main_file, main)
        return self.workspace.reserve(self.kind, self.name, self.path)


# ---- files


def read_json(path: Path) -> dict[str, Any]:
    """Read one JSON object.

    Raises:
        DataError: Not there, not JSON, or not an object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError("no such file", where=path) from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"cannot be read as JSON ({error})", where=path) from None
    if not isinstance(value, dict):
        raise DataError("is not a JSON object", where=path)
    return value


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write one JSON object atomically; NaN is refused, because no other reader takes it."""
    with atomic_file(path) as partial:
        partial.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


@contextmanager
def atomic_file(path: Path, mode: int = 0o644) -> Iterator[Path]:
    """Yield a neighbour to write; it replaces ``path`` on success and vanishes on failure."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
        yield partial
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def fsync_tree(folder: Path) -> None:
    """Flush every file below ``folder``, so that a rename that survives a power cut shows whole files."""
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                os.fsync(file.fileno())


_DISK = {
    errno.ENOSPC: ("the disk is full", "Free some space or name another --workspace."),
    errno.EDQUOT: ("the disk quota is used up", "Free some space or name another --workspace."),
    errno.EFBIG: (
        "a file would grow larger than this disk or user may have",
        "Ask for less, or name another --workspace.",
    ),
    errno.ENOTDIR: ("lies below a file", "Name another --workspace."),
    errno.EROFS: ("the disk is read-only", "Name a --workspace that can be written."),
    errno.EACCES: ("permission denied", "Name a --workspace that you may write."),
    errno.EPERM: ("permission denied", "Name a --workspace that you may write."),
}


@contextmanager
def disk_errors(where: Path) -> Iterator[None]:
    """Turn the operating system's refusals to write into one clear line."""
    try:
        yield
    except OSError as error:
        # NumPy and Arrow report a short write without an errno.
        code = errno.ENOSPC if re.search(r"requested and \d+ written|No space left", str(error)) else error.errno
        if code not in _DISK:
            raise
        what, mend = _DISK[code]
        raise EnvironmentFault(what, where=error.filename or where, mend=mend) from error


def private_folder(path: Path) -> None:
    """Make a folder that its owner alone may open, if it is not there yet."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def free_bytes(path: Path) -> int:
    """Free space on the disk that holds ``path``, or that will hold it once it is made."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def _lock_of(partial: Path) -> Path:
    return partial.with_name(partial.name + ".lock")


def _age(path: Path) -> float:
    """Seconds since the last change; 0 for what is gone."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _number(path: Path) -> int:
    match = re.fullmatch(r"[^.].*-(\d{3,})", path.name)
    return int(match[1]) if match else 0


def _stem(path: Path) -> str:
    return path.name.rsplit("-", 1)[0]
