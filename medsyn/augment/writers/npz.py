"""npz in MedMNIST's key layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from medsyn.augment.staging import Staging


class NpzWriter:
    """``images.npz`` in MedMNIST's key layout: everything is training data, the other splits are empty.

    One key is ours: ``synthetic``, which is True.

    Args:
        staging: File that holds the pixels until the set is complete; one that an earlier process left is gone on with.
        n: Images that there will be.
        shape: ``(C, H, W)``.
        bits: Of a pixel, 8 or 16; MedMNIST's own have 8.
    """

    def __init__(self, staging: Path, n: int, shape: tuple[int, int, int], bits: int = 8) -> None:
        channels, height, width = shape
        axes = (n, height, width) if channels == 1 else (n, height, width, channels)
        self.staged = Staging(staging, f"<u{bits // 8}", axes)

    def write(self, row: int, pixels: np.ndarray) -> None:
        """Keep image number ``row``, ``[C, H, W]``."""
        self.staged.rows[row] = pixels[0] if pixels.shape[0] == 1 else pixels.transpose(1, 2, 0)

    def finish(self, file: Path, labels: np.ndarray) -> None:
        """Write the npz.

        Args:
            file: Where.
            labels: Class indices of the images that were written ``[m]``.
        """
        images = self.staged.rows
        empty = np.zeros((0, *images.shape[1:]), images.dtype)
        number = np.uint8 if labels.max(initial=0) < 256 else np.uint16
        none = np.zeros((0, 1), number)
        train: dict[str, Any] = {"train_images": images[: len(labels)], "train_labels": labels.astype(number)[:, None]}
        rest: dict[str, Any] = {"val_images": empty, "val_labels": none, "test_images": empty, "test_labels": none}
        np.savez_compressed(file, **train, **rest, synthetic=np.array(True))
