"""Where a DICOM image lies and how large its pixels are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydicom import Dataset

from medsyn.ingest.dicom_header import integer, items, numbers

_TWO_D, _TISSUE, _COLOUR_FLOW, _CM = 1, 1, 2, 3  # PS3.3 C.8.5.5.1
_SMALLEST = 16
"""Pixels of the shorter side below which an ultrasound region is no image."""
_OUTSIDE = 0.02
"""Share of the picture by which a region may reach beyond it, as rounding and counting from 1 do."""


def spacing(header: Dataset, frame: int) -> tuple[tuple[float, float] | None, tuple[float, float]]:
    """Millimetres between rows and between columns, and the proportions of a pixel.

    Pixel Spacing, else Imager Pixel Spacing, else Nominal Scanned Pixel Spacing (PS3.3 10.7.1.3); without any of them
    Pixel Aspect Ratio, vertical to horizontal (C.7.6.3.1.7).

    Returns:
        The spacing or None, and height and width of a pixel in a common unit.
    """
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        pair = numbers(header, keyword, "PixelMeasuresSequence", frame)
        if len(pair) == 2 and min(pair) > 0:
            return (pair[0], pair[1]), (pair[0], pair[1])
    ratio = numbers(header, "PixelAspectRatio")
    return None, (ratio[0], ratio[1]) if len(ratio) == 2 and min(ratio) > 0 else (1.0, 1.0)


def position(place: list[float], orientation: list[float]) -> float | None:
    """Place along the slice normal in mm (PS3.3 C.7.6.2.1.1), or None."""
    if len(place) != 3 or len(orientation) != 6:
        return None
    return float(np.dot(np.cross(orientation[:3], orientation[3:]), place))


@dataclass(frozen=True)
class Region:
    """The part of an ultrasound picture that shows tissue.

    Attributes:
        rows: First row and the one behind the last.
        columns: As ``rows``.
        spacing: Millimetres between rows and between columns, or None.
    """

    rows: tuple[int, int]
    columns: tuple[int, int]
    spacing: tuple[float, float] | None


def ultrasound_region(header: Dataset) -> Region | None:
    """The largest 2-D region of tissue, of colour flow where there is none (PS3.3 C.8.5.5), cut to the picture.

    Returns:
        None where the header names no such region, or one that is hardly an image.
    """
    height, width = integer(header, "Rows"), integer(header, "Columns")
    for kind in (_TISSUE, _COLOUR_FLOW):
        best: tuple[int, Region] | None = None
        for item in items(header, "SequenceOfUltrasoundRegions"):
            if integer(item, "RegionSpatialFormat") != _TWO_D or integer(item, "RegionDataType") != kind:
                continue
            corners = [integer(item, f"RegionLocation{name}", -1) for name in ("MinX0", "MinY0", "MaxX1", "MaxY1")]
            left, top = max(0, corners[0]), max(0, corners[1])
            right, bottom = min(width, corners[2] + 1), min(height, corners[3] + 1)  # the last pixel belongs to it
            # A region far outside is of the picture before somebody scaled it down: no part of this one is known.
            outside = corners[2] >= width * (1 + _OUTSIDE) or corners[3] >= height * (1 + _OUTSIDE)
            if outside or min(corners) < 0 or min(right - left, bottom - top) < _SMALLEST:
                continue
            area = (right - left) * (bottom - top)
            if best is None or area > best[0]:
                best = area, Region((top, bottom), (left, right), _region_spacing(item))
        if best is not None:
            return best[1]
    return None


def _region_spacing(item: Dataset) -> tuple[float, float] | None:
    deltas = [numbers(item, f"PhysicalDelta{axis}")[:1] for axis in "YX"]
    units = [integer(item, f"PhysicalUnits{axis}Direction") for axis in "YX"]
    if units != [_CM, _CM] or not all(deltas) or 0 in (deltas[0][0], deltas[1][0]):
        return None
    return 10 * abs(deltas[0][0]), 10 * abs(deltas[1][0])
