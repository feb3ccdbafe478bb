"""PNG of 8 or 16 bit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medsyn.augment.writers.base import Origin, place
from medsyn.images import synthetic_png


@dataclass(frozen=True)
class PngEncoder:
    """PNG below ``images/``, grey of 8 or 16 bit or RGB of 8, each saying in its text that it is synthetic."""

    origin: Origin
    name: str = "png"

    def encode(self, pixels: np.ndarray, label: str, index: int) -> dict[str, bytes]:
        """See `base.Encoder`."""
        return {place("images", label, index, "png"): synthetic_png(pixels, self.origin.text)}
