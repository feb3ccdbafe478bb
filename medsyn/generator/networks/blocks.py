"""What the convolutional networks are built of: no normalisation, and nothing that a second backward cannot pass."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

SLOPE = 0.2


def activate(x: torch.Tensor) -> torch.Tensor:
    """Leaky ReLU of the field's usual slope."""
    return F.leaky_relu(x, SLOPE)


class ResidualBlock(nn.Module):
    """``x + conv(act(conv(act(x))))``, the last convolution zero at the start (Fixup: Zhang et al. 2019).

    Dense convolutions: grouped ones run five times slower on a CPU.

    Args:
        channels: In and out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        for part in self.second.parameters():
            nn.init.zeros_(part)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.second(activate(self.first(activate(x))))


def halve(channels: int, out: int) -> nn.Conv2d:
    """A convolution to half the side."""
    return nn.Conv2d(channels, out, 4, stride=2, padding=1)


def double(x: torch.Tensor, side: tuple[int, int]) -> torch.Tensor:
    """Bilinear, to the size given."""
    return F.interpolate(x, side, mode="bilinear", align_corners=False)


def sides(height: int, width: int, levels: int) -> list[tuple[int, int]]:
    """Sizes of an image that is halved ``levels - 1`` times, as `halve` rounds: down."""
    out = [(height, width)]
    while len(out) < levels:
        height, width = height // 2, width // 2
        out.append((height, width))
    return out
