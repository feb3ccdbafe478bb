"""The files of a set against SHA256SUMS, and that against the card."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from medsyn.augment.verification.results import Finding, Names
from medsyn.compute import portions
from medsyn.progress import Progress, track
from medsyn.sums import SUMS, read_sums, sha256
from medsyn.workspace import SYNTHETIC


class Paths:
    """A set of paths, in 8 bytes each."""

    def __init__(self, names: Iterable[str]) -> None:
        self._hashes = np.unique(np.fromiter(map(hash, names), np.int64))

    def __len__(self) -> int:
        return len(self._hashes)

    def lacks(self, names: Sequence[str]) -> list[str]:
        """Which of these are not in it."""
        if not len(self):
            return list(names)
        asked = np.fromiter(map(hash, names), np.int64, len(names))
        places = np.searchsorted(self._hashes, asked).clip(max=len(self) - 1)
        return [name for name, there in zip(names, self._hashes[places] == asked, strict=True) if not there]


def check(folder: Path, sums_digest: str, progress: Progress) -> tuple[Paths, list[Finding]]:
    """Compare every file.

    Args:
        folder: The set.
        sums_digest: SHA-256 of SHA256SUMS as the card says.
        progress: Listener.

    Returns:
        All files that SHA256SUMS names, and what is wrong.
    """
    sums = folder / SUMS
    if not sums.is_file():
        return Paths([]), [Finding("files", f"{SUMS} is missing: no file can be checked")]
    findings = []
    if sha256(sums) != sums_digest:
        findings.append(Finding("files", f"{SUMS} is not the one that {SYNTHETIC.main_file} names"))
    with open(sums, "rb") as file:
        total = sum(1 for _ in file)
    malformed, missing, changed, extra = Names(), Names(), Names(), Names()
    for number, (name, wanted) in enumerate(track(progress, "checking files", read_sums(sums), total), 1):
        if not name:
            malformed.add(f"line {number}")
            continue
        try:
            if sha256(folder / name) != wanted:
                changed.add(name)
        except (FileNotFoundError, NotADirectoryError):
            missing.add(name)
        except OSError:
            changed.add(name)
    named = Paths(name for name, _ in read_sums(sums) if name)
    known = Paths(chain((SUMS, SYNTHETIC.main_file), (name for name, _ in read_sums(sums) if name)))
    for name in (name for names in portions(_all(folder), 4096) for name in known.lacks(names)):
        extra.add(name)
    findings += Finding.about("files", malformed, f"line of {SUMS} cannot be read", f"lines of {SUMS} cannot be read")
    findings += Finding.about("files", missing, "file is missing", "files are missing")
    findings += Finding.about("files", changed, "file has changed", "files have changed")
    findings += Finding.about("files", extra, "file does not belong to the set", "files do not belong to the set")
    return named, findings


def _all(folder: Path) -> Iterator[str]:
    """Paths of all that is in a folder and is no folder of its own, relative to it."""
    for place, folders, files in os.walk(folder):
        for name in (*files, *(f for f in folders if os.path.islink(os.path.join(place, f)))):
            yield (Path(place) / name).relative_to(folder).as_posix()
