"""Pixels as PNG data URIs, so that the report needs no other file."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

SMOOTH_FROM = 128
"""Sides in pixels from which a picture is shown no larger than it is, and smoothing on screen hides nothing."""


@dataclass(frozen=True)
class Picture:
    """One image ready for an ``<img>``."""

    uri: str
    width: int  # pixels
    height: int
    enlarged: bool  # shown larger than it is: keep the pixels visible as squares


def picture(pixels: np.ndarray) -> Picture:
    """Encode one image without loss and without metadata.

    Args:
        pixels: uint8 ``[C, H, W]`` with C = 1 (grey) or 3 (RGB).

    Raises:
        ValueError: Another shape or type.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[0] not in (1, 3):
        raise ValueError(f"expected uint8 [1 or 3, H, W], got {pixels.dtype} {list(pixels.shape)}")
    flat = pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(flat)).save(file, "PNG", optimize=True)
    _, height, width = pixels.shape
    uri = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
    return Picture(uri, width, height, enlarged=max(height, width) < SMOOTH_FROM)
