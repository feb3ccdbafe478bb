"""Principal components, and what convolutions add to them on the way to a code and back."""

from __future__ import annotations

import copy
import math
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from medsyn.compute import counter_normal, keyed_seed, torch_rng
from medsyn.generator.first_stage import prior as priors
from medsyn.generator.first_stage.changes import MOST, NUMBERS, change
from medsyn.generator.first_stage.components import Components, principal
from medsyn.generator.first_stage.fitting import Fitting
from medsyn.generator.first_stage.flow import held_out
from medsyn.generator.networks.blocks import ResidualBlock, activate, double, halve, sides
from medsyn.generator.networks.pyramid import at_sizes, halvings

FEWEST_CHANNELS, MOST_CHANNELS = 16, 64
"""Of the convolutions, at their finest level; each further one has twice as many."""

COARSEST = 6
"""Side at least of the convolutions' last level, and of the grid whose means a network may not change: they are the
code's to say."""

SHOWN, LEARNING_RATE = 32, 1e-3
"""Images a step."""

STEPS_OF_THE_PRIOR = 8
"""Of the prior's training for one of this: both then take about as long."""

LOOKS, PATIENCE = 12, 3


class Autoencoder(nn.Module):
    """Images to codes and back by convolutions that correct what principal components do.

    Both ways begin as the components, since the convolutions begin with nothing, and end where they help most on
    images held out: so it is never worse than components, and only as good as its time.

    Args:
        image_shape: ``(C, H, W)``.
        coefficients: Length of a code, K.
        prior: Kind and sizes of what makes new codes, see `medsyn.generator.first_stage.prior`.
        halved: How often images are halved before; coarse images stay that small.
    """

    def __init__(
        self, image_shape: tuple[int, int, int], coefficients: int, prior: dict[str, Any], halved: int = 0
    ) -> None:
        super().__init__()
        c, h, w = image_shape
        self.halved = halved
        self.linear = Components((c, h >> halved, w >> halved), coefficients)
        self.convolutions = Convolutions((c, h >> halved, w >> halved), coefficients)
        self.register_buffer("mean", torch.zeros(coefficients))
        self.register_buffer("turn", torch.eye(coefficients))
        self.register_buffer("back", torch.eye(coefficients))
        self.prior = priors.build(prior, coefficients)
        self.noise, self.picks = self.prior.noise, self.prior.picks

    @classmethod
    def fit(cls, images: np.ndarray, labels: np.ndarray, fitting: Fitting) -> Autoencoder:
        """Fit to training images: as many coefficients as components would be kept.

        Args:
            images: float32 ``[n, C, H, W]`` in [0, 1].
            labels: int64 ``[n]``; every class occurs.
            fitting: What is wished for; the convolutions train for a share of the prior's steps.
        """
        small = at_sizes(torch.from_numpy(images), fitting.halvings + 1)[0]
        found = principal(small.numpy(), explained=fitting.explained, most=fitting.most)
        coefficients = len(found.scale)
        linear = Components(tuple(small.shape[1:]), coefficients)
        linear.take(found)
        learnt = _train(linear, small, labels, fitting)

        def raw(arrays: np.ndarray) -> np.ndarray:
            return np.concatenate([learnt.encode(linear, x).numpy() for x in torch.from_numpy(arrays).split(500)])

        # Codes of unit variance without correlation, as those of components are.
        turned = principal(raw(small.numpy()), explained=1.0, most=coefficients)
        moved = priors.moved(small.numpy(), fitting.prior, lambda arrays: turned.of(raw(arrays)))
        made = priors.fit(turned.codes, labels, fitting.prior, moved)
        stage = cls(tuple(images.shape[1:]), len(turned.scale), made.sizes(), fitting.halvings)
        stage.linear, stage.convolutions, stage.prior = linear, learnt, made
        stage.mean.copy_(torch.from_numpy(turned.mean))
        stage.turn.copy_(torch.from_numpy(turned.vectors.T / turned.scale))
        stage.back.copy_(torch.from_numpy(turned.vectors * turned.scale[:, None]))
        return stage

    def sizes(self) -> dict[str, Any]:
        """For config.json."""
        parts = {"coefficients": len(self.mean), "halved": self.halved}
        return {"kind": "autoencoder", **parts, "prior": self.prior.sizes()}

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Images ``[n, C, H, W]`` in [0, 1] to codes ``[n, K]``, of unit variance over those that were fitted."""
        small = at_sizes(images, self.halved + 1)[0]
        return (self.convolutions.encode(self.linear, small) - self.mean) @ self.turn

    def sample(self, noise: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Standard normal noise ``[n, noise]`` and conditions ``[n, c]`` to codes ``[n, K]``."""
        return self.prior(noise, condition)

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Codes ``[n, K]`` to images ``[n, C, H, W]``, halved as often as `halved` says, not clipped."""
        return self.convolutions.decode(self.linear, codes @ self.back + self.mean)

    def detail(self, images: torch.Tensor) -> torch.Tensor:
        """Images ``[n, C, H, W]`` without their means over the squares of a coarse grid."""
        size = 2 ** halvings(min(images.shape[-2:]), COARSEST)
        return images - F.interpolate(F.avg_pool2d(images, size), scale_factor=size, mode="nearest")


class Convolutions(nn.Module):
    """What is added to principal coefficients of images, and to images of coefficients.

    Args:
        image_shape: ``(C, H, W)``.
        coefficients: Length of a code, K.
    """

    def __init__(self, image_shape: tuple[int, int, int], coefficients: int) -> None:
        super().__init__()
        colours, height, width = image_shape
        levels = 1 + halvings(min(height, width), COARSEST)
        channels = [min(MOST_CHANNELS, FEWEST_CHANNELS * 2**level) for level in range(levels)]
        self._sides = sides(height, width, len(channels))
        self._last = (channels[-1], *self._sides[-1])
        below = list(pairwise(channels))
        self.input = nn.Conv2d(colours, channels[0], 3, padding=1)
        self.down = nn.ModuleList(nn.Sequential(halve(a, b), ResidualBlock(b)) for a, b in below)
        self.code = nn.Linear(math.prod(self._last), coefficients)
        self.start = nn.Linear(coefficients, math.prod(self._last))
        self.up = nn.ModuleList(nn.Sequential(nn.Conv2d(b, a, 3, padding=1), ResidualBlock(a)) for a, b in below)
        self.output = nn.Conv2d(channels[0], colours, 3, padding=1)
        for layer in (self.code, self.output):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def encode(self, linear: Components, images: torch.Tensor) -> torch.Tensor:
        """Images ``[n, C, H, W]`` in [0, 1] to codes ``[n, K]``."""
        x = self.input(images * 2 - 1)
        for level in self.down:
            x = level(activate(x))
        return linear.encode(images) + self.code(activate(x).flatten(1))

    def decode(self, linear: Components, codes: torch.Tensor) -> torch.Tensor:
        """Codes ``[n, K]`` to images ``[n, C, H, W]``, not clipped."""
        x = self.start(codes).unflatten(1, self._last)
        for level, side in zip(reversed(self.up), reversed(self._sides[:-1]), strict=True):
            x = level(double(activate(x), side))
        return linear.decode(codes) + self.output(activate(x))


def _train(linear: Components, images: torch.Tensor, labels: np.ndarray, fitting: Fitting) -> Convolutions:
    """Train for the least squared error of images changed a little; keep what does best on images held out."""
    steps, seed = fitting.prior.steps // STEPS_OF_THE_PRIOR, fitting.prior.seed
    held = held_out(labels, fitting.prior.units)
    judged, learnt = images[held], images[~held]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(keyed_seed("autoencoder", seed))
        network = Convolutions(tuple(images.shape[1:]), linear.coefficients)
    optimiser = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=1e-2)
    random = torch_rng("autoencoder, training", seed)

    def error(shown: torch.Tensor) -> torch.Tensor:
        return F.mse_loss(network.decode(linear, network.encode(linear, shown)), shown)

    @torch.no_grad()
    def judge() -> float:
        return sum(float(error(x)) * len(x) for x in judged.split(500)) / max(len(judged), 1)

    best, least, worse = copy.deepcopy(network), judge(), 0
    for step in range(1, steps + 1):
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * min(1, step / 100) * 0.5 * (1 + math.cos(math.pi * step / steps))
        rows = torch.randint(len(learnt), (SHOWN,), generator=random)
        told = counter_normal(keyed_seed("autoencoder, changes", seed), SHOWN * step + torch.arange(SHOWN), NUMBERS)
        loss = error(change(learnt[rows], told.clamp(-MOST, MOST)))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        if step % max(1, steps // LOOKS) == 0:
            told_now = judge()
            worse = 0 if told_now < least else worse + 1
            if worse == 0:
                best, least = copy.deepcopy(network), told_now
            elif worse == PATIENCE:
                break
    return best.requires_grad_(False)
