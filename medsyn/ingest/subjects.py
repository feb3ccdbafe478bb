"""Which patient a file belongs to, where its header does not say, and the refusal to guess."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Literal

from medsyn.errors import DataError
from medsyn.ingest.deidentify import keyed
from medsyn.ingest.labels import LabelRow, LabelSource
from medsyn.ingest.labels.folders import Place, places
from medsyn.ingest.source import Probe

if TYPE_CHECKING:
    from medsyn.ingest.scan import Input

_OPTION = "--subject-from"


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
    source: LabelSource, inputs: Sequence[Input], wanted: Sequence[Probe], rows: Mapping[int, LabelRow], key: bytes
) -> dict[int, Claim]:
    """Settle the patient of every file that will be read.

    A patient is named by the header (PatientID, else StudyInstanceUID), by the labels table, by BIDS, or by
    ``--subject-from``: ``folder``, the file's own folder; ``file``, every file another patient. Without any of these
    images of one patient would end up in several splits, so that nothing is assumed. npz files cannot name patients.

    Args:
        source: What was said.
        inputs: All files.
        wanted: Those that will be read.
        rows: Of the labels, by ledger number.
        key: Project key.

    Returns:
        Ledger number -> claim; none for files whose header, or whose being a file, says it all.

    Raises:
        DataError: There are files of which nothing names the patient.
    """
    files = [p for p in wanted if p.kind != "npz"]
    numbers = {p.number for p in files}
    participants = source.participants(inputs)
    folders = _folders(source, inputs, numbers, key) if source.options.subject_from == "folder" else {}
    claims: dict[int, Claim] = {}
    nobody = []
    for p in files:
        names: list[tuple[str, Literal["table", "bids", "folder"]]] = []
        row = rows.get(p.number)
        if row is not None and row.subject is not None:
            names.append((row.subject, "table"))
        if p.number in participants:
            dataset, participant = participants[p.number]
            names.append((dataset.subject(participant, key), "bids"))
        if p.number in folders:
            names.append((folders[p.number], "folder"))
        if names:
            claims[p.number] = Claim(*names[0], names[1][0] if len(names) > 1 else None)
        elif not p.names.keys() & {"patient", "study"}:
            nobody.append(p)
    if nobody and source.options.subject_from != "file":
        raise _unknown(source, len(nobody), len(files))
    return claims


def _folders(source: LabelSource, inputs: Sequence[Input], numbers: set[int], key: bytes) -> dict[int, str]:
    """Keyed folder of every file, without the folders of splits and classes above it: a patient may be in several."""
    by_class = source.options.label_from == "folder"
    found = {}
    for item in inputs:
        if item.number in numbers:
            found[item.number] = PurePath(item.root).name
    where = places(inputs, numbers)
    direct = sum(by_class and len(place.folders) == 1 for place in where.values())
    if direct:
        raise DataError(
            f"{direct} of {len(where)} images lie in the folder of their class itself, not in a patient's",
            where=_OPTION,
            mend="Say --subject-from file if every file is another patient, or name a column of --labels.",
        )
    return {
        n: keyed(key, "subject-folder", "/".join(_below_class(place, by_class)) or found[n])
        for n, place in where.items()
    }


def _below_class(place: Place, by_class: bool) -> tuple[str, ...]:
    return place.folders[1:] if by_class else place.folders


def _unknown(source: LabelSource, n: int, of: int) -> DataError:
    table = source.table
    column = table.subject_column if table else None
    if column is not None:
        what = f"{n} of {of} images have no patient: nothing in column '{column}', nor in the header"
    else:
        what = f"nothing names the patient of {n} of {of} images (no DICOM PatientID or study, patient column, BIDS)"
    candidates = table.candidates() if table else []
    columns = f", or the column: {', '.join(candidates[:8])}" if candidates and column is None else ""
    return DataError(
        what,
        where=_OPTION,
        mend=f"Say {_OPTION} folder (each folder is a patient) or file (each file is){columns}.",
    )
