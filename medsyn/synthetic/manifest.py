"""The manifest of a synthetic set, column by column."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from medsyn.errors import DataError

SCHEMA_VERSION = 2

FORMATS = ("png", "dicom", "nifti", "npz")
"""The formats of a synthetic set."""

SINGLE = tuple(name for name in FORMATS if name != "npz")
"""Those that write files of one image, whose column of the manifest names them."""

MANIFEST = pa.schema(
    [
        pa.field("index", pa.int64(), nullable=False),  # candidate number: with seed and checkpoint it makes the image
        pa.field("label", pa.string(), nullable=False),
        pa.field("accepted", pa.bool_(), nullable=False),
        pa.field("reason", pa.string()),  # the selection rule that the image failed first; null where none did
        pa.field("row", pa.int64()),  # place among the accepted, and in images.npz; null where not accepted
        pa.field("png", pa.string()),  # file of that format, relative to the set; null where there is none
        pa.field("dicom", pa.string()),
        pa.field("nifti", pa.string()),
        pa.field("seed", pa.int64(), nullable=False),
        pa.field("checkpoint_digest", pa.string(), nullable=False),
        pa.field(
            "pixel_digest", pa.string(), nullable=False
        ),  # SHA-256 of the pixels [C, H, W] as written; "" of copies left out
        pa.field("scores", pa.map_(pa.string(), pa.float64())),  # selection rule -> score, above 1 fails
        pa.field("nearest_train_distance", pa.float64()),  # of what `scores` calls copy: 0 is the same picture
    ]
)


def read_manifest(file: Path, columns: Sequence[str] = MANIFEST.names, filters: Any = None) -> pa.Table:
    """Read a manifest.parquet.

    Args:
        file: Where it lies.
        columns: Names in `MANIFEST`.
        filters: As `pyarrow.parquet.read_table` takes them.

    Raises:
        DataError: It is missing or damaged, or no manifest.
    """
    mend = "Generate the set again."
    try:
        with pq.ParquetFile(file) as opened:
            rows, schema = opened.metadata.num_rows, opened.schema_arrow
        # A candidate takes its digest, which nothing makes shorter: more rows than bytes are a lie.
        if rows > file.stat().st_size:
            raise DataError(f"claims {rows} rows, more than it can hold", where=file, mend=mend)
        for name in columns:
            if name not in schema.names or schema.field(name).type != MANIFEST.field(name).type:
                raise DataError(f"has no column '{name}' of type {MANIFEST.field(name).type}", where=file, mend=mend)
        table = pq.read_table(file, columns=list(columns), filters=filters)
        table.validate(full=True)  # text that is no text
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read ({type(error).__name__})", where=file, mend=mend) from None
    for name in columns:
        if table[name].null_count and not MANIFEST.field(name).nullable:
            raise DataError(f"leaves '{name}' open", where=file, mend=mend)
    return table
