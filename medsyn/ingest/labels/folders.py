"""Classes, official splits and patients by folder name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from medsyn.data.schema import SPLITS
from medsyn.errors import DataError
from medsyn.ingest.labels.values import Joined, LabelRow, check_map, meaning

if TYPE_CHECKING:
    from medsyn.ingest.scan import Input

_SPLIT_WORDS = {
    **{"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val"},
    **{"test": "test", "testing": "test"},
}


@dataclass(frozen=True)
class Place:
    """Where a file lies: the split that its first folder names, and the folders below that."""

    split: str | None
    folders: tuple[str, ...]


def places(inputs: Iterable[Input], wanted: Set[int]) -> dict[int, Place]:
    """Where the files lie below the paths that the user named, which may be the folders of a split themselves.

    Raises:
        DataError: Folders of splits stand beside others.
    """
    found: dict[int, Place] = {}
    for item in inputs:
        if item.number not in wanted:
            continue
        root, folders = PurePath(item.root).name, _folders(item)
        if root.lower() in _SPLIT_WORDS:
            found[item.number] = Place(_SPLIT_WORDS[root.lower()], folders)
        elif folders and folders[0].lower() in _SPLIT_WORDS:
            found[item.number] = Place(_SPLIT_WORDS[folders[0].lower()], folders[1:])
        else:
            found[item.number] = Place(None, folders)
    outside = sum(place.split is None and bool(place.folders) for place in found.values())
    if outside and any(place.split for place in found.values()):
        raise DataError(
            f"folders of a split (train, val, test) stand beside others, which hold {outside} of {len(found)} images",
            where=", ".join(sorted({item.root for item in inputs})),
            mend="Name the folders of the split, or of the classes, and no other.",
        )
    return found


def join(
    inputs: Iterable[Input], wanted: Set[int], label_map: Mapping[str, str], classes: Sequence[str], *, show: bool
) -> Joined:
    """The first folder below the path that the user named, or below that of a split, is the class.

    Where the user named several folders beside each other with images right in them, each of these is a class.

    Args:
        inputs: All files.
        wanted: Numbers of those that will be read and have no label of their own.
        label_map: Folder -> class.
        classes: The classes there are, or none.
        show: Whether a message may name a folder.

    Raises:
        DataError: Folders of splits stand beside others, or a folder is none of the classes.
        UsageError: The map names a folder that is not there.
    """
    joined = Joined(where="--label-from folder")
    found = places(inputs, wanted)
    if beside := _beside(inputs, found):
        found = {n: Place(None, (name,)) for n, name in beside.items()}
        joined.told.append(f"folders: the {len({*beside.values()})} folders named are the classes")
    labelled = {n: place for n, place in found.items() if place.folders}
    names = {place.folders[0] for place in labelled.values()}
    check_map(label_map, names, "--label-from folder", show=show)
    targets = meaning(names, label_map, classes)
    unknown = sorted(name for name in names if classes and targets[name].value not in (None, *classes))
    if unknown:
        raise DataError(
            f"{len(unknown)} folders are none of the classes" + (f": {', '.join(unknown[:3])}" if show else ""),
            where="--label-from folder",
            mend=f"The classes named are: {', '.join(classes)}. Correct --classes, or drop folders with --map.",
        )
    rows: dict[int, LabelRow] = {}
    joined.rows = rows
    counts = Counter(place.split for place in found.values() if place.split)
    whole = {"train", "val", "test"} <= counts.keys()
    for n, place in labelled.items():
        target = targets[place.folders[0]]
        rows[n] = LabelRow(target.value, target.state, official_split=place.split if whole else None)
    if counts:
        told = ", ".join(f"{split} {counts[split]}" for split in SPLITS if counts[split])
        joined.told.append(
            f"folders: official split kept ({told} files)"
            if whole
            else f"folders of a split ({told} files) that is not train, val and test: a split is drawn anew"
        )
        joined.caveats += [] if whole else joined.told[-1:]
    return joined


def may_be_classes(inputs: Iterable[Input]) -> bool:
    """Whether `join` would find more than one folder."""
    firsts, roots = set[str](), set[str]()
    for item in inputs:
        firsts.update(_folders(item)[:1])
        roots.add(item.root)
    return len(firsts) > 1 or (not firsts and len(roots) > 1)


def _beside(inputs: Iterable[Input], found: Mapping[int, Place]) -> dict[int, str]:
    """The name of every file's folder, where these were named themselves, beside each other; else nothing."""
    if any(place.folders or place.split for place in found.values()):
        return {}
    roots = {i.number: PurePath(i.root) for i in inputs if i.number in found and i.member is None}
    several = len({*roots.values()}) > 1 and len({root.parent for root in roots.values()}) == 1
    return {n: root.name for n, root in roots.items()} if several and len(roots) == len(found) else {}


def _folders(item: Input) -> tuple[str, ...]:
    """The folders between the path that the user named and the file; an archive is no folder."""
    if item.member is None:
        return tuple(item.relative.split("/")[:-1])
    archive = item.relative.removesuffix(item.member).rstrip("/")
    return (*archive.split("/")[:-1], *item.member.split("/")[:-1])
