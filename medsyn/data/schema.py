"""The tables of a dataset, column by column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import pyarrow as pa

SCHEMA_VERSION = 1

Split = Literal["train", "tune", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "tune", "val", "test")

CLASS_TASK = "class"
"""The single-label task; other tasks may stand beside it in targets.parquet."""

INDEX = pa.schema(
    [
        pa.field("image", pa.int64(), nullable=False),  # 0..N-1, the same in every table
        pa.field("shard", pa.int32(), nullable=False),  # images-<shard>.npy
        pa.field("row", pa.int32(), nullable=False),  # first axis of the shard
        pa.field("image_key", pa.string(), nullable=False),  # keyed hash of source digest and frame
        pa.field("series", pa.string()),  # keyed hashes, or null where unknown
        pa.field("study", pa.string()),
        pa.field("subject", pa.string(), nullable=False),
        pa.field("volume", pa.string()),
        pa.field("slice_index", pa.int32()),
        pa.field("slice_position", pa.float64()),  # mm along the slice normal
        pa.field("spacing_row", pa.float64()),  # mm between stored rows; null where unknown
        pa.field("spacing_col", pa.float64()),
        pa.field("orientation", pa.list_(pa.float64())),  # 6 direction cosines, DICOM order (LPS)
        pa.field("modality", pa.string(), nullable=False),  # DICOM code or preset name
        pa.field("source_digest", pa.string(), nullable=False),  # SHA-256 of the source file
        pa.field("pixel_digest", pa.string(), nullable=False),  # SHA-256 of the stored pixels
        pa.field("source_height", pa.int32(), nullable=False),  # pixels before resizing
        pa.field("source_width", pa.int32(), nullable=False),
        pa.field("slope", pa.float64(), nullable=False),  # value = stored * slope + intercept
        pa.field("intercept", pa.float64(), nullable=False),
        pa.field("unit", pa.string(), nullable=False),  # HU, or "relative"
        pa.field("display_low", pa.float64(), nullable=False),  # value shown black (white if inverted)
        pa.field("display_high", pa.float64(), nullable=False),
        pa.field("display_source", pa.string(), nullable=False),  # window, voi_lut, percentiles, preset, user, dtype
        pa.field("inverted", pa.bool_(), nullable=False),  # MONOCHROME1
        pa.field("photometric", pa.string()),  # Photometric Interpretation of the source, of an allow-list
        pa.field("has_mask", pa.bool_(), nullable=False),  # whether its row of masks-*.npy is a segmentation
        pa.field("mask_digest", pa.string()),  # SHA-256 of that
        pa.field("synthetic", pa.bool_(), nullable=False),
        pa.field("view", pa.string()),  # allow-listed covariates
        pa.field("sex", pa.string()),
        pa.field("age_band", pa.string()),  # "0-9", "10-19" ... "80+"
        pa.field("vendor", pa.string()),
    ]
)

TARGETS = pa.schema(
    [
        pa.field("image", pa.int64(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("value", pa.string()),
        pa.field("state", pa.string(), nullable=False),  # known, missing, uncertain
    ]
)

SPLIT_TABLE = pa.schema(
    [
        pa.field("image", pa.int64(), nullable=False),
        pa.field("subject", pa.string(), nullable=False),
        pa.field("also_subject", pa.string()),  # another key of the same patient: the labels name one, the header one
        pa.field("unit", pa.string(), nullable=False),  # the subject, widened by shared names, studies and images
        pa.field("split", pa.string(), nullable=False),
        pa.field("origin", pa.string(), nullable=False),  # drawn, official, earlier
        pa.field("fold", pa.int32(), nullable=False),  # grouped 5-fold, for cohorts too small for a split
    ]
)

TABLES = {"index.parquet": INDEX, "targets.parquet": TARGETS, "splits.parquet": SPLIT_TABLE}
"""The tables that a dataset is read by; dataset.json notes the SHA-256 of each as ``tables``."""

STAGED = pa.schema(
    [
        pa.field("source", pa.int64(), nullable=False),
        pa.field("frame", pa.int32()),
        *(field for field in INDEX if field.name not in ("image", "shard", "row")),
        pa.field("also_subject", pa.string()),
        pa.field("label", pa.string()),
        pa.field("targets", pa.map_(pa.string(), pa.list_(pa.string(), 2))),  # value and state
        pa.field("official_split", pa.string()),
    ]
)
"""All columns of an `ImageRecord`, as they wait for the final tables."""


@dataclass
class ImageRecord:
    """What a source knows about one image; the writer adds the rest.

    Attributes:
        source: Ledger number of the input file, so that its outcome can be corrected later.
        image_key: Keyed hash that identifies the image across ingests.
        frame: Number within that file, None where it holds one image.
        also_subject: Another key of the same patient, where two sources name one.
        label: Class name, or None where there is none.
        targets: Further tasks: name -> value (None unless it is known) and state, as in `TARGETS`.
        official_split: ``train``, ``val`` or ``test`` where the source comes with a split.
        other columns: As in `INDEX`.
    """

    source: int
    image_key: str
    subject: str
    modality: str
    source_digest: str
    source_height: int
    source_width: int
    slope: float
    intercept: float
    unit: str
    display_low: float
    display_high: float
    display_source: str
    inverted: bool = False
    photometric: str | None = None
    has_mask: bool = False
    mask_digest: str | None = None
    synthetic: bool = False
    frame: int | None = None
    also_subject: str | None = None
    label: str | None = None
    targets: Mapping[str, tuple[str | None, str]] | None = None
    official_split: str | None = None
    series: str | None = None
    study: str | None = None
    volume: str | None = None
    slice_index: int | None = None
    slice_position: float | None = None
    spacing_row: float | None = None
    spacing_col: float | None = None
    orientation: list[float] | None = None
    view: str | None = None
    sex: str | None = None
    age_band: str | None = None
    vendor: str | None = None
    pixel_digest: str = field(default="", init=False)
