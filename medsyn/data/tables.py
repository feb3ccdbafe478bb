"""Reading a CSV that names files: its columns by their usual names, its values as text."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from medsyn.errors import DataError

FILE_COLUMNS = (
    *("file", "filename", "file_name", "filepath", "file_path", "path", "image", "image_path", "image_file"),
    *("image_name", "image_id", "imageid", "image_index", "img", "img_name", "name", "dicom", "id"),
)
SUFFIXES = (".nii.gz", ".nii", ".dcm", ".dicom", ".ima", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".npz")
MISSING = frozenset({"", "nan", "na", "n/a", "null", "<na>"})
"""Texts, in lower case, that stand for no value."""


def read(path: Path, option: str) -> tuple[list[dict[str, str]], list[str]]:
    """Rows and column names of a table with commas, semicolons or tabs.

    Args:
        path: The file, UTF-8.
        option: Which option named it, for the message.

    Raises:
        DataError: Missing, unreadable or empty.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError("no such file", where=path, mend=f"Check {option}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read as UTF-8 text ({type(error).__name__})", where=path) from None
    head = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=head.count)
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restval="", strict=True)
        columns = [c.strip() for c in reader.fieldnames or []]
        reader.fieldnames = columns
        rows = [{k: v or "" for k, v in row.items() if isinstance(k, str)} for row in reader]
    except csv.Error:
        raise DataError("is not a CSV table", where=path) from None
    if not rows:
        raise DataError("has no row", where=path)
    return rows, columns


def find_column(columns: Sequence[str], wanted: Sequence[str]) -> str | None:
    """The first of the wanted columns that is there, whatever its case and its spaces."""
    plain = {c.lower().replace(" ", "_").replace("-", "_"): c for c in reversed(columns)}
    return next((plain[w] for w in wanted if w in plain), None)


def plain_name(text: str) -> str:
    """A file name as a table gives it, with forward slashes."""
    return text.strip().replace("\\", "/").removeprefix("./")


def stem(name: str) -> str:
    """A file name without the suffix of an image."""
    suffix = next((s for s in SUFFIXES if name.lower().endswith(s)), "")
    return name[: len(name) - len(suffix)]
