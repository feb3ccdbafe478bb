"""The manifest of a synthetic set, column by column."""

from __future__ import annotations

import pyarrow as pa

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
