"""A generator as one folder or zip file that works anywhere: written by `medsyn models export`, opened by its users."""

from __future__ import annotations

import secrets
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from medsyn.errors import DataError
from medsyn.sums import SUMS, read_sums, sha256, sums_line
from medsyn.workspace import GENERATOR, Workspace, atomic_file, disk_errors, free_bytes, private_folder, read_json

WEIGHTS, TRAINING, SUBJECTS = "generator.safetensors", "training.safetensors", "subjects.parquet"
NEEDED = (GENERATOR.main_file, WEIGHTS)
KNOWN = (*NEEDED, "card.json", "card.md", TRAINING, SUBJECTS)
"""Files of a checkpoint that go on a journey; the others are pictures and a log."""

CACHE = "generators"
"""Folder of the cache in which zip files lie open."""

MEND = "Export it again with 'medsyn models export'."


@dataclass(frozen=True)
class Exported:
    """What `export` wrote.

    Attributes:
        path: Folder or zip file.
        generator: Name of the generator.
        digest: SHA-256 of its weights.
        files: In it.
        bytes: That it takes.
        training: Whether another training can start from it.
        subjects: Whether the keys of the patients it learnt from are in it.
    """

    path: Path
    generator: str
    digest: str
    files: list[str]
    bytes: int
    training: bool
    subjects: bool


def export(source: Path, destination: Path, *, training: bool = True, subjects: bool = False) -> Exported:
    """Write a generator so that it needs no workspace.

    Args:
        source: Its folder.
        destination: A folder, or a file whose name ends with .zip; of neither may there be one yet.
        training: Whether ``training.safetensors`` comes along, without which no training can start from it.
        subjects: Whether ``subjects.parquet`` does: keyed hashes, which only who has the project key can use.

    Raises:
        DataError: The generator is damaged, or the destination exists.
    """
    if destination.exists() or destination.is_symlink():
        raise DataError("exists already", where=destination, mend="Name another place, or remove it first.")
    digest = str(read_json(source / GENERATOR.main_file).get("digest"))
    if not (source / WEIGHTS).is_file() or _digest(source / WEIGHTS) != digest:
        raise DataError("is missing, or not the file that was committed", where=source / WEIGHTS, mend="Train again.")
    left_out = {name for name, wanted in ((TRAINING, training), (SUBJECTS, subjects)) if not wanted}
    names = [name for name in KNOWN if name not in left_out and (source / name).is_file()]
    sums = b"".join(sums_line(name, _digest(source / name)) for name in names)
    with disk_errors(destination):
        destination.parent.mkdir(parents=True, exist_ok=True)
        (_zip if destination.suffix.lower() == ".zip" else _copy)(source, names, sums, destination)
    size = destination.stat().st_size if destination.is_file() else sum(f.stat().st_size for f in destination.iterdir())
    return Exported(destination, source.name, digest, [*names, SUMS], size, TRAINING in names, SUBJECTS in names)


def chosen(workspace: Workspace, name: str | Path | None, modality: str | None = None) -> Path:
    """As `Workspace.chosen` of a generator, which may also be an exported zip file.

    Raises:
        MissingError: There is none.
        DataError: The zip file is damaged, or holds no generator.
    """
    file = Path(name or "")
    if name and file.suffix.lower() == ".zip" and file.is_file():
        return _unpacked(workspace, file)
    return workspace.chosen(GENERATOR, name, modality)


def _unpacked(workspace: Workspace, file: Path) -> Path:
    """The folder in the cache with what the file holds; nothing but known names, each with its digest."""
    cache = workspace.path / "cache"
    folder = cache / CACHE / _digest(file)[:16]
    if (folder / GENERATOR.main_file).is_file():
        return folder
    try:
        with zipfile.ZipFile(file) as archive:
            # By the last part of their names: zipped again, a folder may have come before them, and none leads outside.
            entries = {PurePosixPath(e.filename).name: e for e in archive.infolist() if not e.is_dir()}
            wanted = {name: entries[name] for name in (*KNOWN, SUMS) if name in entries}
            missing = [name for name in (*NEEDED, SUMS) if name not in wanted]
            if missing:
                raise DataError(f"holds no {missing[0]}: it is no exported generator", where=file, mend=MEND)
            if sum(e.file_size for e in wanted.values()) > free_bytes(workspace.path):
                raise DataError("holds more than the disk has room for", where=file, mend="Free some space.")
            workspace.create()
            with disk_errors(folder):
                private_folder(cache)
                with _folder(folder) as place:
                    for name, entry in wanted.items():
                        with archive.open(entry) as packed, open(place / name, "wb") as out:
                            shutil.copyfileobj(packed, out)
                    _check(place, file)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise DataError(f"cannot be unpacked ({type(error).__name__})", where=file, mend=MEND) from None
    return folder


def _check(folder: Path, file: Path) -> None:
    """Compare with the sums that came along."""
    told = dict(read_sums(folder / SUMS))
    for path in folder.iterdir():
        if path.name != SUMS and told.get(path.name) != _digest(path):
            raise DataError(f"holds a {path.name} that {SUMS} does not know", where=file, mend=MEND)


@contextmanager
def _folder(path: Path) -> Iterator[Path]:
    """An empty folder that becomes ``path`` when all is in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    partial.mkdir()
    try:
        yield partial
        try:
            partial.rename(path)
        except OSError:
            if not path.is_dir():  # else another process has unpacked the same
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _copy(source: Path, names: Sequence[str], sums: bytes, destination: Path) -> None:
    with _folder(destination) as place:
        for name in names:
            shutil.copyfile(source / name, place / name)
        (place / SUMS).write_bytes(sums)


def _zip(source: Path, names: Sequence[str], sums: bytes, destination: Path) -> None:
    """The same bytes for the same content; not compressed, as weights do not shrink."""
    with atomic_file(destination) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        for name in names:
            with open(source / name, "rb") as file, archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as out:
                shutil.copyfileobj(file, out)
        archive.writestr(zipfile.ZipInfo(SUMS), sums)


def _digest(file: Path) -> str:
    with disk_errors(file):
        return sha256(file)
