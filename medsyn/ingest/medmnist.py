"""MedMNIST-layout npz: train, val and test arrays with their labels in one file."""

from __future__ import annotations

import hashlib
import json
import math
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from medsyn.data.grey import luminance
from medsyn.ingest.archive import Capped
from medsyn.ingest.contents import stream
from medsyn.ingest.deidentify import keyed
from medsyn.ingest.intensity import Display
from medsyn.ingest.published import Published, known
from medsyn.ingest.source import Facts, LookFor, Plane, Probe, Recipe, Refused, most_of_plane
from medsyn.workspace import SYNTHETIC

_SPLITS = ("train", "val", "test")
MOST_LABELS = 1024
"""An image, above which the header counts as a lie."""
_RATIO = 64
"""Values a byte of the file above which it is taken for a bomb."""


def looks_like(head: bytes) -> bool:
    """Whether a file's first bytes are those of a zip, which an npz is."""
    return head.startswith(b"PK\x03\x04")


def probe(found: Probe, look: LookFor) -> None:
    """Check the layout and note the side of the images.

    Raises:
        Refused: Another archive than MedMNIST's layout, or headers that claim too much.
    """
    arrays: dict[str, _Array] = {}
    with stream(found) as file, zipfile.ZipFile(Capped(file)) as archive:
        # What NumPy writes. The others make gigabytes of one portion.
        if any(e.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for e in archive.infolist()):
            raise Refused("npz_compression", "arrays packed in another way than NumPy's", "failed")
        for split in _SPLITS:
            if f"{split}_images.npy" in archive.namelist():
                with archive.open(f"{split}_images.npy") as member:
                    arrays[split] = _array_header(member)
        packed = file.seek(0, os.SEEK_END)
    if "train" not in arrays:
        if found.member is not None:
            raise Refused("nested_archive", "an archive inside of an archive: unpack the outer one first")
        raise Refused("archive", "an archive that does not hold train_images: unpack it first")
    shape = arrays["train"].shape
    if not (len(shape) == 3 or (len(shape) == 4 and shape[3] == 3)) or min(shape) <= 0:
        raise Refused("npz_shape", "images must be [n, height, width] or [n, height, width, 3]", "failed")
    if any(a.shape[1:] != shape[1:] for a in arrays.values() if a.shape[:1] != (0,)):
        raise Refused("npz_shape", "train, val and test must hold images of one shape", "failed")
    if any(a.dtype.kind not in "uif" or a.by_columns for a in arrays.values()):
        raise Refused("npz_dtype", "images must be numbers, the rows of an image one after another", "failed")
    claimed = sum(math.prod(a.shape) for a in arrays.values())
    # Images are read one by one, so that many are no danger, unless next to nothing claims to hold them.
    if shape[1] * shape[2] > most_of_plane(look.max_pixels, len(shape) == 4) or claimed > max(
        look.max_pixels, _RATIO * packed
    ):
        raise Refused("too_large", "the header claims more values than --max-pixels allows", "failed")
    found.side = int(shape[1]) if shape[1] == shape[2] else None
    # Training images alone are a set that somebody has still to split.
    found.official = all(arrays[split].shape[0] if split in arrays else 0 for split in ("val", "test"))


def read(found: Probe, recipe: Recipe) -> tuple[Facts, Iterator[Plane]]:
    """Read all images of the file; a whole official split is kept, and every image is its own subject.

    Several labels an image become further targets; the one that `Recipe.target` names becomes the class.

    Raises:
        Refused: Labels that do not fit the images.
    """
    if recipe.hounsfield:
        raise Refused("no_hounsfield", "plain pictures, which hold no Hounsfield units")
    with stream(found) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    published = known(found.member or found.path)
    labels = {}
    with stream(found) as file, zipfile.ZipFile(Capped(file)) as archive:
        with archive.open("train_images.npy") as member:
            colour = len(_array_header(member).shape) == 4
        for split in _SPLITS:
            if f"{split}_labels.npy" in archive.namelist():
                with archive.open(f"{split}_labels.npy") as member:
                    labels[split] = _label_array(member, recipe.max_pixels)
    notes = [published.note] if published else []
    width = max((a.shape[1] for a in labels.values() if a.ndim == 2), default=1)
    if width > 1:
        columns = _columns(width, published)
        which = f"'{recipe.target}' is" if recipe.target in columns else "none, until --label-column names it, is"
        notes.append(f"{width} labels an image are kept as targets; {which} the class")
    facts = Facts(
        digest=digest,
        modality=recipe.preset.modality,
        subject=keyed(recipe.key, "subject-file", digest),
        subject_from="image",
        photometric="rgb" if colour else "grey",
        note="; ".join(filter(None, notes)),
        synthetic=_says_synthetic(found) or (found.member is None and _is_synthetic_set(Path(found.path).parent)),
    )
    return facts, _planes(found, labels, facts, recipe)


def _says_synthetic(found: Probe) -> bool:
    """Whether the file has the key ``synthetic``, as `medsyn augment` writes it."""
    with stream(found) as file, zipfile.ZipFile(Capped(file)) as archive:
        return "synthetic.npy" in archive.namelist()


def _is_synthetic_set(folder: Path) -> bool:
    """Whether the folder is one that `medsyn augment` made."""
    try:
        return json.loads((folder / SYNTHETIC.main_file).read_text(encoding="utf-8"))["synthetic"] is True
    except (OSError, ValueError, LookupError, TypeError):
        return False


# ---- images


class _Array(NamedTuple):
    """What the header of an npy file claims; the values come next."""

    shape: tuple[int, ...]
    by_columns: bool
    dtype: np.dtype


def _array_header(member: IO[bytes]) -> _Array:
    version = np.lib.format.read_magic(member)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return _Array(*read(member))


def _label_array(member: IO[bytes], most: int) -> np.ndarray:
    shape, by_columns, dtype = _array_header(member)
    if dtype.kind not in "iubfUS":
        raise Refused("npz_labels", "labels must be whole numbers", "failed")
    if len(shape) not in (1, 2) or min(shape) < 0 or (len(shape) == 2 and shape[1] > MOST_LABELS):
        raise Refused("npz_labels", "labels must be [n] or [n, labels]", "failed")
    if math.prod(shape) * dtype.itemsize > most:
        raise Refused("too_large", f"the header claims more than {most} values (--max-pixels)", "failed")
    data = _exactly(member, math.prod(shape) * dtype.itemsize)
    return np.frombuffer(data, dtype).reshape(shape, order="F" if by_columns else "C")


def _exactly(member: IO[bytes], size: int) -> bytes:
    """So many bytes; memory holds as many as there are, not as many as a header claims."""
    buffer = bytearray()
    while len(buffer) < size and (part := member.read(min(size - len(buffer), 2**20))):
        buffer += part
    if len(buffer) < size:
        raise Refused("truncated", "an array that ends before its header says", "failed")
    return bytes(buffer)


def _planes(found: Probe, labels: dict[str, np.ndarray], facts: Facts, recipe: Recipe) -> Iterator[Plane]:
    number = 0
    published = known(found.member or found.path)
    with stream(found) as file, zipfile.ZipFile(Capped(file)) as archive:
        for split in (s for s in _SPLITS if f"{s}_images.npy" in archive.namelist()):
            with archive.open(f"{split}_images.npy") as member:
                shape, _, dtype = _array_header(member)
                # Shown as published, so that published results compare, and as generated.
                as_shown = dtype == np.uint8 or (facts.synthetic and dtype == np.uint16)
                display = Display(0.0, float(np.iinfo(dtype).max), "dtype") if as_shown else None
                told = _labels(labels.get(split), shape[0], published, recipe.target)
                for i, (label, targets) in enumerate(told):
                    yield Plane(
                        _values(member, shape[1:], dtype, recipe.colour),
                        frame=number,
                        display=display,
                        label=label,
                        subject=keyed(recipe.key, "subject-image", facts.digest, split, str(i)),
                        official_split=split if found.official else None,
                        targets=targets,
                    )
                    number += 1


def _values(member: IO[bytes], shape: tuple[int, ...], dtype: np.dtype, colour: bool) -> np.ndarray:
    """The next image: a set published with 224 pixels holds 16 GB of them, so it is never read as a whole."""
    data = _exactly(member, dtype.itemsize * math.prod(shape))
    image = np.frombuffer(data, dtype).reshape(shape)
    return luminance(image) if image.ndim == 3 and not colour else image.astype(np.float32)


# ---- labels


def _columns(width: int, published: Published | None) -> tuple[str, ...]:
    """Names of several labels an image."""
    if published and published.several and len(published.names) == width:
        return published.names
    return tuple(f"label_{i}" for i in range(width))


def _labels(
    values: np.ndarray | None, n: int, published: Published | None, target: str | None
) -> Iterator[tuple[str | None, dict[str, str]]]:
    """Class and further targets of every image.

    Raises:
        Refused: They do not fit the images.
    """
    if values is None:
        yield from ((None, {}) for _ in range(n))
        return
    if values.ndim not in (1, 2) or len(values) != n:
        raise Refused("npz_labels", "labels must be [n] or [n, labels]", "failed")
    table = values.reshape(n, -1) if n else np.zeros((0, 1), np.int64)
    if table.dtype.kind == "f":
        if not np.array_equal(table, np.rint(table)) or np.abs(table).max(initial=0) > 2**53:  # NaN equals nothing
            raise Refused("npz_labels", "labels must be whole numbers", "failed")
        table = table.astype(np.int64)
    if table.dtype.kind not in "iubUS":
        raise Refused("npz_labels", "labels must be whole numbers", "failed")
    if table.shape[1] == 1:
        yield from ((name, {}) for name in _classes(table[:, 0], published))
        return
    columns = _columns(table.shape[1], published)
    for row in table:
        targets = {name: str(int(v) if row.dtype.kind == "b" else v) for name, v in zip(columns, row, strict=True)}
        asked = targets.get(target) if target else None
        # A finding that is there or not is a class of two, called as those of masks are.
        named = {"0": f"no_{target}", "1": str(target)} if published and published.several else {}
        yield (None if asked is None else named.get(asked, asked)), targets


def _classes(labels: np.ndarray, published: Published | None) -> Iterator[str]:
    if published is None or published.several:
        yield from (str(v) for v in labels)
        return
    names = published.names
    if labels.dtype.kind not in "iu" or not all(0 <= int(v) < len(names) for v in labels):
        raise Refused("npz_labels", f"labels must lie between 0 and {len(names) - 1} in this set", "failed")
    yield from (names[int(v)] for v in labels)
