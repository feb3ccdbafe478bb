"""Fetching: which instances of an archive a query means, and each of them as a file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medsyn.errors import DataError
from medsyn.pacs.client import UID_OF, Pacs, Refusal, TooLargeError
from medsyn.pacs.messages import first
from medsyn.pacs.query import Query
from medsyn.progress import SILENT, Progress, track
from medsyn.workspace import atomic_file, disk_errors, private_folder

_UID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}")
"""Figures and dots by the standard; anonymised archives have hexadecimal ones. Fit for addresses and file names."""
_SOP_CLASS = "00080016"
_NUMBER_OF_SERIES, _NUMBER_OF_INSTANCES = "00201206", "00201209"


@dataclass(frozen=True, order=True)
class Remote:
    """An instance that a server has."""

    study: str
    series: str
    instance: str
    sop_class: str = ""

    @property
    def name(self) -> str:
        """Where it lies below the folder that it is fetched to."""
        return f"{self.study}/{self.series}/{self.instance}.dcm"


def search(url: str, query: Mapping[str, str], limit: int | None = None, progress: Progress = SILENT) -> list[Remote]:
    """The instances that a query means, found through their studies and series (QIDO-RS).

    Args:
        url: Root of the DICOMweb service.
        query: DICOM keyword -> value, as `Query`.
        limit: At most so many.
        progress: Is told what the server answers, but was not asked for.

    Raises:
        UsageError: A query that cannot be asked, or no DICOMweb service.
        DataError: The server refuses the search.
        EnvironmentFault: It cannot be reached, or refuses access.
    """
    asked = Query.of(query)
    pacs = Pacs(url, progress)
    walk = _Walk(pacs, asked)
    found: dict[str, Remote] = {}
    try:
        for remote in walk.instances():
            found.setdefault(remote.instance, remote)
            if len(found) == limit:
                break
    except Refusal as refusal:
        if refusal.status in (404, 405, 501):
            raise pacs.no_root(f"answers with HTTP status {refusal.status}") from None
        raise DataError(f"refuses the search (HTTP status {refusal.status})", where=pacs.url) from None
    for why, n in walk.left_out.items():
        progress.say(f"{n} answers of {pacs.url} {why}: left out")
    return list(found.values())


def fetch(
    url: str, wanted: Sequence[Remote], folder: Path, most: int, progress: Progress = SILENT
) -> dict[Remote, str]:
    """Retrieve instances (WADO-RS), each into a file of its own that is whole or not there; those there stay.

    Args:
        url: Root of the DICOMweb service.
        wanted: Which.
        folder: Where to; made where it is not there yet. Its files are readable by the owner alone.
        most: Bytes that a file may have.
        progress: Listener.

    Returns:
        Those that the server does not give, and why, in one sentence.

    Raises:
        EnvironmentFault: The server cannot be reached, or refuses access, or the disk is full: what was fetched stays.
    """
    missing = [remote for remote in wanted if not (folder / remote.name).is_file()]
    if not missing:
        return {}
    pacs, refused = Pacs(url, progress), dict[Remote, str]()
    for remote in track(progress, "Fetching", missing, len(missing)):
        file = folder / remote.name
        try:
            content = pacs.retrieve(remote.study, remote.series, remote.instance, most)
        except Refusal as refusal:
            refused[remote] = f"the server does not give it (HTTP status {refusal.status})"
            continue
        except TooLargeError:
            refused[remote] = f"more than {most >> 20} MiB (--max-pixels)"
            continue
        with disk_errors(folder):
            for above in (folder, file.parent.parent, file.parent):
                private_folder(above)
            with atomic_file(file, mode=0o600) as partial:
                partial.write_bytes(content)
    return refused


class _Walk:
    """From studies to series to instances.

    Attributes:
        left_out: Why answers are left out -> how many.
    """

    def __init__(self, pacs: Pacs, asked: Query) -> None:
        self._pacs, self._asked = pacs, asked
        self.left_out: Counter[str] = Counter()

    def instances(self) -> Iterator[Remote]:
        for study, of_study in self._fitting("studies"):
            for series, of_series in self._fitting("series", study, total=_count(of_study, _NUMBER_OF_SERIES)):
                total = _count(of_series, _NUMBER_OF_INSTANCES)
                for instance, answer in self._fitting("instances", study, series, total=total):
                    yield Remote(study, series, instance, first(answer, _SOP_CLASS))

    def _fitting(self, what: str, *uids: str, total: int | None = None) -> Iterator[tuple[str, Mapping[str, Any]]]:
        filters = self._asked.of_level(what)
        for answer in self._pacs.search(what, *uids, filters=filters, fields=sorted(filters), total=total):
            uid, wrong = first(answer, UID_OF[what]), self._asked.fails(what, answer)
            if wrong:
                self.left_out[f"do not show the {wrong} that was asked for"] += 1
            elif _UID.fullmatch(uid) is None:
                self.left_out["have a UID that is none"] += 1
            else:
                yield uid, answer


def _count(answer: Mapping[str, Any], tag: str) -> int | None:
    text = first(answer, tag)
    return int(text) if text.isdigit() and int(text) else None
