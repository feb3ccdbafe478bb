"""The discriminator of first-stage coefficients."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from medsyn.generator.networks.latent import ResidualBlock


class LatentDiscriminator(nn.Module):
    """A residual network with class projection (Miyato and Koyama 2018) and no normalisation.

    Args:
        coefficients: Length of its input.
        classes: Number of classes.
        width: Of the hidden layers.
        depth: Residual blocks.
    """

    def __init__(self, coefficients: int, classes: int, width: int, depth: int) -> None:
        super().__init__()
        self.input = nn.Linear(coefficients, width)
        self.blocks = nn.Sequential(*(ResidualBlock(width) for _ in range(depth)))
        self.output = nn.Linear(width, 1)
        self.embedding = nn.Embedding(classes, width)
        nn.init.normal_(self.embedding.weight, std=width**-0.5)

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Scores ``[n]`` of coefficients ``[n, K]`` under labels int64 ``[n]``."""
        hidden = F.leaky_relu(self.blocks(self.input(x)), 0.2)
        return self.output(hidden)[:, 0] + (hidden * self.embedding(labels)).sum(1)
