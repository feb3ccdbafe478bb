"""Classical augmentation, the control that synthetic images have to beat."""

from __future__ import annotations

import hashlib
import math
from collections import Counter

import numpy as np
import torch
from monai.networks.layers import AffineTransform

from medsyn.compute import numpy_rng, torch_rng
from medsyn.config import Augmentation

DRAWS = 7
CHUNK = 256


def augment(images: torch.Tensor, strength: Augmentation, *key: object) -> torch.Tensor:
    """Rotate, zoom, shift, flip and change the contrast of every image by its own draw.

    Args:
        images: float32 ``[n, C, H, W]`` in [0, 1].
        strength: Preset of the modality; each draw is uniform in plus or minus the value.
        key: What the draws depend on, such as seed and step: image i of equal batches gets equal draws in every arm.

    Returns:
        Images of the same shape and range; what lies outside repeats the border.
    """
    draws = torch.rand(len(images), DRAWS, generator=torch_rng("augment", *key))
    return transform(images, strength, draws)


def augmented_copies(images: np.ndarray, strength: Augmentation, seed: int) -> np.ndarray:
    """One augmented copy of every image, which depends on the image and the seed alone.

    Not on its place among others, so that features of copies can be computed once for all arms. The second
    occurrence of an image gets draws of its own.

    Args:
        images: float32 ``[n, C, H, W]`` in [0, 1].
        strength: Preset of the modality.
        seed: Repeat.
    """
    seen: Counter[str] = Counter()
    out = np.empty_like(images)
    for start in range(0, len(images), CHUNK):
        part = images[start : start + CHUNK]
        draws = np.empty((len(part), DRAWS), np.float32)
        for i, image in enumerate(part):
            digest = hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()
            draws[i] = numpy_rng("copy", seed, digest, seen[digest]).random(DRAWS, np.float32)
            seen[digest] += 1
        out[start : start + CHUNK] = transform(torch.from_numpy(part), strength, torch.from_numpy(draws)).numpy()
    return out


def transform(images: torch.Tensor, strength: Augmentation, draws: torch.Tensor) -> torch.Tensor:
    """Change images as ``draws`` say.

    By MONAI's batched layer: its transforms go image by image, which at 64 images of 28 px takes 90 times as long, and
    longer than the training step itself.

    Args:
        images: float32 ``[n, C, H, W]`` in [0, 1].
        strength: Preset of the modality.
        draws: ``[n, 7]`` in [0, 1]: angle, zoom, flip, two shifts, gain, offset.
    """
    n = len(images)
    u = draws.to(images.device) * 2 - 1
    angle = u[:, 0] * math.radians(strength.rotate_degrees)
    scale = 1 / (1 + u[:, 1] * strength.zoom)
    mirror = torch.where((u[:, 2] > 0) & strength.flip, -1.0, 1.0)
    shift = u[:, 3:5] * strength.translate * 2  # normalised coordinates span [-1, 1]
    ratio = images.shape[-2] / images.shape[-1]
    theta = torch.stack(
        [
            torch.stack([mirror * scale * angle.cos(), -scale * angle.sin() * ratio, shift[:, 0]], 1),
            torch.stack([mirror * scale * angle.sin() / ratio, scale * angle.cos(), shift[:, 1]], 1),
        ],
        1,
    )
    moved = _MOVE(images, theta)
    gain = (1 + u[:, 5] * strength.contrast).view(n, 1, 1, 1)
    offset = (u[:, 6] * strength.contrast / 2).view(n, 1, 1, 1)
    return ((moved - 0.5) * gain + 0.5 + offset).clamp(0, 1)


_MOVE = AffineTransform(
    mode="bilinear", padding_mode="border", normalized=True, align_corners=False, reverse_indexing=False
)
