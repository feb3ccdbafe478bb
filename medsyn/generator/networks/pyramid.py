"""Networks one above the other, each of twice the side: what is true of a small image is settled first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import nn
from torch.nn import functional as F


class Pyramid(nn.Module):
    """A Laplacian pyramid of completing networks (Denton et al. 2015, arXiv:1506.05751).

    The first completes a coarse image, every further one the doubled image of the level below. All learn at the same
    time, each from real images of the level below it, so that none waits for another.

    Args:
        levels: Networks, smallest side first.
    """

    def __init__(self, levels: Sequence[nn.Module]) -> None:
        super().__init__()
        self.levels = nn.ModuleList(levels)
        self.noise = sum(noises(self))


def levels_of(network: nn.Module) -> list[nn.Module]:
    """Networks by level, smallest side first: of most there is one."""
    return list(network.levels) if isinstance(network, Pyramid) else [network]


def noises(network: nn.Module) -> list[int]:
    """Standard normal numbers that an image takes at each level."""
    return [cast(int, level.noise) for level in levels_of(network)]


def halved(images: torch.Tensor) -> torch.Tensor:
    """``[n, C, 2 H, 2 W]`` to ``[n, C, H, W]``: means of four."""
    return F.avg_pool2d(images, 2)


def doubled(images: torch.Tensor) -> torch.Tensor:
    """``[n, C, H, W]`` to ``[n, C, 2 H, 2 W]``, each pixel four times: `halved` undoes it."""
    return F.interpolate(images, scale_factor=2, mode="nearest")


def finer(images: torch.Tensor) -> torch.Tensor:
    """What `halved` cannot show of images ``[n, C, 2 H, 2 W]``."""
    return images - doubled(halved(images))


def at_sizes(images: torch.Tensor, levels: int) -> list[torch.Tensor]:
    """Images ``[n, C, H, W]`` at so many sizes, each twice that of the one before; the last are the images."""
    out = [images]
    while len(out) < levels:
        out.insert(0, halved(out[0]))
    return out


def halvings(side: int, smallest: int) -> int:
    """How often an even ``side`` can be halved without falling below ``smallest``."""
    count = 0
    while side % 2 == 0 and side // 2 >= smallest:
        side, count = side // 2, count + 1
    return count


def shapes_of_levels(image_shape: tuple[int, int, int], levels: int) -> list[tuple[int, int, int]]:
    """``(C, H, W)`` of every level, smallest first; the last is ``image_shape``."""
    c, h, w = image_shape
    return [(c, h >> down, w >> down) for down in reversed(range(levels))]
