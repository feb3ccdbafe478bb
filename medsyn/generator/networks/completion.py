"""A generator that completes coarse images: it adds what they lack, drawn anew from noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from medsyn.generator.networks.blocks import ResidualBlock, activate, double, halve, sides


class CompletionGenerator(nn.Module):
    """A U-Net (Ronneberger et al. 2015) with noise at every level.

    Most of what tells one patient from the next lies in a few dozen coarse directions, which a first stage draws. What
    it cannot say is the rest: edges, ribs, vessels. They depend on their surroundings, so that every place of every
    image teaches them, and a coarse real image comes with its own true details: a discriminator compares the two
    versions of one patient.

    Args:
        image_shape: ``(C, H, W)``.
        condition: Length of a condition vector.
        channels: Of every level, finest first; each level halves the side.
        blocks: Residual blocks a level on the way down, and again on the way up; the finest has one on the way up.
        maps: Noise maps of every level.
    """

    def __init__(
        self, image_shape: tuple[int, int, int], condition: int, channels: Sequence[int], blocks: int, maps: int
    ) -> None:
        super().__init__()
        colours, height, width = image_shape
        self._sides = sides(height, width, len(channels))
        self._maps = maps
        self._ends = [0]
        for h, w in self._sides:
            self._ends.append(self._ends[-1] + maps * h * w)
        self.noise = self._ends[-1]
        self.input = nn.Conv2d(colours + maps, channels[0], 3, padding=1)
        self.condition = nn.Linear(condition, channels[-1], bias=False)
        below = list(pairwise(channels))
        self.down = nn.ModuleList(halve(a, b) for a, b in below)
        self.inject = nn.ModuleList(nn.Conv2d(maps, b, 1) for _, b in below)
        self.encode = nn.ModuleList(_blocks(b, blocks) for _, b in below)
        self.up = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in below)
        self.decode = nn.ModuleList(_blocks(a, blocks if i else 1) for i, (a, _) in enumerate(below))
        self.output = nn.Conv2d(channels[0], colours, 3, padding=1)
        if not self.output.weight.is_meta:  # there, it would take torch seconds to do nothing
            nn.init.normal_(self.output.weight, std=0.1 / math.sqrt(9 * channels[0]))
        if self.output.bias is not None:
            nn.init.zeros_(self.output.bias)

    def forward(self, noise: torch.Tensor, condition: torch.Tensor, coarse: torch.Tensor) -> torch.Tensor:
        """Details for coarse images.

        Args:
            noise: Standard normal ``[n, noise]``.
            condition: ``[n, c]``.
            coarse: ``[n, C, H, W]``, about [0, 1].

        Returns:
            ``[n, C, H, W]``, to be added to ``coarse``.
        """
        maps = [
            noise[:, a:b].unflatten(1, (self._maps, *side))
            for (a, b), side in zip(pairwise(self._ends), self._sides, strict=True)
        ]
        x = self.input(torch.cat([coarse * 2 - 1, maps[0]], 1))
        passed = []
        for halved, inject, blocks, drawn in zip(self.down, self.inject, self.encode, maps[1:], strict=True):
            passed.append(x)
            x = blocks(halved(activate(x)) + inject(drawn))
        x = x + self.condition(condition)[:, :, None, None]
        for widen, blocks, skip in zip(reversed(self.up), reversed(self.decode), reversed(passed), strict=True):
            x = blocks(skip + double(widen(activate(x)), skip.shape[-2:]))
        return self.output(activate(x))


def _blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(channels) for _ in range(count)))
