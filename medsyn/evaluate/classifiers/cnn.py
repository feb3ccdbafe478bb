"""A small convolutional network trained from scratch."""

from __future__ import annotations

from concurrent.futures import CancelledError
from threading import Event, Lock

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from medsyn.compute import keyed_seed
from medsyn.config import Augmentation
from medsyn.evaluate.classifiers.augmentation import augment
from medsyn.evaluate.classifiers.sampling import batches

WIDTHS = (16, 32, 32, 64, 64, 64)
STRIDES = (1, 2, 1, 2, 1, 1)
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.01
LABEL_SMOOTHING = 0.1
PREDICT_BATCH = 256

_GLOBAL_GENERATOR = Lock()


class SmallCNN(nn.Module):
    """Six convolutions with batch normalisation, global average pooling, one linear layer.

    Args:
        channels: Of the images.
        classes: Number of them.
        side: Of the images in pixels; from 48 on the first convolution halves the image, so that 28 and 64 px cost
            and see about the same.
    """

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


def train(
    images: np.ndarray,
    labels: np.ndarray,
    classes: int,
    *,
    steps: int,
    batch: int,
    seed: int,
    device: torch.device,
    balanced: bool = False,
    augmentation: Augmentation | None = None,
    stop: Event | None = None,
) -> SmallCNN:
    """Train for a fixed number of steps and keep the last weights: the same rule for every arm.

    AdamW under a one-cycle schedule (Smith and Topin 2019), which ends at a rate of nearly zero, so that the last
    weights need no selection.

    Args:
        images: float32 ``[n, C, H, W]`` in [0, 1].
        labels: Class indices ``[n]``.
        classes: Number of classes.
        steps: Optimiser steps.
        batch: Images a step.
        seed: Repeat number: initial weights, order and augmentation follow from it.
        device: Where to train.
        balanced: Show the classes equally often.
        augmentation: Strength of classical augmentation; None without.
        stop: Asked at every step.

    Raises:
        CancelledError: ``stop`` was set.
    """
    # Layers draw their weights from the global generator, which trainings in other threads share.
    with _GLOBAL_GENERATOR, torch.random.fork_rng(devices=[]):
        torch.manual_seed(keyed_seed("cnn", seed))
        network = SmallCNN(images.shape[1], classes, images.shape[-1])
    network = network.to(device, memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    # A warm-up of exactly one step, which 5 steps would get, divides by zero in OneCycleLR.
    warm_up = 0.2 if steps > 5 else 0.3
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps, pct_start=warm_up)
    pool, target = torch.tensor(images, device=device), torch.tensor(labels, device=device)
    for step, rows in enumerate(torch.from_numpy(batches(labels, steps, batch, seed, balanced=balanced)).to(device)):
        if stop is not None and stop.is_set():
            raise CancelledError
        x = pool[rows]
        if augmentation is not None:
            x = augment(x, augmentation, seed, step)
        x = x.contiguous(memory_format=torch.channels_last)
        loss = F.cross_entropy(network(x), target[rows], label_smoothing=LABEL_SMOOTHING)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return network.eval()


@torch.inference_mode()
def predict(network: SmallCNN, images: np.ndarray, device: torch.device) -> np.ndarray:
    """Class probabilities, float64 ``[n, classes]``.

    Args:
        network: A trained network.
        images: float32 ``[n, C, H, W]`` in [0, 1].
        device: Where the network is.
    """
    parts = [
        # Float64 on the CPU: MPS has none.
        torch.softmax(network(torch.from_numpy(images[i : i + PREDICT_BATCH]).to(device)).cpu().double(), 1).numpy()
        for i in range(0, len(images), PREDICT_BATCH)
    ]
    return np.concatenate(parts)
