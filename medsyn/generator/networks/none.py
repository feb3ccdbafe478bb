"""No network: the first stage's image is the whole image."""

from __future__ import annotations

import torch
from torch import nn


class NoNetwork(nn.Module):
    """Adds nothing.

    Args:
        image_shape: ``(C, H, W)``; not used.
        condition: Length of a condition vector; not used.
    """

    noise = 0

    def __init__(self, image_shape: tuple[int, int, int], condition: int) -> None:
        super().__init__()

    def forward(self, noise: torch.Tensor, condition: torch.Tensor, coarse: torch.Tensor) -> torch.Tensor:
        """Zeros like ``coarse``."""
        return torch.zeros_like(coarse)
