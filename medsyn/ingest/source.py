"""What every reader of a source speaks: an input, the facts of its file, and its planes."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from medsyn.config import Preset
from medsyn.ingest.deidentify import Covariates
from medsyn.ingest.intensity import Display

FileKind = Literal["dicom", "nifti", "raster", "npz", "other"]
MAX_VALUES = 2**28
"""Values of one file above which its header is taken for a lie, unless the user says otherwise."""
NOT_A_FILES_FAULT = (KeyboardInterrupt, SystemExit, GeneratorExit)
"""What is beyond `Exception` and must pass. A decoder in Rust that panics is beyond it, too, and must not."""


class Refused(Exception):
    """A file that is left out for a known reason; the texts are ours, never the file's.

    Args:
        reason: Code for the ledger.
        detail: One sentence.
        outcome: ``skipped``, ``quarantined`` or ``failed``.
    """

    def __init__(self, reason: str, detail: str, outcome: str = "skipped") -> None:
        super().__init__(reason)
        self.reason, self.detail, self.outcome = reason, detail, outcome

    def __reduce__(self) -> tuple[type[Refused], tuple[str, str, str]]:
        return Refused, (self.reason, self.detail, self.outcome)


@dataclass
class Probe:
    """What the first look at a file found; identifiers in here stay in memory."""

    number: int
    path: str
    member: str | None = None  # name inside of an archive
    kind: FileKind = "other"
    refused: Refused | None = None
    modality: str = ""  # DICOM Modality
    series: str = ""  # keyed SeriesInstanceUID
    names: dict[str, str] = field(default_factory=dict)  # of `deidentify.IDENTIFIERS` -> keyed value
    tag: str | None = None  # value of the tag that `LookFor` asks for
    position: float | None = None  # mm along the slice normal
    orientation: tuple[float, ...] = ()  # six direction cosines
    frames: int = 1
    instance: int = 0
    side: int | None = None  # native side of the square images of an npz, and of a square picture as below
    picture: bool = False  # synthetic by its own word: grey values as they are shown, without unit or place
    official: bool = False  # npz with a val and a test split of its own
    part: int = 0  # which volume of its series: echoes, time points and orientations are kept apart
    slice_index: int | None = None  # place in its volume, set when all files are known
    mask: Probe | None = None  # the segmentation that belongs to this volume


def side_of_picture(height: int, width: int) -> int | None:
    """Side of a square picture that is stored as it is where there is nothing else: at most what ``--size`` allows."""
    return height if height == width and height <= 1024 else None


@dataclass(frozen=True)
class LookFor:
    """What the first look at a file needs to know.

    Attributes:
        key: Project key: identifiers leave a header keyed, or not at all.
        tag: DICOM keyword of the tag that holds the class, or None.
    """

    key: bytes
    tag: str | None = None
    allow_burned_in: bool = False
    max_pixels: int = MAX_VALUES


@dataclass
class Facts:
    """What holds for every plane of one file.

    Attributes:
        warnings: What a caveat counts, and no table keeps: ``text`` (a kind of image that often carries a burned-in
            name, without a word that this one does not), ``face`` (a slice of a head).
    """

    digest: str
    modality: str
    subject: str
    subject_from: Literal["patient", "study", "file", "image"]
    study: str | None = None
    series: str | None = None
    volume: str | None = None
    covariates: Covariates = field(default_factory=Covariates)
    photometric: str | None = None  # Photometric Interpretation, or "grey" or "rgb" of a picture
    note: str = ""
    synthetic: bool = False
    warnings: tuple[Literal["text", "face"], ...] = ()


@dataclass
class Plane:
    """One 2-D image at full resolution.

    Attributes:
        values: Modality values, or the output of a VOI LUT, float32 ``[H, W]``; colour that is kept ``[H, W, 3]``.
        mask: Segmentation values ``[H, W]`` uint8, or None.
        frame: Number within the file.
        display: Range stated by the source; None: percentiles of the group.
        valid: False where the file says padding, or None.
        spacing: mm between rows and between columns, or None.
        pixel: Height and width of a pixel in a common unit, for the proportions.
        volume: Where a file holds several: which one, else that of the facts.
        official_split: With ``label`` and ``subject``, only where they differ from plane to plane (npz).
        targets: Further labels, such as the findings of a multi-label set: task -> value.
    """

    values: np.ndarray
    frame: int = 0
    display: Display | None = None
    valid: np.ndarray | None = None
    inverted: bool = False
    spacing: tuple[float, float] | None = None
    pixel: tuple[float, float] = (1.0, 1.0)
    orientation: list[float] | None = None
    slice_index: int | None = None
    slice_position: float | None = None
    volume: str | None = None
    label: str | None = None
    subject: str | None = None
    official_split: str | None = None
    mask: np.ndarray | None = None
    targets: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """What readers need to know of the dataset in the making.

    Attributes:
        preset: Of the modality, with the window that the user asked for.
        window_source: Whose window that is: ``preset`` or ``user``.
        slices: ``all``, ``middle`` or ``every=N``.
        colour: Whether colour images are kept in colour.
        target: Of an npz with several labels an image, the one that is the class; None: no class.
    """

    key: bytes
    preset: Preset
    size: int
    hounsfield: bool
    window_source: str = "preset"
    slices: str = "all"
    colour: bool = False
    max_pixels: int = MAX_VALUES
    mask_label: str | None = None
    target: str | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(C, H, W)`` of the stored images."""
        return 3 if self.colour else 1, self.size, self.size

    @property
    def dtype(self) -> str:
        """Of the stored images."""
        return "int16" if self.hounsfield else "uint16"

    @property
    def percentiles(self) -> tuple[float, float]:
        return self.preset.percentiles or (0.5, 99.5)


def most_bytes(max_pixels: int) -> int:
    """Bytes of one file above which it is not read whole: four a value, and room for a header."""
    return 4 * max_pixels + 2**24


def most_of_plane(max_pixels: int, colour: bool = False) -> int:
    """Pixels of one plane above which it is not decoded: with its copies in floating point it stays below 1 GiB."""
    return max_pixels // (12 if colour else 8)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep readers' warnings off the screen and the logs: they quote headers and file names."""
    loggers = [logging.getLogger(name) for name in ("pydicom", "nibabel", "nibabel.global", "PIL")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
