"""A small convolutional network trained from scratch."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

WIDTHS = (16, 32, 32, 64, 64, 64)
STRIDES = (1, 2, 1, 2, 1, 1)


class SmallCNN(nn.Module):
    """Six convolutions with batch normalisation, global average pooling, one linear layer.

    Args:
        channels: Of the images.
        classes: Number of them.
        side: Of the images in pixels; from 48 on the first convolution halves the image, so that 28 and 64 px cost
            and see about the same.
    """

    learning_rate = 3e-3

    def __init__(self, channels: int, classes: int, side: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        halvings = max(0, round(np.log2(side / 32)))
        inputs = channels
        for width, stride in zip(WIDTHS, STRIDES, strict=True):
            if halvings and stride == 1:
                stride, halvings = 2, halvings - 1
            layers += [
                nn.Conv2d(inputs, width, 3, stride, 1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            inputs = width
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(inputs, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits ``[n, classes]`` of images ``[n, C, H, W]`` in [0, 1]."""
        return self.head(self.body((images - 0.5) / 0.25).mean((2, 3)))
