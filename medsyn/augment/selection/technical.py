"""Technical faults: constant and saturated images, and artefacts along the border."""

from __future__ import annotations

import numpy as np

from medsyn.augment.selection.limits import highest

LEAST_DEVIATION = 0.01
MOST_SATURATED = 0.9
SHARE = 0.001
"""Of real images that saturation and border may reach at most; the limits leave room above that."""
ROOM = 1.5
LEAST_BORDER = 1.0
"""Standard deviations that an edge may always differ by: real images whose edges are all smooth ask for too much."""


def deviation(images: np.ndarray) -> np.ndarray:
    """Standard deviation of the pixels of each image ``[n]``."""
    return images.reshape(len(images), -1).std(1)


def saturation(images: np.ndarray) -> np.ndarray:
    """Share of pixels that are black or white ``[n]``."""
    return ((images <= 0) | (images >= 1)).reshape(len(images), -1).mean(1)


def border(images: np.ndarray) -> np.ndarray:
    """How much an outermost line differs from its neighbour, in standard deviations of the image ``[n]``.

    The largest over the four edges: a generator that pads its feature maps marks the edge of the image.
    """
    grey = images.mean(1)
    pairs = ((grey[:, 0], grey[:, 1]), (grey[:, -1], grey[:, -2]), (grey[..., 0], grey[..., 1]))
    lines = [outer - inner for outer, inner in (*pairs, (grey[..., -1], grey[..., -2]))]
    edges = np.stack([np.abs(line).mean(1) for line in lines], 1).max(1)
    return edges / np.maximum(deviation(images), LEAST_DEVIATION)


class TechnicalRules:
    """Limits of `saturation` and `border`; without real images only those that hold for all.

    Args:
        saturated: Largest share of black and white pixels.
        border: Largest `border`.
    """

    def __init__(self, saturated: float = MOST_SATURATED, border: float = np.inf) -> None:
        self.saturated, self.border = saturated, border

    @classmethod
    def fit(cls, real: np.ndarray) -> TechnicalRules:
        """Calibrate on real images ``[c, C, H, W]`` in [0, 1]."""
        most = max(LEAST_BORDER, ROOM * highest(border(real), SHARE))
        return cls(max(MOST_SATURATED, highest(saturation(real), SHARE)), most)

    def score(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """``constant``, ``saturated`` and ``border`` ``[n]``: above 1 fails."""
        return {
            "constant": np.minimum(LEAST_DEVIATION / np.maximum(deviation(images), 1e-8), 1e6),
            "saturated": saturation(images) / self.saturated,
            "border": border(images) / self.border,
        }
