"""Labelled images in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Images:
    """Labelled images in memory.

    Attributes:
        pixels: float32 ``[n, C, H, W]`` in [0, 1].
        labels: Class indices, int64 ``[n]``.
        units: Subject of each image, str ``[n]``.
        rows: Number of each image in its dataset or set, int64 ``[n]``.
    """

    pixels: np.ndarray
    labels: np.ndarray
    units: np.ndarray
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


def join(a: Images, b: Images) -> Images:
    """One after the other."""
    return Images(*(np.concatenate([getattr(a, f), getattr(b, f)]) for f in ("pixels", "labels", "units", "rows")))


def take(images: Images, rows: np.ndarray) -> Images:
    """Some of them, by place."""
    return Images(images.pixels[rows], images.labels[rows], images.units[rows], images.rows[rows])
