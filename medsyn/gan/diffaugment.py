"""DiffAugment (Zhao et al. 2020, arXiv:2006.10738): the same kind of change for real and fake, differentiable."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional as F

DRAWS = 8
"""Random numbers that the changes of one image take, all policies together."""

TRANSLATION, CUTOUT = 0.125, 0.5
"""Shares of the side."""

TARGET, STEP, MOST = 0.5, 0.1, 0.9
"""Of the gap in standard deviations; of the strength."""


def diffaugment(
    images: torch.Tensor, policy: Sequence[str], draws: torch.Tensor, strength: float = 1.0
) -> torch.Tensor:
    """Change every image at random, so that the discriminator cannot learn the few training images by heart.

    Args:
        images: ``[n, C, H, W]``, about [0, 1].
        policy: Names in `POLICIES`, applied in their order. Which ones a modality allows is the preset's matter:
            a mirrored chest is another anatomy.
        draws: Uniform in (0, 1), ``[n, DRAWS]``: the same numbers, the same changes.
        strength: Probability in [0, 1] with which an image is changed at all (Karras et al. 2020, section 3).
    """
    if not policy or strength <= 0:
        return images
    changed, column = images, 1
    for name in policy:
        change, takes = POLICIES[name]
        changed = change(changed, draws[:, column : column + takes])
        column += takes
    return changed if strength >= 1 else torch.where(_of_each(draws[:, 0]) < strength, changed, images)


def adapted(strength: float, gap: float) -> float:
    """The next strength: more where the discriminator knows its training images by heart, less where it does not.

    Args:
        strength: Probability so far.
        gap: How far training images are scored above unseen ones, see `Trainer.gap`.
    """
    return min(MOST, max(0.0, strength + (STEP if gap > TARGET else -STEP)))


def _of_each(values: torch.Tensor) -> torch.Tensor:
    return values[:, None, None, None]


def _flip(images: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    return torch.where(_of_each(u[:, 0]) < 0.5, images.flip(-1), images)


def _translation(images: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    height, width = images.shape[-2:]
    pad_y, pad_x = round(TRANSLATION * height), round(TRANSLATION * width)
    shift_y, shift_x = (((2 * u[:, i, None] - 1) * pad).round().long() for i, pad in enumerate((pad_y, pad_x)))
    padded = F.pad(images, (pad_x, pad_x, pad_y, pad_y))
    rows = torch.arange(height, device=images.device) + pad_y + shift_y
    columns = torch.arange(width, device=images.device) + pad_x + shift_x
    number = torch.arange(len(images), device=images.device)[:, None, None]
    return padded[number, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _brightness(images: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    # Half of the paper's range: its images span [-1, 1], ours [0, 1].
    return images + (_of_each(u[:, 0]) - 0.5) / 2


def _contrast(images: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    mean = images.mean((1, 2, 3), keepdim=True)
    return (images - mean) * (_of_each(u[:, 0]) + 0.5) + mean


def _cutout(images: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    inside = []
    for axis, side in enumerate(images.shape[-2:]):
        place = torch.arange(side, device=images.device) + 0.5
        inside.append((place - u[:, axis, None] * side).abs() < CUTOUT * side / 2)
    hole = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return images * ~hole


_Change = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
POLICIES: dict[str, tuple[_Change, int]] = {
    "flip": (_flip, 1),
    "translation": (_translation, 2),
    "brightness": (_brightness, 1),
    "contrast": (_contrast, 1),
    "cutout": (_cutout, 2),
}
"""Name -> change, and how many random numbers it takes."""
