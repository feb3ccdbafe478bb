"""Which files there are, and what each one is: by content, never by suffix."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace

from medsyn.config import MODALITIES, Modality, Preset, load_preset
from medsyn.data.tables import SUFFIXES
from medsyn.errors import DataError, UsageError
from medsyn.ingest import archive, dicom, dicomdir, isolation, medmnist, nifti, raster, volume
from medsyn.ingest.contents import stream
from medsyn.ingest.published import known
from medsyn.ingest.source import (
    MAX_VALUES,
    NOT_A_FILES_FAULT,
    FileKind,
    LookFor,
    Probe,
    Refused,
    most_bytes,
    quiet,
)

_WORKSPACE = "medsyn.json"
LABELS_FILE = Refused("labels_file", "the table that says something of the others: read, but no scan")


@dataclass(frozen=True)
class Input:
    """One file, or one member of an archive, and its path below what the user named.

    A folder or an archive that was not entered is an input too, with the reason in ``refused``.

    Attributes:
        number: Ledger number, 1..N in the order of paths.
        path: Of the file, or of the archive.
        root: The folder or archive that the user named, or the folder of the file named.
        relative: Path below ``root``; of a member, its name below the archive's.
        member: Name inside of the archive.
        size: Bytes; of a member as declared, 0 where unknown.
        mtime_ns: Time of the last change of the file or archive, 0 where unknown.
    """

    number: int
    path: str
    root: str
    relative: str
    refused: Refused | None = None
    member: str | None = None
    size: int = 0
    mtime_ns: int = 0

    @property
    def name(self) -> str:
        """The whole path, which for a member goes on inside of its archive."""
        return self.path if self.member is None else f"{self.path}/{self.member}"


def find(paths: Sequence[str], max_pixels: int = MAX_VALUES, tables: Set[str] = frozenset()) -> Iterator[Input]:
    """All files below the paths, each once, and the folders and archives that were not entered.

    Folders are walked in the order of names, and memory holds one folder's names at a time. Links to folders are not
    followed. A workspace is not entered: what it holds was ingested already, or generated. A zip is entered, a zip
    inside of it is not. A DICOMDIR that is named itself stands for the files that it refers to.

    Args:
        paths: Files and folders.
        max_pixels: Values of one file above which a member's declared size counts as a lie.
        tables: Absolute paths of files that are no scans, being read as labels.

    Raises:
        DataError: No such path (at once), or no file at all (at the end).
    """
    named: dict[str, None] = {}
    for given in paths:
        root = os.path.abspath(given)
        if not os.path.isfile(root) and not os.path.isdir(root):
            raise DataError("no such file or folder", where=given, mend="Check the path.")
        named[root] = None
    return _numbered(sorted(named), max_pixels, ", ".join(paths), tables)


def _numbered(roots: Sequence[str], max_pixels: int, given: str, tables: Set[str]) -> Iterator[Input]:
    number, known = 0, frozenset(roots)
    for root in roots:
        found = _below(root, known, max_pixels) if os.path.isdir(root) else _named_file(root, known, max_pixels)
        for item in found:
            number += 1
            is_table = item.path in tables and item.member is None
            yield replace(item, number=number, refused=LABELS_FILE if is_table else item.refused)
    if not number:
        raise DataError("no file in it", where=given, mend="Name a folder with scans.")


def _below(root: str, named: Set[str], max_pixels: int) -> Iterator[Input]:
    """The files of a folder; what is named itself is left for its own turn."""
    waiting: list[Iterator[os.DirEntry[str]]] = []

    def enter(folder: str) -> Iterator[Input]:
        try:
            with os.scandir(folder) as entries:
                names = {_place(entry): entry for entry in entries}
        except OSError:
            yield _left_out(folder, root, "unreadable_folder", "a folder that may not be read", "failed")
            return
        if _WORKSPACE in names:
            detail = "a medsyn workspace: name a folder inside of it to ingest that"
            yield _left_out(folder, root, "workspace", detail)
            return
        waiting.append(names[place] for place in sorted(names))

    yield from enter(root)
    while waiting:
        entry = next(waiting[-1], None)
        if entry is None:
            waiting.pop()
        elif entry.path in named:
            continue
        elif _is(entry.is_dir):
            if entry.is_symlink():
                detail = "a link to a folder: name the folder itself"
                yield _left_out(entry.path, root, "link_to_folder", detail)
            else:
                yield from enter(entry.path)
        elif _is(entry.is_file):
            yield from _file(entry.path, root, max_pixels)
        else:
            yield _left_out(entry.path, root, "not_a_file", "neither a file nor a link to one")


def _place(entry: os.DirEntry[str]) -> str:
    """What sorts a folder's entries as their whole paths would be: a folder's files have a slash behind its name."""
    return entry.name + "/" if _is(entry.is_dir) and not entry.is_symlink() else entry.name


def _is(kind: Callable[[], bool]) -> bool:
    try:
        return kind()
    except OSError:  # a link to itself
        return False


def _left_out(path: str, root: str, reason: str, detail: str, outcome: str = "skipped") -> Input:
    return Input(0, path, root, _relative(path, root), Refused(reason, detail, outcome))


def _relative(path: str, root: str) -> str:
    return path[len(root) :].lstrip(os.sep).replace(os.sep, "/")


def _named_file(path: str, named: Set[str], max_pixels: int) -> Iterator[Input]:
    folder = os.path.dirname(path)
    try:
        with open(path, "rb") as file:
            is_index = dicomdir.looks_like(file.read(4096))
        walked = is_index and any(path.startswith(other + os.sep) for other in named)
        references = dicomdir.references(path) if is_index and not walked else None
    except Refused as refused:
        yield Input(0, path, folder, os.path.basename(path), refused)
        return
    except OSError:
        references = None
    if references is None:
        yield from _file(path, folder, max_pixels, named=True)
        return
    yield from _file(path, folder, max_pixels)
    for relative, why_not in references:
        referred = os.path.join(folder, relative)
        if why_not:
            yield Input(0, referred, folder, relative, why_not)
        elif referred not in named:
            yield from _file(referred, folder, max_pixels)


def _file(path: str, root: str, max_pixels: int, *, named: bool = False) -> Iterator[Input]:
    """A file as one input, an archive as one a member."""
    relative, size, changed = _relative(path, root), 0, 0
    try:
        state = os.stat(path)
        size, changed = state.st_size, state.st_mtime_ns
        with open(path, "rb") as file:
            packed = archive.looks_like(file.read(4))
        members = archive.members(path, max_pixels) if packed else None
    except Refused as refused:
        yield Input(0, path, root, relative, refused, None, size, changed)
        return
    except OSError:
        closed = Refused("unreadable_file", "a file that may not be read", "failed")
        yield Input(0, path, root, relative, closed, None, size, changed)
        return
    if members is None:
        yield Input(0, path, root, relative, None, None, size, changed)
        return
    root, prefix = (path, "") if named else (root, relative + "/")
    for member in members:
        yield Input(0, path, root, prefix + member.name, member.refused, member.name, member.size, changed)


def probe_chunk(inputs: Sequence[Input], look: LookFor) -> list[Probe]:
    """First look at some files; whatever is wrong with one is in its `Probe`."""
    with quiet():
        return [_probe(item, look) for item in inputs]


def _probe(item: Input, look: LookFor) -> Probe:
    isolation.at(item.number)
    found = Probe(item.number, item.path, item.member)
    try:
        if item.refused:
            raise item.refused
        with stream(found) as file:
            head = file.read(4096)
            size = file.seek(0, os.SEEK_END)
        if not head:
            raise Refused("empty", "an empty file", "failed")
        found.kind = _kind(head)
        if found.kind != "nifti" and size > most_bytes(look.max_pixels):
            limit = most_bytes(look.max_pixels) >> 20
            raise Refused("too_large", f"a file of more than {limit} MiB (--max-pixels)", "failed")
        if found.kind == "dicom":
            dicom.probe(found, look)
        elif found.kind == "npz":
            medmnist.probe(found, look)
        elif found.kind == "nifti":
            nifti.probe(found, head)
        elif found.kind == "raster":
            raster.probe(found, head)
        elif found.kind == "other":
            if volume.is_data(found):
                raise Refused("nifti_pair", "the data of the NIfTI header beside it")
            if item.name.lower().endswith(".nii.gz"):
                raise Refused("corrupt", "named as a NIfTI volume, but none", "failed")
            if archive.another(head):
                raise Refused("archive", "an archive of a kind that is not read: unpack it first")
            claims = (item.member or item.path).lower().endswith(SUFFIXES)
            detail = "called as an image, but not one" if claims else "not a format that is read"
            raise Refused("not_an_image", detail, "failed" if claims else "skipped")
    except Refused as refused:
        found.refused = refused
    except NOT_A_FILES_FAULT:
        raise
    except BaseException as error:  # hostile input may raise anything; its text may quote the header
        found.refused = Refused("unreadable", f"the header cannot be read ({type(error).__name__})", "failed")
    return found


def _kind(head: bytes) -> FileKind:
    if dicom.looks_like(head):
        return "dicom"
    if nifti.looks_like(head):
        return "nifti"
    if raster.looks_like(head):
        return "raster"
    return "npz" if medmnist.looks_like(head) else "other"


def choose_modality(
    kinds: Mapping[tuple[str, str], int], npz: Sequence[str], named: Modality | None
) -> tuple[Preset, str]:
    """The preset of the dataset, and how it was found.

    Args:
        kinds: (kind, DICOM Modality) -> readable files.
        npz: Paths of npz files.
        named: What the user says.

    Raises:
        UsageError: Nothing says which.
    """
    if named:
        return load_preset(named), "named"
    votes = {
        modality: sum(n for (kind, code), n in kinds.items() if kind == "dicom" and code in codes)
        for modality in MODALITIES
        for codes in [load_preset(modality).dicom_modalities]
    }
    best = max(MODALITIES, key=lambda m: votes[m])
    if votes[best]:
        return load_preset(best), f"Modality of {votes[best]} of {sum(kinds.values())} readable files"
    published = {of.modality for path in npz if (of := known(path)) and of.modality}
    if len(published) == 1:
        return load_preset(published.pop()), "a published MedMNIST file"
    raise UsageError(
        "nothing in the files says what they show", where="--modality", mend=f"Say --modality {'|'.join(MODALITIES)}."
    )
