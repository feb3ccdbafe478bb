"""Images with all that the checks compare, in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Sample:
    """Labelled images and their features.

    Attributes:
        pixels: float32 ``[n, C, H, W]`` in [0, 1].
        features: Of a frozen network, ``[n, d]``.
        labels: Class indices, int64 ``[n]``.
        units: Subject of each image, str ``[n]``; of synthetic images empty names.
    """

    pixels: np.ndarray
    features: np.ndarray
    labels: np.ndarray
    units: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: np.ndarray) -> Sample:
        """The images at ``rows``: indices, or a mask."""
        return Sample(self.pixels[rows], self.features[rows], self.labels[rows], self.units[rows])

    def join(self, other: Sample) -> Sample:
        """These images, then the other's."""
        pairs = ((getattr(self, f), getattr(other, f)) for f in ("pixels", "features", "labels", "units"))
        return Sample(*(np.concatenate(pair) for pair in pairs))
