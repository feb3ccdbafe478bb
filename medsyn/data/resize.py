"""Fitting an image into a square, keeping its physical proportions."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image

from medsyn.compute import numpy_rng

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
    return shrink_all(values[None], size, pixel)[0]


def shrink_all(planes: np.ndarray, size: int, pixel: tuple[float, float] = (1.0, 1.0)) -> np.ndarray:
    """`shrink` of many planes of one shape, such as the slices of a volume.

    Args:
        planes: float32 ``[n, H, W]``, or ``[n, H, W, 3]``.
        size: Pixels of the longer side afterwards.
        pixel: Height and width of one pixel, in any common unit.

    Returns:
        float32 ``[n, h, w]`` or ``[n, h, w, 3]``, each bit for bit what it is alone.
    """
    target = _target(planes.shape[1:], size, pixel)
    if target == planes.shape[1:3]:
        return planes.astype(np.float32)
    if planes.ndim == 4:
        channels = np.moveaxis(planes, 3, 1)
        small = shrink_all(channels.reshape(-1, *planes.shape[1:3]), size, pixel)
        return np.moveaxis(small.reshape(*channels.shape[:2], *target), 1, 3)
    # Far larger images are averaged over whole blocks first: much faster, and within 0.1 of 255 on average.
    rows, columns = (max(1, int(n / t / BLOCKS)) for n, t in zip(planes.shape[1:], target, strict=True))
    means = [_block_means(plane.astype(np.float32, copy=False), rows, columns) for plane in planes]
    out = _lanczos(np.stack(means), target, (planes.shape[1] / rows, planes.shape[2] / columns))
    values = planes.reshape(len(planes), -1)
    low, high = (edge[:, None, None] for edge in (values.min(axis=1), values.max(axis=1)))
    return np.clip(out, low, high)


def _lanczos(planes: np.ndarray, target: tuple[int, int], box: tuple[float, float]) -> np.ndarray:
    """Resample float32 ``[n, H, W]``, of which the first ``box`` rows and columns count, to ``target``."""
    order = _passes(planes.shape[1:], target, box) if len(planes) > 1 else None
    if order is None:
        return np.stack([_both(plane, target, box) for plane in planes])
    for axis in order:
        planes = (_columns if axis else _rows)(planes, target[axis], box[axis])
    return planes


def _both(plane: np.ndarray, target: tuple[int, int], box: tuple[float, float]) -> np.ndarray:
    return np.asarray(Image.fromarray(plane).resize(target[::-1], Image.Resampling.LANCZOS, box=(0, 0, *box[::-1])))


def _columns(planes: np.ndarray, target: int, box: float) -> np.ndarray:
    """Resample along the columns alone: the planes lie below each other in one picture."""
    n, height, width = planes.shape
    below = np.ascontiguousarray(planes).reshape(n * height, width)
    return _both(below, (n * height, target), (n * height, box)).reshape(n, height, target)


def _rows(planes: np.ndarray, target: int, box: float) -> np.ndarray:
    """Resample along the rows alone: the planes lie side by side in one picture."""
    n, height, width = planes.shape
    beside = np.ascontiguousarray(planes.swapaxes(0, 1)).reshape(height, n * width)
    return _both(beside, (target, n * width), (box, n * width)).reshape(target, n, width).swapaxes(0, 1)


@lru_cache(1024)
def _passes(shape: tuple[int, int], target: tuple[int, int], box: tuple[float, float]) -> tuple[int, int] | None:
    """Which axis Pillow resamples first in pictures of this shape, found by trial; None where its passes are no two.

    That is its own choice, and none that it documents; the other order rounds otherwise.
    """
    trial = numpy_rng("order of passes").normal(size=(1, *shape)).astype(np.float32)
    expected = _both(trial[0], target, box)
    across, down = _columns(trial, target[1], box[1]), _rows(trial, target[0], box[0])
    if np.array_equal(_rows(across, target[0], box[0])[0], expected):
        return 1, 0
    if np.array_equal(_columns(down, target[1], box[1])[0], expected):
        return 0, 1
    return None


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
