"""MedMNIST-layout npz: train, val and test arrays with their labels in one file."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from medsyn.data.grey import luminance
from medsyn.ingest.deidentify import keyed
from medsyn.ingest.intensity import Display
from medsyn.ingest.source import Facts, LookFor, Plane, Probe, Recipe, Refused, content, stream
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
        Refused: Another archive than MedMNIST's layout.
    """
    shapes = {}
    with stream(found) as file, zipfile.ZipFile(file) as archive:
        for split in _SPLITS:
            if f"{split}_images.npy" in archive.namelist():
                with archive.open(f"{split}_images.npy") as member:
                    version = np.lib.format.read_magic(member)
                    read = (
                        np.lib.format.read_array_header_1_0
                        if version == (1, 0)
                        else np.lib.format.read_array_header_2_0
                    )
                    shapes[split], _, _ = read(member)
    if "train" not in shapes:
        raise Refused("archive", "an archive that does not hold train_images: unpack it first")
    shape = shapes["train"]
    if not (len(shape) == 3 or (len(shape) == 4 and shape[3] == 3)) or 0 in shape:
        raise Refused("npz_shape", "images must be [n, height, width] or [n, height, width, 3]", "failed")
    if sum(np.prod([float(n) for n in s]) for s in shapes.values()) > look.max_pixels:
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
    digest = hashlib.sha256(content(found)).hexdigest()
    facts = Facts(
        digest=digest,
        modality=recipe.preset.modality,
        subject=keyed(recipe.key, "subject-file", digest),
        subject_from="image",
        synthetic=_is_synthetic_set(Path(found.path).parent),
    )
    published = known(found.path)
    return facts, _planes(found, digest, recipe, published[1] if published else None)


def _is_synthetic_set(folder: Path) -> bool:
    """Whether the folder is one that `medsyn augment` made."""
    try:
        return json.loads((folder / SYNTHETIC.main_file).read_text(encoding="utf-8"))["synthetic"] is True
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _planes(found: Probe, digest: str, recipe: Recipe, names: tuple[str, ...] | None) -> Iterator[Plane]:
    number = 0
    with stream(found) as file, np.load(file, allow_pickle=False) as arrays:
        for split in (s for s in _SPLITS if f"{s}_images" in arrays):
            images = arrays[f"{split}_images"]
            labels = _labels(arrays, split, len(images), names)
            for i, image in enumerate(images):
                yield Plane(
                    luminance(image) if image.ndim == 3 else image.astype(np.float32),
                    frame=number,
                    # Shown as published, so that published results compare.
                    display=Display(0.0, 255.0, "dtype") if images.dtype == np.uint8 else None,
                    label=labels[i],
                    subject=keyed(recipe.key, "subject-image", digest, split, str(i)),
                    official_split=split if found.official else None,
                )
                number += 1


def _labels(arrays: np.lib.npyio.NpzFile, split: str, n: int, names: tuple[str, ...] | None) -> list[str | None]:
    if f"{split}_labels" not in arrays:
        return [None] * n
    labels = arrays[f"{split}_labels"]
    if labels.size != n or labels.shape[0] != n:
        raise Refused("npz_labels", "labels must hold one number an image (several labels are not supported)", "failed")
    flat = labels.reshape(n)
    if np.issubdtype(flat.dtype, np.floating):
        if not np.isfinite(flat).all() or not np.array_equal(flat, np.rint(flat)):
            raise Refused("npz_labels", "labels must be whole numbers", "failed")
        flat = flat.astype(np.int64)
    if names is None:
        return [str(v) for v in flat]
    if not all(0 <= int(v) < len(names) for v in flat):
        raise Refused("npz_labels", f"labels must lie between 0 and {len(names) - 1} in this set", "failed")
    return [names[int(v)] for v in flat]
