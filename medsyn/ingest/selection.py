"""Which of the files found become part of the dataset, and which label each gets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from medsyn.config import IngestOptions
from medsyn.errors import DataError
from medsyn.ingest import dicom
from medsyn.ingest.labels import Joined, LabelSource
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
    source: LabelSource, inputs: Sequence[Input], wanted: Sequence[Probe], ledger: Ledger, key: bytes
) -> tuple[Joined, list[Probe]]:
    """What is said of the files that will be read, and these files; those without a label go to the ledger.

    Raises:
        DataError: No file has a label, or all have the same.
    """
    not_raw = source.not_raw(inputs)
    for p in (p for p in wanted if p.number in not_raw):
        ledger.add(Row(p.number, p.kind, "skipped", "not_raw", "in a folder of BIDS that holds no raw data"))
    wanted = [p for p in wanted if p.number not in not_raw]
    with_own = [p for p in wanted if p.kind == "npz"]
    others = [p for p in wanted if p.kind != "npz"]
    joined = source.join(inputs, others, key) if others else Joined(labelled=False)
    if with_own and source.table is not None:
        joined.caveats.append("the labels file does not apply to npz files: they carry their own labels")
    if joined.unmatched:
        joined.caveats.append(
            f"{joined.unmatched} rows of the labels name no file that was found, or one that another row names better"
        )
    if not joined.labelled:
        return joined, wanted
    kept = set()
    for p in others:
        row = joined.rows.get(p.number)
        if row is not None and row.label is not None:
            kept.add(p.number)
        elif row is None:
            ledger.add(Row(p.number, p.kind, "skipped", "no_label", "nothing names its class"))
        elif row.state == "uncertain":
            ledger.add(Row(p.number, p.kind, "skipped", "uncertain_label", "its label is uncertain"))
        else:
            ledger.add(Row(p.number, p.kind, "skipped", "no_label", "its label is empty"))
    classes = sorted({str(joined.rows[n].label) for n in kept})
    if len(classes) < 2 and not with_own:
        found = f"only the class '{classes[0]}'" if classes else "no label at all"
        raise DataError(
            f"{found} for {len(others)} images",
            where=joined.where,
            mend="Two classes are needed; name another column with --label-column, or see --label-from.",
        )
    return joined, [p for p in wanted if p.kind == "npz" or p.number in kept]


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
            "the dataset is unlabelled, and training needs --labels, or --label-from folder"
        )


def side(options: IngestOptions, wanted: Sequence[Probe], default: int) -> int:
    """Side of the stored images: as asked, the native one of npz files, or the preset's."""
    native = {p.side for p in wanted}
    side = native.pop() if len(native) == 1 and all(p.kind == "npz" for p in wanted) else None
    return options.size or side or default
