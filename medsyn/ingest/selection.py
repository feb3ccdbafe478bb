"""Which of the files found become part of the dataset, and which label each gets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from medsyn.errors import DataError
from medsyn.ingest import dicom
from medsyn.ingest.labels import LabelRow, LabelTable
from medsyn.ingest.scan import Input
from medsyn.ingest.source import Probe, Refused
from medsyn.progress import Progress


def of_other_modality(probes: Sequence[Probe], codes: list[str], named: bool, modality: str) -> dict[int, Refused]:
    """DICOM files that do not belong into a dataset of ``modality``."""
    refused = Refused("other_modality", f"its Modality does not belong to {modality}")
    return {p.number: refused for p in probes if not dicom.accepts(p, codes, named)}


def join(
    table: LabelTable, inputs: Sequence[Input], wanted: Sequence[Probe]
) -> tuple[dict[int, LabelRow], dict[int, Refused], list[str]]:
    """Rows of the labels for the files that will be read, the files without one, and caveats.

    Raises:
        DataError: No file has a label, or all have the same.
    """
    numbers = {p.number for p in wanted if p.kind != "npz"}
    npz = (
        ["the labels file does not apply to npz files: they carry their own labels"]
        if len(numbers) < len(wanted)
        else []
    )
    if not numbers:
        return {}, {}, npz
    matched, unmatched = table.join(inputs, numbers)
    labels = {n: row for n, row in matched.items() if n in numbers and row.label is not None}
    refused = {
        n: Refused("no_label", "its row has no label" if n in matched else "no row of the labels names it")
        for n in sorted(numbers - labels.keys())
    }
    classes = sorted({str(row.label) for row in labels.values()})
    if len(classes) < 2 and len(numbers) == len(wanted):
        found = f"only the class '{classes[0]}'" if classes else "no label at all"
        raise DataError(
            f"column '{table.label_column}' gives {found} for {len(numbers)} images",
            where=table.path,
            mend="Two classes are needed; name another column with --label-column.",
        )
    return (
        labels,
        refused,
        npz
        + (
            [f"{unmatched} rows of the labels name no file that was found, or one that another row names better"]
            if unmatched
            else []
        ),
    )


def tell_folders(pictures: Iterable[Input], progress: Progress) -> None:
    """Folder names may be classes, or patients, or dates: say that they were not taken for labels."""
    folders: dict[str, set[str]] = defaultdict(set)
    for item in pictures:
        if "/" in item.relative:
            folders[item.root].add(item.relative.split("/", 1)[0])
    if any(len(names) > 1 for names in folders.values()):
        progress.say(
            "images lie in several sub-folders; their names are not taken for classes: "
            "the dataset is unlabelled, and training needs --labels or --label-from folder"
        )


def native_side(npz: Iterable[Probe], kinds: Mapping[tuple[str, str], int]) -> int | None:
    """Side of the images of npz files, where there is nothing else and all agree."""
    if any(kind != "npz" for kind, _ in kinds):
        return None
    sides = {p.side for p in npz}
    return sides.pop() if len(sides) == 1 else None
