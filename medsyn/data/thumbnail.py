"""Images as they are shown, small: what near-duplicates are found by."""

from __future__ import annotations

from functools import cache

import numpy as np

from medsyn.data.grey import display, luminance

SIDE = 32
"""Of a thumbnail, in pixels."""


def thumbnails_of_stored(
    pixels: np.ndarray,
    slope: np.ndarray | float,
    intercept: np.ndarray | float,
    low: np.ndarray | float,
    high: np.ndarray | float,
    inverted: np.ndarray | bool,
) -> np.ndarray:
    """Thumbnails of images as they are stored, made of what is shown of them; see `thumbnail`.

    Args:
        pixels: Stored ``[n, C, H, W]``.
        slope: With the others as in the index, for all, or ``[n]``.

    Returns:
        uint8 ``[n, SIDE, SIDE]``.
    """
    each = (np.reshape(v, (-1, 1, 1, 1)) for v in (slope, intercept, low, high, inverted))
    shown = display(pixels, *each)
    return thumbnail(shown[:, 0] if shown.shape[1] == 1 else luminance(np.moveaxis(shown, 1, 3)))


def thumbnail(images: np.ndarray) -> np.ndarray:
    """Shrink images as they are shown.

    Args:
        images: float32 ``[n, H, W]`` in [0, 1], grey (colour: its luminance).

    Returns:
        uint8 ``[n, SIDE, SIDE]``.
    """
    rows, columns = (_sampler(side) for side in images.shape[1:])
    small = rows @ images.astype(np.float32, copy=False) @ columns.T
    return np.rint(np.clip(small, 0, 1) * 255).astype(np.uint8)


@cache
def _sampler(side: int) -> np.ndarray:
    """Share of each of ``side`` pixels in each pixel of a thumbnail: float32 ``[SIDE, side]``, rows of sum 1.

    A wider filter, such as an antialiased linear one, blurs away what tells patients apart: it doubles the chest films
    of strangers above a likeness of 0.92.
    """
    edge, left = np.arange(SIDE + 1) * (side / SIDE), np.arange(side)
    overlap = np.minimum(edge[1:, None], left + 1) - np.maximum(edge[:-1, None], left)
    return (np.clip(overlap, 0, None) * (SIDE / side)).astype(np.float32)
