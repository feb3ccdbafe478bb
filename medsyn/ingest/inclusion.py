"""Which of the files found become part of the dataset, and which label each gets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from medsyn.errors import DataError
from medsyn.ingest import dicom
from medsyn.ingest.labels import Joined, LabelSource
from medsyn.ingest.labels.folders import may_be_classes
from medsyn.ingest.numbered import NumberSet
from medsyn.ingest.scan import Input
from medsyn.ingest.source import Probe, Refused
from medsyn.progress import Progress

_BY_FOLDER = "--label-from folder"

_NOT_RAW = Refused("not_raw", "in a folder of BIDS that holds no raw data")
_NOTHING = Refused("no_label", "nothing names its class")
_UNCERTAIN = Refused("uncertain_label", "its label is uncertain")
_EMPTY = Refused("no_label", "its label is empty")


def of_other_modality(probes: Sequence[Probe], codes: list[str], named: bool, modality: str) -> dict[int, Refused]:
    """DICOM files that do not belong into a dataset of ``modality``."""
    refused = Refused("other_modality", f"its Modality does not belong to {modality}")
    return {p.number: refused for p in probes if not dicom.accepts(p, codes, named)}


def join(
    source: LabelSource, inputs: Iterable[Input], wanted: Iterable[Probe], key: bytes, masks: bool
) -> tuple[Joined, dict[int, Refused]]:
    """What is said of the files that will be read, and those that are left out for what is said, or not said.

    Args:
        source: Who says it.
        inputs: All files; iterated several times, as the next.
        wanted: Those that will be read.
        key: Project key.
        masks: Whether there are segmentations.

    Raises:
        DataError: No file has a label, or all have the same.
    """
    not_raw = source.not_raw(inputs)
    refused, numbers, npz = dict[int, Refused](), NumberSet(), False
    for p in wanted:
        if p.number in not_raw:
            refused[p.number] = _NOT_RAW
        elif p.kind == "npz":
            npz = True
        else:
            numbers.add(p.number)
    joined = source.join(inputs, wanted, numbers, key) if numbers else Joined(labelled=False)
    if npz and source.table is not None:
        joined.caveats.append("the labels file does not apply to npz files: they carry their own labels")
    if joined.unmatched:
        joined.caveats.append(
            f"{joined.unmatched} rows of the labels name no file that was found, or one that another row names better"
        )
    if not joined.labelled:
        return joined, refused
    there: set[str] = set()
    for n in numbers:
        row = joined.rows.get(n)
        if row is None:
            refused[n] = _NOTHING
        elif row.state == "uncertain":
            refused[n] = _UNCERTAIN
        elif row.label is None:
            refused[n] = _EMPTY
        else:
            there.add(row.label)
    if len(there) < 2 and not npz:
        raise _one_class(source, inputs, wanted, sorted(there), joined.where, masks)
    return joined, refused


def _one_class(
    source: LabelSource,
    inputs: Iterable[Input],
    wanted: Iterable[Probe],
    classes: Sequence[str],
    where: str,
    masks: bool,
) -> DataError:
    numbers = NumberSet(p.number for p in wanted)
    scans = (i for i in inputs if i.number in numbers)
    others = ways_to_label(scans, {(p.kind, ""): 1 for p in wanted}, masks)
    if source.options.label_from is None:
        others[0] = "another --label-column"
    elif source.options.label_from == "folder":
        others = ["the path of the folder that holds one folder a class", *(w for w in others if w != _BY_FOLDER)]
    found = f"only the class '{classes[0]}'" if classes else "no label at all"
    return DataError(
        f"{found} for {len(numbers)} images",
        where=where,
        mend=f"Two classes are needed: say {', or '.join(others)}.",
    )


def ways_to_label(scans: Iterable[Input], kinds: Mapping[tuple[str, str], int], masks: bool) -> list[str]:
    """Options that could give labels to these scans.

    Args:
        scans: All but npz files.
        kinds: (kind, DICOM Modality) -> files.
        masks: Whether there are segmentations.
    """
    there = {kind for kind, _ in kinds}
    if there == {"npz"}:
        return ["--label-column TASK"]
    ways = ["--labels labels.csv"]
    ways += [_BY_FOLDER] if may_be_classes(scans) else []
    ways += ["--label-from tag:KEYWORD"] if "dicom" in there else []
    return ways + (['--mask-label "NAME>0"'] if masks else [])


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


def native_side(files: Iterable[Probe]) -> int | None:
    """Side of the images of npz files and of synthetic pictures, where there is nothing else and all agree."""
    side = None
    for p in files:
        if (p.kind != "npz" and not p.picture) or p.side is None or p.side != (side or p.side):
            return None
        side = p.side
    return side
