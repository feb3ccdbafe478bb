"""Grey values of a DICOM image: stored bits -> Modality LUT or rescale -> VOI LUT or window; and its colours."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import apply_color_lut, get_decoder, iter_pixels
from pydicom.uid import UID, JPEG2000TransferSyntaxes, JPEGExtended12Bit, JPEGLSTransferSyntaxes, RLELossless

from medsyn.ingest.dicom_header import first, integer, items, nested, text, value
from medsyn.ingest.intensity import Display, lookup, sigmoid, window_range
from medsyn.ingest.source import Refused

PHOTOMETRIC = frozenset(
    {"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422"}
    | {"YBR_PARTIAL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT", "XYB"}
)
"""Values of Photometric Interpretation (0028,0004), PS3.3 C.7.6.3.1.2, that leave a header."""
_SHORT_SCAN = re.compile(rb"(\xff\xda\x00\x08\x01..\x00)\x00", re.DOTALL)
"""Header of a scan of one component from coefficient 0 to 0."""
_EXACT = 2**24
"""Whole numbers up to here are float32 without loss."""


def photometric(header: Dataset) -> str | None:
    """A known Photometric Interpretation; ``other`` for any other text; None where empty."""
    code = text(header, "PhotometricInterpretation").upper()
    return (code if code in PHOTOMETRIC else "other") if code else None


def is_colour(header: Dataset) -> bool:
    """Whether the pixels are colours."""
    return integer(header, "SamplesPerPixel", 1) > 1 or photometric(header) == "PALETTE COLOR"


def check_transfer_syntax(header: Dataset) -> None:
    """Refuse what pydicom and its plugins do not decode.

    Raises:
        Refused: Such a transfer syntax.
    """
    syntax = UID(str(header.file_meta.TransferSyntaxUID))
    try:
        get_decoder(syntax)
    except NotImplementedError:
        known = syntax.name if syntax.name != str(syntax) else "one that DICOM does not list"
        raise Refused("transfer_syntax", f"its transfer syntax is not decoded: {known}", "failed") from None


def stored_values(header: Dataset, frames: Sequence[int]) -> Iterator[np.ndarray]:
    """Stored values of the frames asked for, ``[H, W]``, or RGB ``[H, W, 3]``; they may be read-only.

    Bits outside of Bits Stored, where old files keep overlays, are cleared (PS3.5 8.1.1).

    Raises:
        Refused: Fewer frames than the header says.
    """
    syntax = UID(str(header.file_meta.TransferSyntaxUID))
    corrected = (
        syntax in JPEG2000TransferSyntaxes or syntax in JPEGLSTransferSyntaxes
    )  # by pydicom, from the codestream
    low = integer(header, "HighBit", -1) + 1 - integer(header, "BitsStored") if _plain(syntax) else 0
    if syntax == JPEGExtended12Bit:
        _complete_scans(header)
    every = frames == range(max(1, integer(header, "NumberOfFrames", 1)))
    options: dict[str, Any] = {} if corrected else {"correct_unused_bits": False}
    pixels = iter_pixels(header, indices=None if every else frames, view_only=True, **options)
    left = len(frames)
    for _, stored in zip(frames, pixels, strict=False):
        left -= 1
        yield stored if corrected else used_bits(stored, integer(header, "BitsStored", 64), low)
    if left:
        raise Refused("truncated", "fewer frames than the header says", "failed")


def _complete_scans(header: Dataset) -> None:
    """Let the scans of sequential JPEG end at coefficient 63 ("?"; ISO 10918-1 B.2.3): some encoders write 0."""
    count = max(1, integer(header, "NumberOfFrames", 1))
    frames = list(generate_frames(header.PixelData, number_of_frames=count))
    mended = [_SHORT_SCAN.sub(rb"\1?", frame, count=1) for frame in frames]
    if mended != frames:
        header.PixelData = encapsulate(mended)


def _plain(syntax: UID) -> bool:
    return not syntax.is_compressed or syntax.is_deflated or syntax == RLELossless


def used_bits(stored: np.ndarray, bits: int, low: int) -> np.ndarray:
    """The ``bits`` from bit ``low`` upwards of every value, with their sign where the type has one."""
    size = 8 * stored.dtype.itemsize
    if stored.dtype.kind not in "iu" or not 0 < bits < size:
        return stored
    low = low if 0 < low <= size - bits else 0
    least, most = (0, 2**bits - 1) if stored.dtype.kind == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    if not low and stored.size and stored.max() <= most and stored.min() >= least:
        return stored  # nothing to clear, as nearly always: no copy
    if stored.dtype.kind == "u":
        return (stored >> low if low else stored) & stored.dtype.type(2**bits - 1)
    return (stored << (size - bits - low)) >> (size - bits)


def modality_values(stored: np.ndarray, header: Dataset, frame: int, hounsfield: bool) -> np.ndarray:
    """Modality LUT or Rescale (PS3.3 C.11.1), per frame where functional groups say so (C.7.6.16.2.9).

    Args:
        stored: ``[H, W]``.
        hounsfield: Hounsfield units are wanted.

    Returns:
        float32 ``[H, W]``.

    Raises:
        Refused: Hounsfield units are wanted, and the header does not lead to them.
    """
    group = "PixelValueTransformationSequence"
    table = items(header, "ModalityLUTSequence")
    slope, intercept = first(header, "RescaleSlope", group, frame), first(header, "RescaleIntercept", group, frame)
    if hounsfield:
        kind = str(nested(header, "RescaleType", group, frame) or "HU").strip().upper()
        if table or slope is None or intercept is None or kind not in ("HU", "US"):
            raise Refused("no_hounsfield", "no Rescale Slope and Intercept to Hounsfield units")
    if table:
        return lookup(stored, table[0], _little_endian(header))[0]
    if slope is None or intercept is None or (slope == 1 and intercept == 0):
        return stored.astype(np.float32)
    whole = slope.is_integer() and intercept.is_integer() and stored.dtype.itemsize <= 2
    exact = whole and abs(slope) * 2**16 + abs(intercept) < _EXACT
    values = stored.astype(np.float32 if exact else np.float64)
    np.multiply(values, slope, out=values)
    np.add(values, intercept, out=values)
    return values.astype(np.float32, copy=False)


def voi(values: np.ndarray, header: Dataset, frame: int) -> tuple[np.ndarray, Display | None]:
    """VOI LUT before window (PS3.3 C.11.2); the first of several alternatives.

    Args:
        values: Modality values float32 ``[H, W]``.

    Returns:
        The values, or the output of the table; and the range that is shown, None where the header states none.
    """
    group = "FrameVOILUTSequence"
    tables = nested(header, "VOILUTSequence", group, frame)
    if tables and "LUTDescriptor" in tables[0] and "LUTData" in tables[0]:
        shown, largest = lookup(values, tables[0], _little_endian(header))
        return shown, Display(0.0, largest, "voi_lut")
    centre, width = first(header, "WindowCenter", group, frame), first(header, "WindowWidth", group, frame)
    if centre is None or width is None:
        return values, None
    function = str(nested(header, "VOILUTFunction", group, frame) or "LINEAR").strip().upper()
    if function == "SIGMOID":
        return (sigmoid(values, centre, width), Display(0.0, 1.0, "voi_lut")) if width > 0 else (values, None)
    return values, window_range(centre, width, function)


def not_padding(stored: np.ndarray, header: Dataset) -> np.ndarray | None:
    """False where Pixel Padding Value .. Range Limit lies (PS3.3 C.7.5.1.1.2), None where there is no padding."""
    ends = [value(header, keyword) for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    numbers = [_as_stored(int(v), stored.dtype) for v in ends if isinstance(v, int | float)]
    if not isinstance(ends[0], int | float) or stored.dtype.kind not in "iu":
        return None
    padding = stored == numbers[0] if len(numbers) == 1 else (stored >= min(numbers)) & (stored <= max(numbers))
    return ~padding if padding.any() else None


def _as_stored(padding: int, dtype: np.dtype) -> int:
    """A padding value written as if it were of the other sign (US for SS)."""
    limits, span = np.iinfo(dtype), 2 ** (8 * dtype.itemsize)
    return padding - span if padding > limits.max else padding + span if padding < limits.min else padding


def colours(stored: np.ndarray, header: Dataset) -> tuple[np.ndarray, float]:
    """RGB of a colour image.

    Args:
        stored: RGB ``[H, W, 3]``, or ``[H, W]`` indices of a palette (PS3.3 C.7.9).

    Returns:
        ``[H, W, 3]`` of any whole-number type, and the largest value that it can hold.
    """
    if stored.ndim == 2:
        rgb = apply_color_lut(stored, header)
        return rgb, float(np.iinfo(rgb.dtype).max)
    return stored, float(2 ** min(integer(header, "BitsStored", 8), 8 * stored.dtype.itemsize) - 1)


def _little_endian(header: Dataset) -> bool:
    encoding = getattr(header, "original_encoding", (None, None))[1]
    return encoding is not False
