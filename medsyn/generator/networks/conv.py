"""A convolutional generator of whole images from noise, as R3GAN's without what needs a GPU to pay."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from medsyn.generator.networks.blocks import ResidualBlock, activate, double, sides


class ConvGenerator(nn.Module):
    """From a learnt map, scaled by noise and condition, upwards (R3GAN: Huang et al. 2024, section 3.4, small).

    Bilinear upsampling before a convolution leaves no chequerboard (Odena et al. 2016).

    Args:
        image_shape: ``(C, H, W)``.
        condition: Length of a condition vector.
        channels: Of every level, finest first; each level halves the side.
        blocks: Residual blocks a level.
        latent: Length of the noise.
    """

    def __init__(
        self, image_shape: tuple[int, int, int], condition: int, channels: Sequence[int], blocks: int, latent: int
    ) -> None:
        super().__init__()
        colours, height, width = image_shape
        self._sides = sides(height, width, len(channels))
        self.noise = latent
        h, w = self._sides[-1]
        self.embed = nn.Linear(condition, latent, bias=False)
        self.start = nn.Linear(2 * latent, channels[-1] * h * w)
        self.blocks = nn.ModuleList(nn.Sequential(*(ResidualBlock(c) for _ in range(blocks))) for c in channels)
        below = list(pairwise(channels))
        self.up = nn.ModuleList(nn.Conv2d(b, a, 3, padding=1) for a, b in below)
        self.output = nn.Conv2d(channels[0], colours, 3, padding=1)

    def forward(self, noise: torch.Tensor, condition: torch.Tensor, coarse: torch.Tensor) -> torch.Tensor:
        """Images.

        Args:
            noise: Standard normal ``[n, latent]``.
            condition: ``[n, c]``.
            coarse: ``[n, C, H, W]``; not looked at.

        Returns:
            ``[n, C, H, W]``, to be added to ``coarse``: about [0, 1] where that is zero.
        """
        x = self.start(torch.cat([noise, self.embed(condition)], 1)).unflatten(1, (-1, *self._sides[-1]))
        x = self.blocks[-1](x)
        for widen, blocks, side in zip(
            reversed(self.up), reversed(self.blocks[:-1]), reversed(self._sides[:-1]), strict=True
        ):
            x = blocks(widen(double(activate(x), side)))
        return self.output(activate(x)) * 0.5 + 0.5
