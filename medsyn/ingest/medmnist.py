"""MedMNIST-layout npz: train, val and test arrays with their labels in one file."""

from __future__ import annotations

import hashlib
import json
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from medsyn.data.grey import luminance
from medsyn.ingest.archive import Capped
from medsyn.ingest.deidentify import keyed
from medsyn.ingest.intensity import Display
from medsyn.ingest.source import Facts, LookFor, Plane, Probe, Recipe, Refused, most_of_plane, stream
from medsyn.workspace import SYNTHETIC

KNOWN = {  # file name -> modality and class names, as published with MedMNIST v2
    "pneumoniamnist": ("xray", ("normal", "pneumonia")),
    "breastmnist": ("ultrasound", ("malignant", "normal_benign")),
}
_SPLITS = ("train", "val", "test")


def known(path: str) -> tuple[str, tuple[str, ...]] | None:
    """Modality and class names of a published set, by its file name (``pneumoniamnist_64.npz`` counts too)."""
    return KNOWN.get(Path(path).stem.lower().split("_")[0])


def looks_like(head: bytes) -> bool:
    """Whether a file's first bytes are those of a zip, which an npz is."""
    return head.startswith(b"PK\x03\x04")


def probe(found: Probe, look: LookFor) -> None:
    """Check the layout and note the side of the images.

    Raises:
        Refused: Another archive than MedMNIST's layout, or headers that claim too much.
    """
    with stream(found) as file, zipfile.ZipFile(Capped(file)) as archive:
        # What NumPy writes. The others make gigabytes of one portion.
        if any(e.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for e in archive.infolist()):
            raise Refused("npz_compression", "arrays packed in another way than NumPy's", "failed")
        arrays = {split: _header(archive, f"{split}_images") for split in _SPLITS}
    shapes = {split: shape for split, (shape, _) in arrays.items() if shape is not None}
    if "train" not in shapes:
        if found.member is not None:
            raise Refused("nested_archive", "an archive inside of an archive: unpack the outer one first")
        raise Refused("archive", "an archive that does not hold train_images: unpack it first")
    shape = shapes["train"]
    alike = all(s[1:] == shape[1:] for s in shapes.values() if s[:1] != (0,))
    if not (len(shape) == 3 or (len(shape) == 4 and shape[3] == 3)) or min(shape) <= 0 or not alike:
        raise Refused("npz_shape", "images must be [n, height, width] or [n, height, width, 3]", "failed")
    if any(kind is not None and kind.kind not in "uif" for _, kind in arrays.values()):
        raise Refused("npz_dtype", "images must be numbers", "failed")
    values = [np.prod([float(n) for n in s]) for s in shapes.values()]
    if sum(values) > look.max_pixels or shape[1] * shape[2] > most_of_plane(look.max_pixels, len(shape) == 4):
        raise Refused("too_large", f"the header claims more than {look.max_pixels} values (--max-pixels)", "failed")
    found.side = int(shape[1]) if shape[1] == shape[2] else None
    # Training images alone are a set that somebody has still to split.
    found.official = all(shapes.get(split, (0,))[0] for split in ("val", "test"))


def read(found: Probe, recipe: Recipe) -> tuple[Facts, Iterator[Plane]]:
    """Read all images of the file; a whole official split is kept, and every image is its own subject.

    Raises:
        Refused: Labels that do not fit the images, or of several columns.
    """
    if recipe.hounsfield:
        raise Refused("no_hounsfield", "plain pictures, which hold no Hounsfield units")
    with stream(found) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    facts = Facts(
        digest=digest,
        modality=recipe.preset.modality,
        subject=keyed(recipe.key, "subject-file", digest),
        subject_from="image",
        synthetic=found.member is None and _is_synthetic_set(Path(found.path).parent),
    )
    published = known(found.member or found.path)
    return facts, _planes(found, digest, recipe, published[1] if published else None)


def _header(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...] | None, np.dtype | None]:
    """Shape and type that an array claims, (None, None) where there is no such array."""
    if f"{name}.npy" not in archive.namelist():
        return None, None
    with archive.open(f"{name}.npy") as member:
        shape, _, kind = _npy_header(member)
    return shape, kind


def _npy_header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(member)
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return reader(member)


def _is_synthetic_set(folder: Path) -> bool:
    """Whether the folder is one that `medsyn augment` made."""
    try:
        return json.loads((folder / SYNTHETIC.main_file).read_text(encoding="utf-8"))["synthetic"] is True
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _planes(found: Probe, digest: str, recipe: Recipe, names: tuple[str, ...] | None) -> Iterator[Plane]:
    number = 0
    with stream(found) as file, zipfile.ZipFile(Capped(file)) as archive:
        for split in (s for s in _SPLITS if f"{s}_images.npy" in archive.namelist()):
            with archive.open(f"{split}_images.npy") as member:
                shape, by_columns, kind = _npy_header(member)
                labels = _labels(archive, split, shape[0], names)
                for i, image in enumerate(_images(member, shape, by_columns, kind)):
                    display = Display(0.0, 255.0, "dtype") if kind == np.uint8 else None  # as published, to compare
                    colour = image.ndim == 3 and recipe.colour
                    yield Plane(
                        luminance(image) if image.ndim == 3 and not colour else image.astype(np.float32),
                        frame=number,
                        display=display,
                        label=labels[i],
                        subject=keyed(recipe.key, "subject-image", digest, split, str(i)),
                        official_split=split if found.official else None,
                    )
                    number += 1


def _images(member: IO[bytes], shape: tuple[int, ...], by_columns: bool, kind: np.dtype) -> Iterator[np.ndarray]:
    """The images of an array one by one: memory holds as much as there is, not as much as the header claims."""
    if by_columns:
        values = np.frombuffer(_exactly(member, math.prod(shape) * kind.itemsize), kind)
        yield from values.reshape(shape, order="F")
        return
    for _ in range(shape[0]):
        yield np.frombuffer(_exactly(member, math.prod(shape[1:]) * kind.itemsize), kind).reshape(shape[1:])


def _exactly(member: IO[bytes], size: int) -> bytes:
    buffer = bytearray()
    while len(buffer) < size and (part := member.read(min(size - len(buffer), 2**20))):
        buffer += part
    if len(buffer) < size:
        raise Refused("truncated", "an array that ends before its header says", "failed")
    return bytes(buffer)


def _labels(archive: zipfile.ZipFile, split: str, n: int, names: tuple[str, ...] | None) -> list[str | None]:
    if f"{split}_labels.npy" not in archive.namelist():
        return [None] * n
    with archive.open(f"{split}_labels.npy") as member:
        shape, _, kind = _npy_header(member)
        if math.prod(shape) != n or shape[0] != n:
            detail = "labels must hold one number an image (several labels are not supported)"
            raise Refused("npz_labels", detail, "failed")
        if kind.kind not in "buif":
            raise Refused("npz_labels", "labels must be whole numbers", "failed")
        flat = np.frombuffer(_exactly(member, n * kind.itemsize), kind)
    if np.issubdtype(flat.dtype, np.floating):
        if not np.isfinite(flat).all() or not np.array_equal(flat, np.rint(flat)):
            raise Refused("npz_labels", "labels must be whole numbers", "failed")
        flat = flat.astype(np.int64)
    if names is None:
        return [str(v) for v in flat]
    if not all(0 <= int(v) < len(names) for v in flat):
        raise Refused("npz_labels", f"labels must lie between 0 and {len(names) - 1} in this set", "failed")
    return [names[int(v)] for v in flat]
