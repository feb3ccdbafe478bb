"""Grey values: stored -> modality values -> display range, in the order of DICOM PS3.3 C.11.1 and C.11.2."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

SAMPLE = 32 * 2**20
"""Values of one group that are kept for its percentiles; above, every second one is left out, as often as needed."""
_BLOCK = 2**20


@dataclass(frozen=True)
class Display:
    """Values shown black and white, and what says so (``display_source`` of the index)."""

    low: float
    high: float
    source: str


def lookup(values: np.ndarray, item: Any, little_endian: bool) -> tuple[np.ndarray, float]:
    """Apply one item of a Modality LUT Sequence or VOI LUT Sequence (PS3.3 C.11.1.1, C.11.2.1.1).

    Args:
        values: Input of the table; rounded to whole numbers.
        item: With LUTDescriptor (entries, first value mapped, bits) and LUTData.
        little_endian: Byte order of tables that come as bytes.

    Returns:
        float32 of the shape of ``values``, and the largest value the table can hold.

    Raises:
        ValueError: A table shorter than it says, or of more than 16 bits.
    """
    entries, first, bits = (int(v) for v in item.LUTDescriptor)
    entries = entries or 2**16
    if not 1 <= bits <= 16:
        raise ValueError("bits of the table")
    data = item.LUTData
    if isinstance(data, bytes):
        # 8-bit tables come one entry a byte, or padded to 16 bits.
        wide = len(data) >= 2 * entries
        order = "<" if little_endian else ">"
        table = np.frombuffer(data, f"{order}u2" if wide else "u1").astype(np.float32)
    else:
        table = np.atleast_1d(np.asarray(data, np.float32))
    if len(table) < entries:
        raise ValueError("length of the table")
    place = np.clip(np.rint(values).astype(np.int64) - first, 0, entries - 1)
    return table[place], float(2**bits - 1)


def window_range(centre: float, width: float, function: str) -> Display | None:
    """Ends of a linear window (PS3.3 C.11.2.1.2.1 LINEAR, C.11.2.1.3.2 LINEAR_EXACT), None where it makes no sense."""
    if not (math.isfinite(centre) and math.isfinite(width)):
        return None
    if function == "LINEAR_EXACT":
        if width <= 0:
            return None
        low, high = centre - width / 2, centre + width / 2
    else:
        if width < 1:
            return None
        low, high = centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2
    # Width 1 is a threshold: everything above the centre is white.
    return Display(low, max(high, low + 1e-6 * max(1.0, abs(low))), "window")


def sigmoid(values: np.ndarray, centre: float, width: float) -> np.ndarray:
    """SIGMOID window (PS3.3 C.11.2.1.3.1), float32 in [0, 1]."""
    exponent = np.clip(-4 * (values.astype(np.float64) - centre) / width, -700, 700)
    return (1 / (1 + np.exp(exponent))).astype(np.float32)


class Percentiles:
    """Collects the values of a group (an image, or a whole volume or series) for one common display range."""

    def __init__(self) -> None:
        self._parts: list[np.ndarray] = []
        self._stride, self._count = 1, 0

    def add(self, values: np.ndarray) -> None:
        """Take the values of one image, any shape."""
        part = values.ravel()[:: self._stride].astype(np.float32)
        self._parts.append(part)
        self._count += part.size
        while self._count > SAMPLE:
            self._parts = [p[::2].copy() for p in self._parts]
            self._stride *= 2
            self._count = sum(p.size for p in self._parts)

    def display(self, percentiles: Sequence[float]) -> Display:
        """The range between two percentiles; between the extremes where those are equal.

        Raises:
            ValueError: Nothing was added.
        """
        values = np.concatenate(self._parts)
        low, high = (float(v) for v in np.percentile(values, percentiles))
        if not high > low:
            low, high = float(values.min()), float(values.max())
        return Display(low, high, "percentiles")


AIR = -1024.0
"""Hounsfield units of what lies outside of the patient, as scanners fill it."""


def darkest(values: np.ndarray, display: Display | None, inverted: bool, hounsfield: bool) -> float:
    """A value that is black beside ``values``, in the display range and in any other window that shows them.

    Args:
        values: What is shown, any shape.
        display: Their display range, where it is known already.
        inverted: High values are black (MONOCHROME1).
        hounsfield: The values are Hounsfield units.
    """
    if inverted:
        return max(float(values.max()), display.high if display else -math.inf)
    return min(float(values.min()), display.low if display else math.inf, AIR if hounsfield else math.inf)


def quantise(images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values to uint16, each image over its own range.

    Args:
        images: Finite ``[n, ...]``, none constant.

    Returns:
        stored uint16, slope and intercept float64 ``[n]``, with value = stored * slope + intercept to half a slope.
    """
    values = images.reshape(len(images), -1).astype(np.float64)
    low = values.min(axis=1)
    slope = (values.max(axis=1) - low) / 65535
    values -= low[:, None]
    values /= slope[:, None]
    return np.rint(values, out=values).astype(np.uint16).reshape(images.shape), slope, low


def tally(stored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which whole numbers occur, ascending, and how often each does: in one pass, where sorting takes many.

    Args:
        stored: Integers of at most 16 bits, any shape.
    """
    least, values = int(np.iinfo(stored.dtype).min), stored.ravel(order="K")  # as it lies in memory
    found = np.zeros(256**stored.dtype.itemsize, np.int64)
    for start in range(0, values.size, _BLOCK):
        found += np.bincount(values[start : start + _BLOCK].astype(np.intp) - least, minlength=found.size)
    occurring = np.flatnonzero(found)
    return occurring + least, found[occurring]


def percentiles_of(values: np.ndarray, counts: np.ndarray, percentiles: Sequence[float]) -> list[float]:
    """`numpy.percentile` of ``values``, ascending, each repeated ``counts`` times."""
    place = (int(counts.sum()) - 1) * np.true_divide(percentiles, 100)
    below = np.floor(place).astype(np.int64)
    upto = np.cumsum(counts)
    either = [values[np.minimum(np.searchsorted(upto, k, "right"), len(values) - 1)] for k in (below, below + 1)]
    # Between two neighbours the share is the fraction of the place, so that NumPy rounds as it always does.
    return [float(np.quantile(ends, share)) for ends, share in zip(np.stack(either, 1), place - below, strict=True)]
