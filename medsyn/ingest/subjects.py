"""Which patient a file belongs to, where its header does not say, and the refusal to guess."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Literal

from medsyn.errors import DataError
from medsyn.ingest.deidentify import keyed
from medsyn.ingest.labels import LabelRow, LabelSource
from medsyn.ingest.labels.folders import places
from medsyn.ingest.numbered import NumberMap, NumberSet, Worked
from medsyn.ingest.source import Probe

if TYPE_CHECKING:
    from medsyn.ingest.scan import Input

_OPTION = "--subject-from"
_BY_FOLDER = re.compile(r"folder(?::([1-9]\d*))?")


@dataclass(frozen=True, slots=True)
class Claim:
    """Who somebody else than the header says that a file belongs to.

    Attributes:
        subject: Keyed name.
        origin: Who says so.
        also: Another keyed name of the same patient.
    """

    subject: str
    origin: Literal["table", "bids", "folder"]
    also: str | None = None


def require(
    source: LabelSource, inputs: Iterable[Input], wanted: Iterable[Probe], rows: Mapping[int, LabelRow], key: bytes
) -> tuple[Mapping[int, Claim], list[str]]:
    """Settle the patient of every file that will be read.

    A patient is named by the header (PatientID, else StudyInstanceUID), by the labels table, by BIDS, or by
    ``--subject-from``: ``folder``, the file's own folder; ``folder:N``, the N-th below the path that was named and its
    folders of splits and classes; ``file``, every file another patient. Without any of these images of one patient
    would end up in several splits, so that nothing is assumed. npz files cannot name patients.

    Args:
        source: What was said.
        inputs: All files.
        wanted: Those that will be read; iterated twice.
        rows: What the labels say, by ledger number.
        key: Project key.

    Returns:
        Ledger number -> claim, none for files whose header, or whose being a file, says it all; and caveats.

    Raises:
        DataError: There are files of which nothing names the patient.
    """
    named = NumberMap((p.number, p.names.keys() & {"patient", "study"} != set()) for p in wanted if p.kind != "npz")
    participants = source.participants(inputs)
    by_folder = _BY_FOLDER.fullmatch(source.options.subject_from or "")
    level = int(by_folder[1]) if by_folder and by_folder[1] else None
    folders, told = _folders(source, inputs, named.keys(), level) if by_folder else ({}, [])

    def claims(number: int) -> list[Claim]:
        names: list[tuple[str, Literal["table", "bids", "folder"]]] = []
        row = rows.get(number)
        if row is not None and row.subject is not None:
            names.append((row.subject, "table"))
        if number in participants:
            dataset, participant = participants[number]
            names.append((dataset.subject(participant, key), "bids"))
        if number in folders:
            names.append((keyed(key, "subject-folder", folders[number]), "folder"))
        return [Claim(*names[0], names[1][0] if len(names) > 1 else None)] if names else []

    claimed, nobody = NumberSet(), 0
    for number, by_header in named.items():
        if claims(number):
            claimed.add(number)
        else:
            nobody += not by_header
    if nobody and source.options.subject_from != "file":
        raise _unknown(source, nobody, len(named), _patients_folders(source, inputs, named.keys()))
    return Worked(claimed, lambda number: claims(number)[0]), told


def _folders(
    source: LabelSource, inputs: Iterable[Input], numbers: Set[int], level: int | None
) -> tuple[dict[int, str], list[str]]:
    """Folder of every file, without those of splits and classes above it: a patient may be in several; and caveats."""
    by_class = source.options.label_from == "folder"
    where = {n: place.folders[by_class:] for n, place in places(inputs, numbers).items()}
    direct = sum(by_class and not folders for folders in where.values())
    if direct:
        raise DataError(
            f"{direct} of {len(where)} images lie in the folder of their class itself, not in a patient's",
            where=_OPTION,
            mend="Say --subject-from file if every file is another patient, or name a column of --labels.",
        )
    # A folder that was named itself is a patient's, the same as if the one above it had been named.
    roots = {i.number: PurePath(i.root).name for i in inputs if i.number in numbers}
    found = {n: "/".join(folders[:level]) or roots[n] for n, folders in where.items()}
    if level is not None or max(map(len, where.values()), default=0) < 2:
        return found, []
    first = len({folders[:1] for folders in where.values()})
    return found, [
        f"each of {len(set(found.values()))} folders counts as one patient; they lie in {first} others: "
        f"if those are the patients, say {_OPTION} folder:1"
    ]


def _patients_folders(source: LabelSource, inputs: Iterable[Input], numbers: Set[int]) -> int:
    """Folders that could be patients; 0 where they cannot."""
    try:
        found, _ = _folders(source, inputs, numbers, None)
    except DataError:
        return 0
    return len({*found.values()})


def _unknown(source: LabelSource, n: int, of: int, folders: int) -> DataError:
    table = source.table
    column = table.subject_column if table else None
    if column is not None:
        what = f"{n} of {of} images have no patient: nothing in column '{column}', nor in the header"
    else:
        what = f"nothing names the patient of {n} of {of} images (no DICOM PatientID or study, patient column, BIDS)"
    candidates = table.candidates() if table else []
    columns = f", or the column: {', '.join(candidates[:8])}" if candidates else ""
    # One folder would make one patient of everybody.
    by_folder = f"folder (each of the {folders} folders is a patient) or " if folders > 1 else ""
    return DataError(what, where=_OPTION, mend=f"Say {_OPTION} {by_folder}file (each file is a patient){columns}.")
