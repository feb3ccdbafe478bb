"""Grey values of pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601


def luminance(rgb: np.ndarray) -> np.ndarray:
    """Colour ``[..., 3]`` to luminance ``[...]`` float32 in the same range (ITU-R BT.601)."""
    return rgb[..., :3].astype(np.float32) @ np.asarray(LUMINANCE, np.float32)


def grey(image: Image.Image) -> np.ndarray:
    """Grey values float32 ``[H, W]`` in the range of the file: 8 bit 0..255, 16 bit 0..65535, float as it is."""
    if image.mode in ("L", "F", "I") or image.mode.startswith("I;"):
        return np.asarray(image).astype(np.float32)
    if image.mode in ("1", "LA", "La"):
        return np.asarray(image.convert("L")).astype(np.float32)
    return luminance(np.asarray(image.convert("RGB")))


def display(
    stored: np.ndarray,
    slope: np.ndarray | float,
    intercept: np.ndarray | float,
    low: np.ndarray | float,
    high: np.ndarray | float,
    inverted: np.ndarray | bool,
) -> np.ndarray:
    """Stored pixels to shown grey values: rescale, clip to the display range, invert (DICOM PS3.3 C.11.2, C.7.6.3.1.2).

    Returns:
        float32 in [0, 1], 0 black, of the shape of ``stored``.
    """
    value = stored.astype(np.float64) * slope + intercept
    shown = np.clip((value - low) / (np.asarray(high) - low), 0, 1)
    return np.where(np.asarray(inverted, bool), 1 - shown, shown).astype(np.float32)
