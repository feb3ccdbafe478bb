"""SHA-256 of files, and SHA256SUMS: the list of them that `sha256sum -c` reads."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

SUMS = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


def sha256(file: Path) -> str:
    """Digest of a file, as 64 hexadecimal digits.

    Raises:
        OSError: It cannot be read.
    """
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def noted(folder: Path, names: Iterable[str]) -> list[dict[str, str]]:
    """Files of a folder with their digests, as a main file notes them.

    Raises:
        OSError: One cannot be read.
    """
    return [{"file": name, "sha256": sha256(folder / name)} for name in names]


def sums_line(name: str, digest: str) -> bytes:
    """One file, as `sha256sum` writes it."""
    return f"{digest}  {name}\n".encode()


def write_sums(lines: Iterable[tuple[str, str]], file: Path) -> str:
    """Write such a list, from (path, SHA-256); returns its own SHA-256.

    Raises:
        OSError: It cannot be written.
    """
    found = hashlib.sha256()
    with open(file, "wb") as out:
        for name, digest in lines:
            found.update(line := sums_line(name, digest))
            out.write(line)
    return found.hexdigest()


def read_sums(file: Path) -> Iterator[tuple[str, str]]:
    """Path and SHA-256 of each line; both empty where the path is none, or leads out of the folder.

    Raises:
        OSError: It cannot be read.
    """
    with open(file, encoding="utf-8", errors="replace", newline="\n") as lines:
        for line in lines:
            found = _LINE.fullmatch(line.removesuffix("\n"))
            path = PurePosixPath(found[2]) if found else None
            if found is None or path is None or path.is_absolute() or ".." in path.parts:
                yield "", ""
            else:
                yield found[2], found[1]
