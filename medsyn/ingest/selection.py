"""Which of the files found become part of the dataset, and which label each gets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from medsyn.errors import DataError
from medsyn.ingest import dicom
from medsyn.ingest.labels import Joined, LabelSource
from medsyn.ingest.scan import Input
from medsyn.ingest.source import Probe, Refused
from medsyn.progress import Progress


def of_other_modality(probes: Sequence[Probe], codes: list[str], named: bool, modality: str) -> dict[int, Refused]:
    """DICOM files that do not belong into a dataset of ``modality``."""
    refused = Refused("other_modality", f"its Modality does not belong to {modality}")
    return {p.number: refused for p in probes if not dicom.accepts(p, codes, named)}


def join(
    source: LabelSource, inputs: Iterable[Input], wanted: Iterable[Probe], key: bytes
) -> tuple[Joined, dict[int, Refused]]:
    """What is said of the files that will be read, and those that are left out for what is said, or not said.

    Args:
        source: Who says it.
        inputs: All files; iterated several times, as the next.
        wanted: Those that will be read.
        key: Project key.

    Raises:
        DataError: No file has a label, or all have the same.
    """
    kinds = {p.number: p.kind for p in wanted}
    not_raw = source.not_raw(inputs) & kinds.keys()
    refused = {n: Refused("not_raw", "in a folder of BIDS that holds no raw data") for n in not_raw}
    kinds = {n: kind for n, kind in kinds.items() if n not in not_raw}
    numbers = {n for n, kind in kinds.items() if kind != "npz"}
    joined = source.join(inputs, wanted, numbers, key) if numbers else Joined(labelled=False)
    if len(numbers) < len(kinds) and source.table is not None:
        joined.caveats.append("the labels file does not apply to npz files: they carry their own labels")
    if joined.unmatched:
        joined.caveats.append(
            f"{joined.unmatched} rows of the labels name no file that was found, or one that another row names better"
        )
    if not joined.labelled:
        return joined, refused
    for n in sorted(numbers):
        row = joined.rows.get(n)
        if row is None:
            refused[n] = Refused("no_label", "nothing names its class")
        elif row.state == "uncertain":
            refused[n] = Refused("uncertain_label", "its label is uncertain")
        elif row.label is None:
            refused[n] = Refused("no_label", "its label is empty")
    classes = sorted({str(joined.rows[n].label) for n in numbers - refused.keys()})
    if len(classes) < 2 and len(numbers) == len(kinds):
        found = f"only the class '{classes[0]}'" if classes else "no label at all"
        raise DataError(
            f"{found} for {len(numbers)} images",
            where=joined.where,
            mend="Two classes are needed; name another column with --label-column, or see --label-from.",
        )
    return joined, refused


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
