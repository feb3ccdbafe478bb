"""No first stage: the network makes the whole image."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from medsyn.generator.first_stage.fitting import Fitting


class NoStage(nn.Module):
    """Codes of length 0 and images of zeros.

    Args:
        image_shape: ``(C, H, W)``.
    """

    noise = picks = 0

    def __init__(self, image_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.image_shape = image_shape

    @classmethod
    def fit(cls, images: np.ndarray, labels: np.ndarray, fitting: Fitting) -> NoStage:
        """There is nothing to fit: only the shape of ``images`` counts."""
        return cls(tuple(images.shape[1:]))

    def sizes(self) -> dict[str, str]:
        """For config.json."""
        return {"kind": "none"}

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """``[n, C, H, W]`` to ``[n, 0]``."""
        return images.new_zeros(len(images), 0)

    def sample(self, noise: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Noise ``[n, 0]`` to codes ``[n, 0]``."""
        return noise

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Zeros ``[n, C, H, W]``."""
        return codes.new_zeros(len(codes), *self.image_shape)

    def detail(self, images: torch.Tensor) -> torch.Tensor:
        """All of the images."""
        return images
