"""Classical augmentation, the control that synthetic images have to beat."""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from medsyn.compute import torch_rng
from medsyn.config import Augmentation

# Whole batches by affine_grid rather than MONAI's dictionary transforms, which work image by image: at 64 images a
# step the latter cost more time than the training itself.


def augment(images: torch.Tensor, strength: Augmentation, *key: object) -> torch.Tensor:
    """Rotate, zoom, shift, flip and change the contrast of every image by its own draw.

    Args:
        images: float32 ``[n, C, H, W]`` in [0, 1].
        strength: Preset of the modality; each draw is uniform in plus or minus the value.
        key: What the draws depend on, such as seed and step.

    Returns:
        Images of the same shape and range; what lies outside repeats the border.
    """
    n = len(images)
    # One table of draws, so that image i of equal batches gets equal draws in every arm.
    u = torch.rand(n, 7, generator=torch_rng("augment", *key)).to(images.device) * 2 - 1
    angle = u[:, 0] * math.radians(strength.rotate_degrees)
    scale = 1 / (1 + u[:, 1] * strength.zoom)
    mirror = torch.where((u[:, 2] > 0) & strength.flip, -1.0, 1.0)
    shift = u[:, 3:5] * strength.translate * 2  # affine_grid spans [-1, 1]
    ratio = images.shape[-2] / images.shape[-1]
    theta = torch.stack(
        [
            torch.stack([mirror * scale * angle.cos(), -scale * angle.sin() * ratio, shift[:, 0]], 1),
            torch.stack([mirror * scale * angle.sin() / ratio, scale * angle.cos(), shift[:, 1]], 1),
        ],
        1,
    )
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    gain = (1 + u[:, 5] * strength.contrast).view(n, 1, 1, 1)
    offset = (u[:, 6] * strength.contrast / 2).view(n, 1, 1, 1)
    return ((moved - 0.5) * gain + 0.5 + offset).clamp(0, 1)
