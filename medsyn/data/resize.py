"""Fitting an image into a square, keeping its physical proportions."""

from __future__ import annotations

import numpy as np
from PIL import Image

BLOCKS = 4
"""Blocks for each pixel of the result that are left for the antialiasing filter."""


def shrink(values: np.ndarray, size: int, pixel: tuple[float, float] = (1.0, 1.0)) -> np.ndarray:
    """Resize so that the longer physical side has ``size`` pixels, antialiased.

    Args:
        values: float32 ``[H, W]``, or ``[H, W, 3]``.
        size: Pixels of the longer side afterwards.
        pixel: Height and width of one pixel, in any common unit.

    Returns:
        float32 ``[h, w]`` or ``[h, w, 3]``, within the range of ``values``: Lanczos overshoot is cut off.
    """
    target = _target(values.shape, size, pixel)
    if target == values.shape[:2]:
        return values.astype(np.float32)
    if values.ndim == 3:
        return np.dstack([shrink(channel, size, pixel) for channel in np.moveaxis(values, 2, 0)])
    # Far larger images are averaged over whole blocks first: much faster, and within 0.1 of 255 on average.
    rows, columns = (max(1, int(n / t / BLOCKS)) for n, t in zip(values.shape, target, strict=True))
    image = Image.fromarray(_block_means(values.astype(np.float32, copy=False), rows, columns))
    box = (0, 0, values.shape[1] / columns, values.shape[0] / rows)
    out = np.asarray(image.resize(target[::-1], Image.Resampling.LANCZOS, box=box))
    return np.clip(out, values.min(), values.max())


def _block_means(values: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Means of blocks of ``rows`` x ``columns``, float32; those at the end may be of fewer."""
    if rows > 1:
        values = _row_means(values, rows)
    if columns > 1:
        values = _row_means(np.ascontiguousarray(values.T), columns).T
    return np.ascontiguousarray(values, np.float32)


def _row_means(values: np.ndarray, block: int) -> np.ndarray:
    whole = len(values) // block * block
    means = np.einsum("ijk->ik", values[:whole].reshape(-1, block, values.shape[1])) / np.float32(block)
    if whole == len(values):
        return means
    return np.concatenate([means, values[whole:].mean(axis=0, keepdims=True, dtype=np.float32)])


def fit_mask(mask: np.ndarray, size: int, pixel: tuple[float, float] = (1.0, 1.0)) -> np.ndarray:
    """Fit a segmentation into the square that `shrink` and `pad` make of its image, by nearest neighbour.

    Classes are never mixed; one that is thinner than a pixel of the result may be lost.

    Args:
        mask: uint8 ``[H, W]``, pixel for pixel that of the image at full resolution.
        size: Side of the square.
        pixel: Height and width of one pixel, as given to `shrink`.

    Returns:
        uint8 ``[size, size]``, 0 in the padding.
    """
    target = _target(mask.shape, size, pixel)
    image = Image.fromarray(np.ascontiguousarray(mask, np.uint8))
    return pad(np.asarray(image.resize(target[::-1], Image.Resampling.NEAREST)), size, 0)


def _target(shape: tuple[int, ...], size: int, pixel: tuple[float, float]) -> tuple[int, int]:
    """Height and width in square pixels, the longer side of ``size``."""
    height, width = shape[0] * pixel[0], shape[1] * pixel[1]
    scale = size / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def pad(values: np.ndarray, size: int, fill: float) -> np.ndarray:
    """Centre ``[h, w]`` or ``[h, w, 3]`` in a square ``[size, size]`` of ``fill``."""
    if values.shape[:2] == (size, size):
        return values
    out = np.full((size, size, *values.shape[2:]), fill, values.dtype)
    top, left = (size - values.shape[0]) // 2, (size - values.shape[1]) // 2
    out[top : top + values.shape[0], left : left + values.shape[1]] = values
    return out
