"""A set in the making: in a hidden folder from which the same command goes on, whatever ended it."""

from __future__ import annotations

import builtins
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import count, takewhile
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from medsyn.errors import EnvironmentFault
from medsyn.sums import sha256
from medsyn.synthetic import MANIFEST
from medsyn.workspace import SYNTHETIC, Workspace, atomic_file, disk_errors, write_json

PART = pa.schema([*MANIFEST, pa.field("digests", pa.map_(pa.string(), pa.string()))])
"""The manifest's columns, and the SHA-256 of each file that was written for the image."""

PREFIX, WORK = ".unfinished-", ".work"
FACTS = "facts.json"
"""What the set is made of, among its work: `medsyn status` tells by it with which command to go on."""


class Part(NamedTuple):
    """Rows of the manifest, in order of the candidates' numbers, and the SHA-256 of what is staged of their images."""

    rows: list[dict[str, Any]]
    staged: str


class Unfinished:
    """A set in the making.

    What was written counts from the moment on that its part of the manifest is there; a part is written last, and
    atomically.

    Args:
        path: The hidden folder, which becomes the set.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.work = _work_of(path)
        """Holds what the finished set does not need, beside it: the set becomes visible by one rename."""
        self.damaged = False
        """Whether something that an earlier process left has to be made again."""
        self._parts = list(takewhile(Path.is_file, (_part(path, number) for number in count())))

    @property
    def begun(self) -> bool:
        """Whether an earlier process has left something."""
        return bool(self._parts)

    @property
    def bytes(self) -> int:
        """What it takes on the disk so far."""
        return sum(512 * f.stat().st_blocks for folder in (self.path, self.work) for f in folder.rglob("*"))

    def rows(self, *columns: str) -> Iterator[list[dict[str, Any]]]:
        """All rows so far, part by part, in order of the candidates' numbers; of some columns, or of all."""
        for part in self._parts:
            yield _read(part, columns).rows

    def sound(self) -> Iterator[Part]:
        """All parts so far, up to the first one that is damaged or names a file that is not what was written.

        That one and all after it are forgotten: their images are made again.
        """
        for number, file in enumerate(self._parts):
            part = self._sound(file)
            if part is None:
                self.drop(number)
                return
            yield part

    def _sound(self, file: Path) -> Part | None:
        try:
            part = _read(file)
        except (OSError, KeyError, pa.ArrowException):
            return None
        named = ((self.path / name, digest) for row in part.rows for name, digest in row["digests"].items())
        return part if all(_is(path, digest) for path, digest in named) else None

    def drop(self, number: int) -> None:
        """Forget the part of this number and all after it, which are damaged."""
        for part in reversed(self._parts[number:]):
            part.unlink(missing_ok=True)
        self._parts, self.damaged = self._parts[:number], True

    def next_group(self) -> int:
        """Number of the first group of candidates that was not judged."""
        if not self._parts:
            return 0
        return int(pq.read_schema(self._parts[-1]).metadata[b"next_group"])

    def keep(self, rows: Sequence[Mapping[str, Any]], next_group: int, staged: str) -> None:
        """Add a part, after all its files have been written."""
        table = pa.Table.from_pylist(list(rows), schema=PART)
        table = table.replace_schema_metadata({"next_group": str(next_group), "staged": staged})
        part = _part(self.path, len(self._parts))
        with atomic_file(part) as partial:
            pq.write_table(table, partial)
        self._parts.append(part)

    def write(self, files: Mapping[str, builtins.bytes]) -> dict[str, str]:
        """Write files of one image; returns path -> SHA-256."""
        for name, data in files.items():
            file = self.path / name
            try:
                file.write_bytes(data)
            except FileNotFoundError:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data)
        return {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}


@contextmanager
def unfinished(workspace: Workspace, facts: Mapping[str, Any]) -> Iterator[Unfinished]:
    """The set that is made of these facts: begun now, or gone on with.

    It stays where the block ends with an error or the process is killed. Where the block ends well, it has renamed
    `Unfinished.path`.

    Args:
        workspace: Where the set will lie.
        facts: All that its images depend on.

    Raises:
        EnvironmentFault: Another process makes the same set.
    """
    key = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:16]
    folder = workspace.create().path / SYNTHETIC.folder
    path = folder / f"{PREFIX}{key}"
    with disk_errors(folder):
        _clean(folder)
        try:
            held = _lock_of(path).acquire(timeout=0)
        except Timeout:
            raise EnvironmentFault(
                "another medsyn process makes this very set", where=path, mend="Wait for it, or change --seed."
            ) from None
        with held:
            path.mkdir(exist_ok=True)
            _work_of(path).mkdir(exist_ok=True)
            write_json(_work_of(path) / FACTS, json.loads(json.dumps(facts, default=str)))
            made = Unfinished(path)
            try:
                yield made
            finally:
                if _is_scrap(path):
                    _remove(path)


def others(workspace: Workspace, path: Path) -> list[Path]:
    """Sets that other commands have begun and not finished."""
    found = (workspace.path / SYNTHETIC.folder).glob(f"{PREFIX}*")
    return [p for p in found if p.is_dir() and p.suffix != WORK and p != path]


def _read(part: Path, columns: Sequence[str] = ()) -> Part:
    table = pq.read_table(part, schema=PART, columns=list(columns) or None)
    metadata = pq.read_schema(part).metadata
    return Part(table.to_pylist(maps_as_pydicts="strict"), metadata[b"staged"].decode())


def _is_scrap(path: Path) -> bool:
    """Whether there is nothing to go on with: no part was kept, or the set is finished and only its work is left."""
    return not path.is_dir() or not _part(path, 0).is_file()


def _clean(folder: Path) -> None:
    """Remove what killed processes have left and nobody can go on with."""
    left = {p.name.removesuffix(".lock").removesuffix(WORK) for p in folder.glob(f"{PREFIX}*")}
    for path in map(folder.joinpath, left):
        with suppress(Timeout):
            if _is_scrap(path):
                with _lock_of(path).acquire(timeout=0):
                    if _is_scrap(path):
                        _remove(path)


def _remove(path: Path) -> None:
    """Remove a set in the making whose lock this process holds."""
    shutil.rmtree(path, ignore_errors=True)
    shutil.rmtree(_work_of(path), ignore_errors=True)
    _lock_file(path).unlink(missing_ok=True)


def _part(path: Path, number: int) -> Path:
    return _work_of(path) / f"part-{number:06d}.parquet"


def _work_of(path: Path) -> Path:
    return path.with_name(path.name + WORK)


def _lock_file(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


def _lock_of(path: Path) -> FileLock:
    return FileLock(_lock_file(path))


def _is(path: Path, wanted: str) -> bool:
    try:
        return sha256(path) == wanted
    except OSError:
        return False
