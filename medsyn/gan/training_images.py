"""Training images: in memory where they fit, else read from the dataset's mapped files as they are shown."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch

from medsyn.data import Dataset

RESIDENT = 2**31
"""Bytes of float32 that are kept in memory, of the device if that is a GPU: half a million images of 32 px."""

PORTION = 4096
"""Images that are read at a time: what is stored becomes float32 by way of float64."""


class TrainingImages(Protocol):
    """What a `torch.Tensor` float32 ``[n, C, H, W]`` in [0, 1] has, and `OnDisk` too."""

    @property
    def shape(self) -> torch.Size: ...

    @property
    def device(self) -> torch.device: ...

    def __getitem__(self, rows: torch.Tensor) -> torch.Tensor: ...


class OnDisk:
    """Images that are read anew every time: memory does not grow with their number.

    Args:
        dataset: Where they are.
        rows: Their numbers in it, int64 ``[n]``.
        device: Where they are wanted.
    """

    def __init__(self, dataset: Dataset, rows: np.ndarray, device: torch.device) -> None:
        self._dataset, self._rows, self.device = dataset, rows, device
        self.shape = torch.Size((len(rows), *dataset.image_shape))

    def __getitem__(self, rows: torch.Tensor) -> torch.Tensor:
        """Float32 ``[m, C, H, W]`` of places int64 ``[m]``."""
        return torch.from_numpy(self._dataset.images(self._rows[rows.cpu().numpy()])).to(self.device)


def load(dataset: Dataset, rows: np.ndarray, device: torch.device) -> torch.Tensor | OnDisk:
    """Images of a dataset, the same numbers whichever way they come.

    Args:
        dataset: Where they are.
        rows: Their numbers in it, int64 ``[n]``.
        device: Where they are wanted.
    """
    on_disk = OnDisk(dataset, rows, device)
    if 4 * on_disk.shape.numel() > RESIDENT:
        return on_disk
    images = torch.empty(on_disk.shape, device=device)
    for begin in range(0, len(rows), PORTION):
        part = torch.arange(begin, min(begin + PORTION, len(rows)))
        images[part[0] : part[-1] + 1] = on_disk[part]
    return images
