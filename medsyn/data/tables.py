"""Reading a table that names files: its columns by their usual names, its values as text."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from medsyn.errors import DataError

if TYPE_CHECKING:  # imported where a table is read: who needs the names alone must not pay for it
    import pandas as pd

FILE_COLUMNS = (
    *("file", "filename", "file_name", "filepath", "file_path", "path", "image", "image_path", "image_file"),
    *("image_name", "image_id", "imageid", "image_index", "img", "img_name", "name", "dicom", "id"),
)
SUFFIXES = (".nii.gz", ".nii", ".dcm", ".dicom", ".ima", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".npz")
MISSING = frozenset({"", "nan", "na", "n/a", "null", "<na>"})
"""Texts, in lower case, that stand for no value."""


def read(path: Path, option: str) -> tuple[list[dict[str, str]], list[str]]:
    """Rows and column names of a table; see `read_frame`."""
    frame = read_frame(path, option)
    return frame.to_dict("records"), list(frame.columns)


def read_frame(path: Path, option: str) -> pd.DataFrame:
    """A table with commas, semicolons or tabs, or Parquet, column by column.

    Args:
        path: The file; text is UTF-8.
        option: Which option named it, for the message.

    Returns:
        Every value as the text that was written, ``""`` where there is none.

    Raises:
        DataError: Missing, unreadable or empty.
    """
    import pandas as pd
    import pyarrow as pa

    head = ""
    try:
        with open(path, "rb") as file:
            head = file.readline().decode("utf-8-sig", "replace")
        frame = _parquet(path) if head.startswith("PAR1") else _text(path, max(",;\t", key=head.count))
    except FileNotFoundError:
        raise DataError("no such file", where=path, mend=f"Check {option}.") from None
    except (OSError, UnicodeDecodeError) as error:
        form = "Parquet" if head.startswith("PAR1") else "UTF-8 text"
        raise DataError(f"cannot be read as {form} ({type(error).__name__})", where=path) from None
    except pd.errors.EmptyDataError:
        raise DataError("has no row", where=path) from None
    except (pd.errors.ParserError, pa.ArrowException):
        form = "sound Parquet" if head.startswith("PAR1") else "a CSV"
        raise DataError(f"is not {form} table", where=path) from None
    frame.columns = [str(c).strip() for c in frame.columns]
    if not len(frame):
        raise DataError("has no row", where=path)
    return frame.loc[:, ~frame.columns.duplicated()]


def _text(path: Path, delimiter: str) -> pd.DataFrame:
    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pd.errors.ParserWarning)  # rows that are longer than the header
        return pd.read_csv(
            path, sep=delimiter, dtype=str, keep_default_na=False, index_col=False, encoding="utf-8-sig"
        ).fillna("")


def _parquet(path: Path) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table, columns = pq.read_table(path), {}
    table.validate(full=True)  # text that is no text
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_nested(column.type) or pa.types.is_binary(column.type):
            continue
        if pa.types.is_floating(column.type):
            whole = pc.all(pc.equal(column, pc.round(column))).as_py()
            column = column.cast(pa.int64()) if whole else column
        columns[name] = column.cast(pa.string()).fill_null("").to_pandas()
    return pd.DataFrame(columns)


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
