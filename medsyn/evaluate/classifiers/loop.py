"""The training loop of every network, whoever built it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from medsyn.compute import keyed_seed
from medsyn.evaluate.classifiers.augmentation import augment
from medsyn.evaluate.classifiers.base import Task
from medsyn.evaluate.classifiers.sampling import batches, class_weights

LEARNING_RATE = 1e-3
"""Unless the network has an attribute ``learning_rate``."""
WEIGHT_DECAY = 0.01
LABEL_SMOOTHING = 0.1
PREDICT_BATCH = 256

Build = Callable[[int, int, int], nn.Module]
"""Channels, classes and side of the images -> a network that gives logits ``[n, classes]``."""


@dataclass(frozen=True)
class NetworkClassifier:
    """A network trained from scratch.

    Args:
        name: What reports call it; its initial weights depend on it.
        build: A function or class at the top of a module.
    """

    name: str
    build: Build

    def fit_predict(self, task: Task) -> dict[str, np.ndarray]:
        """See `base.Classifier`."""
        network = train(self.name, self.build, task)
        return {name: predict(network, images, task.device) for name, images in task.wanted.items()}


def train(name: str, build: Build, task: Task) -> nn.Module:
    """Train for a fixed number of steps and keep the last weights: the same rule for every arm.

    AdamW under a one-cycle schedule (Smith and Topin 2019), which ends at a rate of nearly zero, so that the last
    weights need no selection.

    Args:
        name: The initial weights depend on it.
        build: Makes the network.
        task: What to train on.

    Raises:
        CancelledError: ``task.stop`` said so.
    """
    device = torch.device(task.device)
    # Layers draw their weights, and drop-out its masks, from the global generator.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(keyed_seed(name, task.seed))
        network = build(task.images.shape[1], task.classes, task.images.shape[-1])
        # torch's stubs lack memory_format.
        network = network.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        rate = getattr(network, "learning_rate", LEARNING_RATE)
        fused = device.type in ("cpu", "cuda")  # one kernel for all weights, where there is one
        optimiser = torch.optim.AdamW(network.parameters(), rate, weight_decay=WEIGHT_DECAY, fused=fused)
        # A warm-up of exactly one step, which 5 steps would get, divides by zero in OneCycleLR.
        warm_up = 0.2 if task.steps > 5 else 0.3
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=task.steps, pct_start=warm_up)
        pool, target = torch.tensor(task.images, device=device), torch.tensor(task.labels, device=device)
        weights = None
        if task.balance == "weights":
            weights = torch.tensor(class_weights(task.labels, task.classes), dtype=torch.float32, device=device)
        order = batches(task.labels, task.steps, task.batch, task.seed, balanced=task.balance == "oversample")
        for step, rows in enumerate(torch.from_numpy(order).to(device)):
            task.check_stop()
            x, y = pool[rows], target[rows]
            if task.augmentation is not None:
                x = augment(x, task.augmentation, task.seed, step)
            with _autocast(device):
                logits = network(x.contiguous(memory_format=torch.channels_last))
            loss = F.cross_entropy(logits.float(), y, label_smoothing=LABEL_SMOOTHING, reduction="none")
            loss = loss.mean() if weights is None else (loss * weights[y]).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return network.eval()


@torch.inference_mode()
def predict(network: nn.Module, images: np.ndarray, device: torch.device | str) -> np.ndarray:
    """Class probabilities, float64 ``[n, classes]``.

    Args:
        network: A trained network.
        images: float32 ``[n, C, H, W]`` in [0, 1].
        device: Where the network is.
    """
    parts = []
    for start in range(0, max(1, len(images)), PREDICT_BATCH):
        x = torch.from_numpy(np.ascontiguousarray(images[start : start + PREDICT_BATCH])).to(device)
        # Float64 on the CPU: MPS has none.
        parts.append(torch.softmax(network(x.contiguous(memory_format=torch.channels_last)).cpu().double(), 1).numpy())
    return np.concatenate(parts)


def _autocast(device: torch.device) -> torch.autocast:
    """bfloat16 on a GPU that computes with it; elsewhere float32, so that CPUs of all kinds give like results."""
    able = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.autocast(device.type, torch.bfloat16, enabled=able)
