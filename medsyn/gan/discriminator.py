"""The discriminator of images."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from medsyn.generator.networks.blocks import ResidualBlock, activate, halve, sides
from medsyn.generator.networks.pyramid import shapes_of_levels


class Discriminator(nn.Module):
    """Strided and residual convolutions with projection of the condition (Miyato and Koyama 2018), no normalisation.

    Args:
        image_shape: ``(C, H, W)``.
        condition: Length of a condition vector.
        channels: Of every level, finest first; each level halves the side.
        blocks: Residual blocks a level below the finest.
    """

    def __init__(self, image_shape: tuple[int, int, int], condition: int, channels: Sequence[int], blocks: int) -> None:
        super().__init__()
        colours, height, width = image_shape
        layers: list[nn.Module] = [nn.Conv2d(colours, channels[0], 3, padding=1)]
        for a, b in pairwise(channels):
            layers += [nn.LeakyReLU(0.2), halve(a, b), *(ResidualBlock(b) for _ in range(blocks))]
        self.body = nn.Sequential(*layers)
        h, w = sides(height, width, len(channels))[-1]
        last = channels[-1]
        self.flat = nn.Linear(last * h * w, last)
        self.output = nn.Linear(last, 1)
        self.condition = nn.Linear(condition, last, bias=False)
        nn.init.normal_(self.condition.weight, std=last**-0.5)

    def forward(self, images: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Scores float ``[n]`` of images ``[n, C, H, W]``, about [0, 1], under conditions ``[n, c]``."""
        features = activate(self.flat(activate(self.body(images * 2 - 1)).flatten(1)))
        return self.output(features)[:, 0] + (features * self.condition(condition)).sum(1)


class Discriminators(nn.Module):
    """One for every level of a pyramid, none of which sees the others' images.

    Args:
        levels: Smallest side first.
    """

    def __init__(self, levels: Sequence[nn.Module]) -> None:
        super().__init__()
        self.levels = nn.ModuleList(levels)


def build(sizes: dict[str, Any], image_shape: tuple[int, int, int], condition: int) -> nn.Module:
    """One discriminator, or where ``sizes`` has ``levels``, as many as there are.

    Args:
        sizes: Of `Discriminator`, or of each level.
        image_shape: ``(C, H, W)``, of the last level.
        condition: Length of a condition vector.
    """
    if "levels" not in sizes:
        return Discriminator(image_shape, condition, **sizes)
    levels = sizes["levels"]
    shapes = shapes_of_levels(image_shape, len(levels))
    return Discriminators([build(of, shape, condition) for of, shape in zip(levels, shapes, strict=True)])


def levels_of(discriminator: nn.Module) -> list[nn.Module]:
    """Discriminators by level, smallest side first."""
    return list(discriminator.levels) if isinstance(discriminator, Discriminators) else [discriminator]
