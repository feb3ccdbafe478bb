"""MedMNIST-layout npz: train, val and test arrays with their labels in one file."""

from __future__ import annotations

import hashlib
import json
import math
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from medsyn.config import Modality
from medsyn.data.grey import luminance
from medsyn.ingest.deidentify import keyed
from medsyn.ingest.intensity import Display
from medsyn.ingest.source import Facts, LookFor, Plane, Probe, Recipe, Refused, most_of_plane, stream
from medsyn.workspace import SYNTHETIC


@dataclass(frozen=True)
class Published:
    """One 2-D set of MedMNIST v2 (Yang et al. 2023, doi:10.1038/s41597-022-01721-8).

    Attributes:
        names: Of the labels 0, 1 ...; of a multi-label set, of the columns.
        modality: None where no preset fits: the user has to choose one.
        note: What a user of the images has to know.
    """

    names: tuple[str, ...]
    modality: Modality | None = None
    several: bool = False
    note: str = ""


_ABDOMEN = Published(
    (
        *("bladder", "femur_left", "femur_right", "heart", "kidney_left", "kidney_right", "liver"),
        *("lung_left", "lung_right", "pancreas", "spleen"),
    ),
    "ct",
    note="CT windowed to 8 bits by its publisher, without Hounsfield units",
)
KNOWN = {  # file name -> what was published under it
    "pneumoniamnist": Published(("normal", "pneumonia"), "xray"),
    "chestmnist": Published(
        (
            *("atelectasis", "cardiomegaly", "effusion", "infiltration", "mass", "nodule", "pneumonia"),
            *("pneumothorax", "consolidation", "edema", "emphysema", "fibrosis", "pleural", "hernia"),
        ),
        "xray",
        several=True,
    ),
    "breastmnist": Published(("malignant", "normal_benign"), "ultrasound"),
    "organamnist": _ABDOMEN,
    "organcmnist": _ABDOMEN,
    "organsmnist": _ABDOMEN,
    "octmnist": Published(("choroidal_neovascularization", "diabetic_macular_edema", "drusen", "normal")),
    "retinamnist": Published(("0", "1", "2", "3", "4")),  # grades of diabetic retinopathy
    "dermamnist": Published(
        (
            *("actinic_keratosis", "basal_cell_carcinoma", "benign_keratosis", "dermatofibroma"),
            *("melanoma", "melanocytic_nevus", "vascular_lesion"),
        )
    ),
    "pathmnist": Published(
        (
            *("adipose", "background", "debris", "lymphocytes", "mucus", "smooth_muscle", "normal_colon_mucosa"),
            *("cancer_associated_stroma", "colorectal_adenocarcinoma_epithelium"),
        )
    ),
    "bloodmnist": Published(
        (
            *("basophil", "eosinophil", "erythroblast", "immature_granulocyte", "lymphocyte", "monocyte"),
            *("neutrophil", "platelet"),
        )
    ),
    "tissuemnist": Published(
        (
            *("collecting_duct_connecting_tubule", "distal_convoluted_tubule", "glomerular_endothelial_cell"),
            *("interstitial_endothelial_cell", "leukocyte", "podocyte", "proximal_tubule_segment"),
            "thick_ascending_limb",
        )
    ),
}
MAX_LABELS = 1024
_SPLITS = ("train", "val", "test")


def known(path: str) -> Published | None:
    """What is known of a published set, by its file name (``pneumoniamnist_64.npz`` counts too)."""
    return KNOWN.get(Path(path).stem.lower().split("_")[0])


def looks_like(head: bytes) -> bool:
    """Whether a file's first bytes are those of a zip, which an npz is."""
    return head.startswith(b"PK\x03\x04")


def probe(found: Probe, look: LookFor) -> None:
    """Check the layout and note the side of the images.

    Raises:
        Refused: Another archive than MedMNIST's layout, or headers that claim too much.
    """
    with stream(found) as file, zipfile.ZipFile(file) as archive:
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
    if sum(values) > look.max_pixels or shape[1] * shape[2] > most_of_plane(look.max_pixels):
        raise Refused("too_large", f"the header claims more than {look.max_pixels} values (--max-pixels)", "failed")
    found.side = int(shape[1]) if shape[1] == shape[2] else None
    # Training images alone are a set that somebody has still to split.
    found.official = all(shapes.get(split, (0,))[0] for split in ("val", "test"))


def read(found: Probe, recipe: Recipe) -> tuple[Facts, Iterator[Plane]]:
    """Read all images of the file; a whole official split is kept, and every image is its own subject.

    Several labels an image become further targets; the one that `Recipe.target` names becomes the class.

    Raises:
        Refused: Labels that do not fit the images.
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
    facts.note = published.note if published else ""
    return facts, _planes(found, facts, recipe, published)


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


def _planes(found: Probe, facts: Facts, recipe: Recipe, published: Published | None) -> Iterator[Plane]:
    number = 0
    with stream(found) as file, zipfile.ZipFile(file) as archive:
        for split in (s for s in _SPLITS if f"{s}_images.npy" in archive.namelist()):
            with archive.open(f"{split}_images.npy") as member:
                shape, by_columns, kind = _npy_header(member)
                labels = _labels(archive, split, shape[0], published)
                if not number:
                    facts.note = "; ".join(filter(None, [facts.note, _told(labels, published, recipe.target)]))
                for i, image in enumerate(_images(member, shape, by_columns, kind)):
                    display = Display(0.0, 255.0, "dtype") if kind == np.uint8 else None  # as published, to compare
                    colour = image.ndim == 3 and recipe.colour
                    label, targets = _named(labels[i], published, recipe.target)
                    yield Plane(
                        luminance(image) if image.ndim == 3 and not colour else image.astype(np.float32),
                        frame=number,
                        display=display,
                        label=label,
                        subject=keyed(recipe.key, "subject-image", facts.digest, split, str(i)),
                        official_split=split if found.official else None,
                        targets=targets,
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


# ---- labels


def _labels(archive: zipfile.ZipFile, split: str, n: int, published: Published | None) -> np.ndarray:
    """Labels of every image, whole numbers ``[n, labels]``; no column where there are none.

    Raises:
        Refused: They do not fit the images, or are no whole numbers.
    """
    if f"{split}_labels.npy" not in archive.namelist():
        return np.zeros((n, 0), np.int64)
    with archive.open(f"{split}_labels.npy") as member:
        shape, by_columns, kind = _npy_header(member)
        if len(shape) not in (1, 2) or shape[0] != n or not 1 <= math.prod(shape[1:]) <= MAX_LABELS:
            raise Refused("npz_labels", f"labels must be [n] or [n, labels], at most {MAX_LABELS} an image", "failed")
        if kind.kind not in "buif":
            raise Refused("npz_labels", "labels must be whole numbers", "failed")
        flat = np.frombuffer(_exactly(member, math.prod(shape) * kind.itemsize), kind)
    if kind.kind == "f" and not (np.isfinite(flat).all() and np.array_equal(flat, np.rint(flat))):
        raise Refused("npz_labels", "labels must be whole numbers", "failed")
    labels = flat.reshape(shape, order="F" if by_columns else "C").astype(np.int64).reshape(n, math.prod(shape[1:]))
    if published and not published.several and labels.shape[1] == 1:
        last = len(published.names) - 1
        if n and not (labels.min() >= 0 and labels.max() <= last):
            raise Refused("npz_labels", f"labels must lie between 0 and {last} in this set", "failed")
    return labels


def _columns(width: int, published: Published | None) -> tuple[str, ...]:
    """Names of several labels an image."""
    if published and published.several and len(published.names) == width:
        return published.names
    return tuple(f"label_{i}" for i in range(width))


def _named(row: np.ndarray, published: Published | None, target: str | None) -> tuple[str | None, dict[str, str]]:
    """Class and further targets of one image."""
    if len(row) == 0:
        return None, {}
    if len(row) == 1:
        return published.names[row[0]] if published and not published.several else str(row[0]), {}
    targets = dict(zip(_columns(len(row), published), map(str, row), strict=True))
    if target not in targets:
        return None, targets
    # A finding that is there or not is a class of two, called as those of masks are.
    names = {"0": f"no_{target}", "1": target} if published and published.several else {}
    return names.get(targets[target], targets[target]), targets


def _told(labels: np.ndarray, published: Published | None, target: str | None) -> str:
    width = labels.shape[1]
    if width < 2:
        return ""
    which = f"'{target}'" if target in _columns(width, published) else "none, until --label-column names it,"
    return f"{width} labels an image are kept as targets; {which} is the class"
