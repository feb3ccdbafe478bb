"""Which files there are, and what each one is: by content, never by suffix."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from medsyn.config import MODALITIES, Modality, Preset, load_preset
from medsyn.errors import DataError, UsageError
from medsyn.ingest import dicom, medmnist, nifti, raster
from medsyn.ingest.source import LookFor, Probe, Refused, quiet, stream

_WORKSPACE = "medsyn.json"


@dataclass(frozen=True)
class Input:
    """One file, its ledger number (1..N in the order of sorted paths) and its path below what the user named.

    A folder that was not entered is an input too, with the reason in ``refused``.
    """

    number: int
    path: str
    root: str
    relative: str
    refused: Refused | None = None
    member: str | None = None


def find(paths: Sequence[str]) -> list[Input]:
    """All files below the paths, each once, and the folders that were not entered.

    Links to folders are not followed. A workspace is not entered: what it holds was ingested already, or generated.

    Raises:
        DataError: No such path, or no file at all.
    """
    found: dict[str, tuple[str, str, Refused | None]] = {}
    for given in paths:
        root = Path(given).absolute()
        if root.is_file():
            found.setdefault(str(root), (str(root.parent), root.name, None))
        elif root.is_dir():
            for path, refused in _below(root):
                found.setdefault(str(path), (str(root), path.relative_to(root).as_posix(), refused))
        else:
            raise DataError("no such file or folder", where=given, mend="Check the path.")
    if not found:
        raise DataError("no file in it", where=", ".join(paths), mend="Name a folder with scans.")
    return [Input(i, path, *found[path]) for i, path in enumerate(sorted(found), 1)]


def _below(root: Path) -> Iterator[tuple[Path, Refused | None]]:
    def unreadable(error: OSError) -> None:
        closed.append(Path(error.filename))

    closed: list[Path] = []
    for folder, below, names in os.walk(root, onerror=unreadable):
        if _WORKSPACE in names:
            below.clear()
            yield Path(folder), Refused("workspace", "a medsyn workspace: name a folder inside of it to ingest that")
            continue
        yield from ((Path(folder, name), None) for name in names)
        for name in below:
            if Path(folder, name).is_symlink():
                yield Path(folder, name), Refused("link_to_folder", "a link to a folder: name the folder itself")
    for folder in closed:
        yield folder, Refused("unreadable_folder", "a folder that may not be read", "failed")


def probe_chunk(inputs: Sequence[Input], look: LookFor) -> list[Probe]:
    """First look at some files; whatever is wrong with one is in its `Probe`."""
    with quiet():
        return [_probe(item, look) for item in inputs]


def _probe(item: Input, look: LookFor) -> Probe:
    found = Probe(item.number, item.path, item.member)
    try:
        if item.refused:
            raise item.refused
        if not Path(item.path).is_file():
            raise Refused("not_a_file", "neither a file nor a link to one")
        with stream(found) as file:
            head = file.read(4096)
        if not head:
            raise Refused("empty", "an empty file", "failed")
        if dicom.looks_like(head):
            found.kind = "dicom"
            dicom.probe(found, look)
        elif nifti.looks_like(head):
            found.kind = "nifti"
        elif raster.looks_like(head):
            found.kind = "raster"
        elif medmnist.looks_like(head):
            found.kind = "npz"
            medmnist.probe(found, look)
        else:
            raise Refused("not_an_image", "not a format that is read")
    except Refused as refused:
        found.refused = refused
    except Exception as error:  # hostile input may raise anything; its text may quote the header
        found.refused = Refused("unreadable", f"the header cannot be read ({type(error).__name__})", "failed")
    return found


def choose_modality(probes: Sequence[Probe], named: Modality | None) -> tuple[Preset, str]:
    """The preset of the dataset, and how it was found.

    Raises:
        UsageError: Nothing says which.
    """
    if named:
        return load_preset(named), "named"
    votes = dict.fromkeys(MODALITIES, 0)
    readable = [p for p in probes if p.refused is None]
    for modality in MODALITIES:
        codes = load_preset(modality).dicom_modalities
        votes[modality] = sum(p.kind == "dicom" and p.modality in codes for p in readable)
    best = max(MODALITIES, key=lambda m: votes[m])
    if votes[best]:
        return load_preset(best), f"Modality of {votes[best]} of {len(readable)} readable files"
    published = {known.modality for p in readable if p.kind == "npz" and (known := medmnist.known(p.path))}
    if len(published) == 1 and (shown := published.pop()):
        return load_preset(shown), "a published MedMNIST file"
    raise UsageError(
        "nothing in the files says what they show", where="--modality", mend=f"Say --modality {'|'.join(MODALITIES)}."
    )


def order_slices(probes: Sequence[Probe]) -> None:
    """Number the DICOM slices of every series along its normal (PS3.3 C.7.6.2.1.1), not by InstanceNumber."""
    series: dict[str, list[Probe]] = defaultdict(list)
    for p in probes:
        if p.kind == "dicom" and p.refused is None and p.position is not None and p.series:
            series[p.series].append(p)
    for members in series.values():
        members.sort(key=lambda p: (p.position, p.instance, p.number))
        for index, p in enumerate(members):
            p.slice_index = index
