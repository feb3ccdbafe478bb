"""DiffAugment (Zhao et al. 2020, arXiv:2006.10738): the same kind of change for real and fake, differentiable."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional as F


def diffaugment(images: torch.Tensor, policy: Sequence[str], generator: torch.Generator) -> torch.Tensor:
    """Change every image at random, so that the discriminator cannot learn the few training images by heart.

    Args:
        images: ``[n, C, H, W]``, about [0, 1].
        policy: Names in `POLICIES`, applied in their order. Which ones a modality allows is the preset's matter:
            a mirrored chest is another anatomy.
        generator: A CPU generator; all randomness comes from it.
    """
    for name in policy:
        images = POLICIES[name](images, generator)
    return images


def _uniform(n: int, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return torch.rand(n, generator=generator).to(images.device, images.dtype)


def _flip(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    mirrored = _uniform(len(images), images, generator)[:, None, None, None] < 0.5
    return torch.where(mirrored, images.flip(-1), images)


def _translation(images: torch.Tensor, generator: torch.Generator, share: float = 0.125) -> torch.Tensor:
    n, _, height, width = images.shape
    shift_y = torch.round((_uniform(n, images, generator) * 2 - 1) * share * height).long()
    shift_x = torch.round((_uniform(n, images, generator) * 2 - 1) * share * width).long()
    pad_y, pad_x = round(share * height), round(share * width)
    padded = F.pad(images, (pad_x, pad_x, pad_y, pad_y))
    rows = torch.arange(height, device=images.device) + pad_y + shift_y[:, None]
    columns = torch.arange(width, device=images.device) + pad_x + shift_x[:, None]
    number = torch.arange(n, device=images.device)[:, None, None]
    return padded[number, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _brightness(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    # Half of the paper's range: its images span [-1, 1], ours [0, 1].
    return images + (_uniform(len(images), images, generator)[:, None, None, None] - 0.5) / 2


def _contrast(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    mean = images.mean((1, 2, 3), keepdim=True)
    return (images - mean) * (_uniform(len(images), images, generator)[:, None, None, None] + 0.5) + mean


def _cutout(images: torch.Tensor, generator: torch.Generator, share: float = 0.5) -> torch.Tensor:
    n, _, height, width = images.shape
    centre_y = _uniform(n, images, generator)[:, None] * height
    centre_x = _uniform(n, images, generator)[:, None] * width
    rows = (torch.arange(height, device=images.device) + 0.5 - centre_y).abs() < share * height / 2
    columns = (torch.arange(width, device=images.device) + 0.5 - centre_x).abs() < share * width / 2
    hole = rows[:, None, :, None] & columns[:, None, None, :]
    return images * ~hole


POLICIES = {
    "flip": _flip,
    "translation": _translation,
    "brightness": _brightness,
    "contrast": _contrast,
    "cutout": _cutout,
}
