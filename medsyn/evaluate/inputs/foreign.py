"""Synthetic images that another tool made: a folder, a CSV or a MedMNIST-layout npz."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from medsyn.data import tables
from medsyn.data.grey import grey, luminance
from medsyn.data.resize import pad, shrink
from medsyn.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
LABEL_COLUMNS = ("label", "class", "target", "diagnosis", "finding")
OPTION = "--synthetic"
LABELS_OPTION = "--synthetic-labels"
_RANGES = {np.dtype(np.uint8): 255.0, np.dtype(np.uint16): 65535.0}


class Foreign(NamedTuple):
    """A foreign synthetic set.

    Attributes:
        images: float32 ``[n, C, H, W]`` in [0, 1], of the dataset's shape.
        labels: Class indices, int64 ``[n]``.
        files: What each image is called, relative to the set.
        card: Facts as in the card of our own sets (``modality``, ``classes``, ``n``, ``image_shape``, ``generator``),
            plus ``foreign`` (True), ``digest`` of images and labels, ``source_sizes`` (as "height x width" -> images)
            and ``notes``, each a sentence for the reader.
    """

    images: np.ndarray
    labels: np.ndarray
    files: list[str]
    card: dict[str, Any]


def read(
    path: str | Path,
    labels_csv: str | Path | None,
    classes: Sequence[str],
    image_shape: tuple[int, int, int],
    modality: str,
) -> Foreign:
    """Read a foreign synthetic set.

    Black and white are the ends of the file type's range (8 or 16 bit; 0 and 1 in files of floats), colour becomes
    luminance where the dataset is grey, and size is fitted as ingest does: antialiased, proportions kept.

    Args:
        path: A folder of PNG, JPEG and TIFF files with a CSV or with one sub-folder a class; such a CSV; or an npz in
            MedMNIST's layout, of which all splits are read.
        labels_csv: CSV with a column that names files and a column ``label``; default: ``labels.csv`` or the only CSV
            in the folder, else the names of the sub-folders.
        classes: Of the dataset.
        image_shape: ``(C, H, W)`` of the dataset.
        modality: Of the dataset.

    Raises:
        DataError: Nothing to read, an unknown label, a file that is missing, named twice or cannot be read.
    """
    path = Path(path)
    if not path.exists():
        raise DataError("no such file or folder", where=path, mend=f"Check {OPTION}.")
    notes: list[str] = []
    if path.suffix.lower() == ".npz":
        pixels, labels, files = _npz(path, classes, notes)
    else:
        folder = path if path.is_dir() else path.parent
        table = Path(labels_csv) if labels_csv else (_own_table(path) if path.is_dir() else path)
        named = _by_table(table, folder, classes, notes) if table else _by_folder(folder, classes)
        pixels = [_picture(file, image_shape[0]) for file, _ in named]
        labels = np.array([label for _, label in named], np.int64)
        files = [os.path.relpath(file, folder).replace(os.sep, "/") for file, _ in named]
    sizes = Counter(f"{p.shape[-2]} x {p.shape[-1]}" for p in pixels)
    images = np.stack([_fit(p, image_shape) for p in pixels])
    if images.max() <= 1 / 8:
        notes.append(
            f"the brightest pixel of all is at {images.max():.1%} of the range of its file: were fewer bits used?"
        )
    digests = [hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest() for image in images]
    repeated = len(digests) - len(set(digests))
    if repeated:
        notes.append(f"{repeated} of {len(images)} images equal another one of the set, pixel by pixel")
    content = "".join(f"{digest}{classes[label]}" for digest, label in zip(digests, labels, strict=True))
    card = {
        "modality": modality,
        "classes": list(classes),
        "n": len(images),
        "image_shape": list(image_shape),
        "generator": f"another tool ({path.name})",
        "foreign": True,
        "synthetic": True,
        "digest": hashlib.sha256(content.encode()).hexdigest(),
        "source_sizes": dict(sizes.most_common()),
        "notes": notes,
    }
    return Foreign(images, labels, files, card)


# ---- which files there are, and their labels


def _own_table(folder: Path) -> Path | None:
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() == ".csv")
    named = [p for p in found if p.stem.lower() == "labels"]
    if len(named) == 1 or len(found) == 1:
        return (named or found)[0]
    if not found:
        return None
    raise DataError(
        f"holds {len(found)} CSV files: {', '.join(p.name for p in found[:3])}",
        where=folder,
        mend=f"Name one with {LABELS_OPTION}.",
    )


def _by_folder(folder: Path, classes: Sequence[str]) -> list[tuple[Path, int]]:
    found = _pictures(folder)
    if not found:
        raise DataError("no PNG, JPEG or TIFF file in it", where=folder, mend=f"Check {OPTION}.")
    named = []
    for file in found:
        name = file.relative_to(folder).parts[0] if file.parent != folder else None
        if name is None:
            raise DataError(
                "has no label: it is in no sub-folder named like a class, and there is no CSV",
                where=file,
                mend=f"Name a CSV with columns file and label by {LABELS_OPTION}.",
            )
        named.append((file, _place(name, classes, file, "sub-folder")))
    return named


def _by_table(table: Path, folder: Path, classes: Sequence[str], notes: list[str]) -> list[tuple[Path, int]]:
    rows, columns = tables.read(table, LABELS_OPTION)
    file_column = tables.find_column(columns, tables.FILE_COLUMNS)
    label_column = tables.find_column(columns, LABEL_COLUMNS)
    for what, column in (("file", file_column), ("label", label_column)):
        if column is None:
            raise DataError(f"no column '{what}'; there are: {', '.join(columns)}", where=table, mend="Rename one.")
    assert file_column is not None
    assert label_column is not None
    pictures = _pictures(folder)
    index: dict[str, set[Path]] = defaultdict(set)
    for file in pictures:
        index[file.name].add(file)
        index[tables.stem(file.name)].add(file)
    seen: dict[Path, int] = {}
    named = []
    for number, row in enumerate(rows, 2):
        where = f"{table}, row {number}, column '{file_column}'"
        file = _find(tables.plain_name(row[file_column]), table.parent, folder, index, where)
        real = file.resolve()
        if real in seen:
            raise DataError(
                f"'{row[file_column]}' is named in row {seen[real]} already", where=where, mend="Keep one row a file."
            )
        seen[real] = number
        label = row[label_column].strip()
        named.append((file, _place(label, classes, f"{table}, row {number}", f"column '{label_column}'")))
    rest = sum(file.resolve() not in seen for file in pictures)
    if rest:
        notes.append(f"{rest} pictures in the folder have no row in {table.name} and were left out")
    return named


def _find(name: str, beside: Path, folder: Path, index: dict[str, set[Path]], where: str) -> Path:
    if name:
        # os.path's: a name may be too long for any file
        exact = next((place / name for place in (beside, folder) if os.path.isfile(place / name)), None)
        if exact is not None:
            return exact
    hits = index.get(name, set()) if "/" not in name else set()
    if len(hits) > 1:
        raise DataError(f"'{name}' fits {len(hits)} files", where=where, mend="Give paths relative to the CSV.")
    if not hits:
        raise DataError(f"no file '{name}'", where=where, mend="Give paths relative to the CSV, or remove the row.")
    return next(iter(hits))


def _pictures(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())


def _place(label: str, classes: Sequence[str], where: object, field: str) -> int:
    if label not in classes:
        raise DataError(
            f"unknown label '{label}' in {field}" if label else f"no label in {field}",
            where=where,
            mend=f"The dataset's classes: {', '.join(classes)}.",
        )
    return list(classes).index(label)


# ---- pixels


def _picture(file: Path, channels: int) -> np.ndarray:
    """float32 ``[C, h, w]`` in [0, 1]."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(file)
            pages = getattr(image, "n_frames", 1)
            image.load()
            upright = ImageOps.exif_transpose(image)
    except Exception as error:  # damaged files may raise anything
        raise DataError(
            f"cannot be read as a picture ({type(error).__name__})", where=file, mend="Replace or remove it."
        ) from None
    if pages > 1:
        raise DataError(f"holds {pages} pages", where=file, mend="Save one picture a file.")
    wide = upright.mode == "I" or upright.mode.startswith("I;16")
    if channels == 1 or wide or upright.mode == "F":
        values = np.repeat(grey(upright)[None], channels, 0)
    else:
        values = np.asarray(upright.convert("RGB"), np.float32).transpose(2, 0, 1)
    top = 1.0 if upright.mode == "F" else 65535.0 if wide else 255.0
    return _scaled(values, top, file)


def _scaled(values: np.ndarray, top: float, where: object) -> np.ndarray:
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > top:
        low, high = float(np.min(values)), float(np.max(values))
        raise DataError(
            f"holds values from {low:g} to {high:g}, expected 0 to {top:g}",
            where=where,
            mend="Save 8 or 16 bits, or floats between 0 (black) and 1 (white).",
        )
    return values.astype(np.float32) / np.float32(top)


def _npz(path: Path, classes: Sequence[str], notes: list[str]) -> tuple[list[np.ndarray], np.ndarray, list[str]]:
    pixels: list[np.ndarray] = []
    labels: list[int] = []
    files: list[str] = []
    try:
        with np.load(path, allow_pickle=False) as opened:
            arrays = {name: opened[name] for name in opened.files}
    except Exception as error:  # damaged files may raise anything
        raise DataError(
            f"cannot be read as npz ({type(error).__name__})", where=path, mend="Save it with numpy.savez."
        ) from None
    for split in ("train", "val", "test"):
        images, given = arrays.get(f"{split}_images"), arrays.get(f"{split}_labels")
        if images is None:
            continue
        field = f"{path}, {split}_images"
        if not (images.ndim == 3 or (images.ndim == 4 and images.shape[3] == 3)) or 0 in images.shape[1:]:
            raise DataError(f"has shape {list(images.shape)}", where=field, mend="Save [n, height, width] or [.., 3].")
        if images.dtype not in _RANGES and images.dtype.kind != "f":
            raise DataError(f"has dtype {images.dtype}", where=field, mend="Save uint8, uint16 or floats in [0, 1].")
        if given is None or given.size != len(images):
            raise DataError(f"no label for each of {len(images)} images", where=f"{path}, {split}_labels")
        if len(images) == 0:
            continue
        scaled = _scaled(images, _RANGES.get(images.dtype, 1.0), field)
        pixels += [image[None] if image.ndim == 2 else image.transpose(2, 0, 1) for image in scaled]
        labels += _npz_labels(given.reshape(-1), classes, f"{path}, {split}_labels")
        files += [f"{path.name}#{split}/{i}" for i in range(len(images))]
    if not pixels:
        raise DataError("holds no train_images", where=path, mend="Save train_images and train_labels.")
    if not set(map(str, range(len(classes)))) & set(classes):
        notes.append("labels of the npz are places in " + ", ".join(f"{i} {c}" for i, c in enumerate(classes)))
    return pixels, np.array(labels, np.int64), files


def _npz_labels(given: np.ndarray, classes: Sequence[str], where: str) -> list[int]:
    whole = given.dtype.kind in "fiub" and bool((given == np.rint(given)).all())
    names = [str(int(value)) if whole else str(value) for value in given]
    # Numbers are names where the dataset has such classes, else places among its classes.
    if whole and not set(names) <= set(classes):
        wrong = next((i for i, name in enumerate(names) if not 0 <= int(name) < len(classes)), None)
        if wrong is None:
            return [int(name) for name in names]
        return [_place(names[wrong], classes, where, f"place {wrong}")]
    return [_place(name, classes, where, f"place {i}") for i, name in enumerate(names)]


def _fit(values: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    channels, height, width = shape
    if len(values) == 3 and channels == 1:
        values = luminance(values.transpose(1, 2, 0))[None]
    elif len(values) == 1 and channels == 3:
        values = np.repeat(values, 3, 0)
    if values.shape[1:] == (height, width):
        return values
    return np.stack([pad(shrink(plane, height), height, 0.0) for plane in values])
