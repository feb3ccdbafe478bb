"""Small changes of training images, each told in numbers, so that a prior can learn from them and still make none."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from medsyn.compute import torch_rng

NUMBERS = 6
"""That tell of one change: shift along x and y, size, turn, contrast, brightness, in units of their deviations."""

SHIFT, SIZE, TURN, CONTRAST, BRIGHTNESS = 0.02, 0.04, 0.05, 0.1, 0.04
"""Deviations: share of the side, share of the size, radians, share of the contrast, grey values of [0, 1]. No patient
becomes another one by them, and no modality forbids them; mirroring, which some do, is not among them."""

MOST = 2.0
"""Deviations at most."""


def changed(images: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Every image changed a little, at random.

    Args:
        images: float32 ``[n, C, H, W]`` in [0, 1].
        seed: The same seed, the same changes.

    Returns:
        The changed ones, not clipped, and what was done to them: float32 ``[n, NUMBERS]``, zeros being nothing.
    """
    told = torch.randn(len(images), NUMBERS, generator=torch_rng("changes", seed)).clamp(-MOST, MOST)
    out = [change(torch.from_numpy(images[i : i + 1000]), told[i : i + 1000]) for i in range(0, len(images), 1000)]
    return torch.cat(out).numpy(), told.numpy()


def change(images: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
    """Images ``[n, C, H, W]`` changed by as much as ``told`` says, ``[n, NUMBERS]``; not clipped."""
    x, y, size, turn, contrast, brightness = told.T
    scale, angle = 1 + SIZE * size, TURN * turn
    cosine, sine = scale * angle.cos(), scale * angle.sin()
    # The sides of an image are 2 long in these coordinates.
    rows = [torch.stack([cosine, -sine, 2 * SHIFT * x], 1), torch.stack([sine, cosine, 2 * SHIFT * y], 1)]
    places = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    moved = F.grid_sample(images, places, mode="bicubic", padding_mode="border", align_corners=False)
    mean = moved.mean((1, 2, 3), keepdim=True)
    stretched = (moved - mean) * (1 + CONTRAST * contrast)[:, None, None, None] + mean
    return stretched + (BRIGHTNESS * brightness)[:, None, None, None]
