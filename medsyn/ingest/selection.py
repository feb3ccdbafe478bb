"""Which of the files found become part of the dataset, and which label each gets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from medsyn.config import IngestOptions
from medsyn.errors import DataError
from medsyn.ingest import dicom
from medsyn.ingest.labels import LabelRow, LabelTable
from medsyn.ingest.ledger import Ledger, Row
from medsyn.ingest.scan import Input
from medsyn.ingest.source import Probe
from medsyn.progress import Progress


def readable(probes: Sequence[Probe], ledger: Ledger, options: IngestOptions) -> list[Probe]:
    """Enter the refused files in the ledger; what is left can be read.

    Raises:
        DataError: Nothing is left.
    """
    for p in probes:
        if p.refused:
            ledger.add(Row(p.number, p.kind, p.refused.outcome, p.refused.reason, p.refused.detail))
    wanted = [p for p in probes if p.refused is None]
    if not wanted:
        reasons = ", ".join(f"{reason} {n}" for reason, n in ledger.reasons().items())
        raise DataError(
            f"no readable image among {len(probes)} files ({reasons})",
            where=", ".join(options.paths),
            mend="DICOM, NIfTI, PNG, JPEG, TIFF, BMP and MedMNIST-layout npz are read.",
        )
    return wanted


def of_modality(wanted: Sequence[Probe], ledger: Ledger, codes: list[str], named: bool, modality: str) -> list[Probe]:
    good = []
    for p in wanted:
        if p.kind != "dicom" or dicom.accepts(p, codes, named):
            good.append(p)
        else:
            ledger.add(
                Row(p.number, p.kind, "skipped", "other_modality", f"its Modality does not belong to {modality}")
            )
    return good


def join(
    table: LabelTable | None, inputs: Sequence[Input], wanted: Sequence[Probe], ledger: Ledger
) -> tuple[dict[int, LabelRow], list[str]]:
    """Rows of the labels for the files that will be read; files without one go to the ledger.

    Raises:
        DataError: No file has a label, or all have the same.
    """
    if table is None:
        return {}, []
    numbers = {p.number for p in wanted if p.kind != "npz"}
    npz = (
        ["the labels file does not apply to npz files: they carry their own labels"]
        if len(numbers) < len(wanted)
        else []
    )
    if not numbers:
        return {}, npz
    kinds = {p.number: p.kind for p in wanted}
    matched, unmatched = table.join(inputs, numbers)
    labels = {n: row for n, row in matched.items() if n in numbers and row.label is not None}
    for n in sorted(numbers - labels.keys()):
        detail = "its row has no label" if n in matched else "no row of the labels names it"
        ledger.add(Row(n, kinds[n], "skipped", "no_label", detail))
    classes = sorted({str(row.label) for row in labels.values()})
    if len(classes) < 2 and len(numbers) == len(wanted):
        found = f"only the class '{classes[0]}'" if classes else "no label at all"
        raise DataError(
            f"column '{table.label_column}' gives {found} for {len(numbers)} images",
            where=table.path,
            mend="Two classes are needed; name another column with --label-column.",
        )
    return labels, npz + (
        [f"{unmatched} rows of the labels name no file that was found, or one that another row names better"]
        if unmatched
        else []
    )


def tell_folders(inputs: Sequence[Input], wanted: Sequence[Probe], progress: Progress) -> None:
    """Folder names may be classes, or patients, or dates: say that they were not taken for labels."""
    pictures = {p.number for p in wanted if p.kind == "raster"}
    folders: dict[str, set[str]] = defaultdict(set)
    for item in inputs:
        if item.number in pictures and "/" in item.relative:
            folders[item.root].add(item.relative.split("/", 1)[0])
    if any(len(names) > 1 for names in folders.values()):
        progress.say(
            "images lie in several sub-folders; their names are not taken for classes: "
            "the dataset is unlabelled, and training needs --labels"
        )


def side(options: IngestOptions, wanted: Sequence[Probe], default: int) -> int:
    """Side of the stored images: as asked, the native one of npz files, or the preset's."""
    native = {p.side for p in wanted}
    side = native.pop() if len(native) == 1 and all(p.kind == "npz" for p in wanted) else None
    return options.size or side or default
