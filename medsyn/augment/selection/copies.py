"""Copies of training images, in aligned pixels."""

from __future__ import annotations

import numpy as np

from medsyn.augment.selection.limits import lowest
from medsyn.metrics.neighbours import DISGUISED, SAME, Gallery

SHARE = 0.005
"""Of real images of other subjects that would be taken for copies."""


def limit(ratios: np.ndarray) -> float:
    """Of `Nearest.ratio`, from those of real images of other subjects ``[c]``.

    Never below `DISGUISED`: real images that repeat training images under another subject's name would otherwise teach
    that copies are common.
    """
    return max(DISGUISED, lowest(ratios, SHARE)) if len(ratios) else DISGUISED


class CopyRule:
    """Nearer to a training image than real images of other subjects are.

    Blind to brightness, contrast, mirroring and shifts of some pixels, see `medsyn.metrics.neighbours`.

    Args:
        gallery: Of all training images.
        limit: Of `Nearest.ratio`.
    """

    def __init__(self, gallery: Gallery, limit: float) -> None:
        self.gallery, self.limit = gallery, limit

    def score(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Score ``[n]``, above 1 fails, and distance to the nearest training image ``[n]``, 0 for the same picture.

        Args:
            images: ``[n, C, H, W]`` in [0, 1].
        """
        found = self.gallery.nearest(images)
        score = self.limit / np.maximum(found.ratio, 1e-6)
        return np.minimum(np.where(found.distance < SAME, 1e6, score), 1e6), found.distance
