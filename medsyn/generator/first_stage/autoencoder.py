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

from medsyn.compute import keyed_seed, torch_rng
from medsyn.generator.first_stage import prior as priors
from medsyn.generator.first_stage.changes import MOST, NUMBERS, change
from medsyn.generator.first_stage.components import Components, Principal, principal
from medsyn.generator.first_stage.fitting import Fitting
from medsyn.generator.first_stage.flow import held_out
from medsyn.generator.networks.blocks import ResidualBlock, activate, double, halve, sides
from medsyn.generator.networks.pyramid import at_sizes

FEWEST_CHANNELS, MOST_CHANNELS = 16, 64
"""Of the convolutions, at their finest level; each further one has twice as many."""

COARSEST = 6
"""Side at least of the convolutions' last level."""

STEPS_OF_THE_PRIOR, SIDE = 8, 32
"""Of the prior's training for one of this, up to so many pixels a side; larger images get as many fewer as they have
more pixels. Both trainings then take about as long."""

SHOWN, LEARNING_RATE, WEIGHT_DECAY = 32, 1e-3, 1e-2
"""Of training: images a step, and AdamW's."""

RISE = 0.1
"""Share of the training in which the learning rate rises; it ends for want of progress after that only."""

LOOKS, PATIENCE = 16, 4
"""At images held out, evenly spread; of them in a row that are no better, after which training ends."""

ENCODED = 30_000
"""Changed images whose codes a prior learns from, at most, unless there are more images than that."""


class Autoencoder(nn.Module):
    """Images to codes and back by convolutions that correct what principal components do.

    Both ways begin as the components, since the convolutions begin with nothing, and stay where they help most on
    images that neither have learnt from. Where there are no steps to train for, they are the components.

    Args:
        image_shape: ``(C, H, W)``.
        coefficients: Length of a code, K.
        prior: Kind and sizes of what makes new codes, see `medsyn.generator.first_stage.prior`.
        halvings: How often images are halved before; coarse images stay that small.
    """

    def __init__(
        self, image_shape: tuple[int, int, int], coefficients: int, prior: dict[str, Any], halvings: int = 0
    ) -> None:
        super().__init__()
        c, h, w = image_shape
        self.coefficients, self.halvings = coefficients, halvings
        self.linear = Components((c, h >> halvings, w >> halvings), coefficients)
        self.convolutions = Convolutions((c, h >> halvings, w >> halvings), coefficients)
        self.whitening = Components((coefficients,), coefficients)
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
        linear, learnt = _learnt(small, labels, fitting)

        def raw(arrays: np.ndarray) -> np.ndarray:
            return np.concatenate([learnt.encode(linear, x).numpy() for x in torch.from_numpy(arrays).split(500)])

        turned = _whitening(raw(small.numpy()))
        moved = priors.moved(
            small.numpy(), fitting.prior, lambda arrays: turned.of(raw(arrays)), most=math.ceil(ENCODED / len(small))
        )
        made = priors.fit(turned.codes, labels, fitting.prior, moved)
        stage = cls(tuple(images.shape[1:]), linear.coefficients, made.sizes(), fitting.halvings)
        stage.linear, stage.convolutions, stage.prior = linear, learnt, made
        stage.whitening.take(turned)
        return stage

    def sizes(self) -> dict[str, Any]:
        """For config.json."""
        parts = {"coefficients": self.coefficients, "halvings": self.halvings}
        return {"kind": "autoencoder", **parts, "prior": self.prior.sizes()}

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Images ``[n, C, H, W]``, about [0, 1], to codes ``[n, K]``, of unit variance over those that were fitted."""
        small = at_sizes(images, self.halvings + 1)[0]
        return self.whitening.encode(self.convolutions.encode(self.linear, small))

    def sample(self, noise: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Standard normal noise ``[n, noise]`` and conditions ``[n, c]`` to codes ``[n, K]``."""
        return self.prior(noise, condition)

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Codes ``[n, K]`` to images ``[n, C, H, W]``, halved as often as `halvings` says, not clipped."""
        return self.convolutions.decode(self.linear, self.whitening.decode(codes))

    def detail(self, images: torch.Tensor) -> torch.Tensor:
        """Small images ``[n, C, H, W]`` without their part along the components, which is for codes to say."""
        return self.linear.detail(images)


class Convolutions(nn.Module):
    """What is added to principal coefficients of images, and to images of coefficients.

    Args:
        image_shape: ``(C, H, W)``.
        coefficients: Length of a code, K.
    """

    def __init__(self, image_shape: tuple[int, int, int], coefficients: int) -> None:
        super().__init__()
        colours, height, width = image_shape
        levels = 1 + max(0, int(math.log2(min(height, width) / COARSEST)))
        channels = [min(MOST_CHANNELS, FEWEST_CHANNELS * 2**level) for level in range(levels)]
        self._sides = sides(height, width, levels)
        self._last = (channels[-1], *self._sides[-1])
        below = list(pairwise(channels))
        self.input = nn.Conv2d(colours, channels[0], 3, padding=1)
        self.down = nn.ModuleList(nn.Sequential(halve(a, b), ResidualBlock(b)) for a, b in below)
        self.code = nn.Linear(math.prod(self._last), coefficients)
        self.start = nn.Linear(coefficients, math.prod(self._last))
        self.up = nn.ModuleList(nn.Sequential(nn.Conv2d(b, a, 3, padding=1), ResidualBlock(a)) for a, b in below)
        self.output = nn.Conv2d(channels[0], colours, 3, padding=1)
        for part in (*self.code.parameters(), *self.output.parameters()):
            nn.init.zeros_(part)

    def encode(self, linear: Components, images: torch.Tensor) -> torch.Tensor:
        """Images ``[n, C, H, W]``, about [0, 1], to codes ``[n, K]``."""
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


def _learnt(images: torch.Tensor, labels: np.ndarray, fitting: Fitting) -> tuple[Components, Convolutions]:
    """Components, and convolutions trained to correct them.

    The loss is the squared error of images changed a little. Where no look at images held out is better than the
    components alone, or none can be held out, nothing is added to components of all images.

    Args:
        images: float32 ``[n, C, H, W]``.
        labels: int64 ``[n]``.
        fitting: What is wished for.
    """
    seed, held = fitting.prior.seed, held_out(labels, fitting.prior.units)
    steps = int(fitting.prior.steps / STEPS_OF_THE_PRIOR * min(1.0, (SIDE / images.shape[-1]) ** 2))
    if held.any() and steps:
        shown = images[~held]
        linear = _components(shown, fitting)
        best = _trained(linear, shown, images[held], steps, seed)
        if best is not None:
            return linear, best
    linear = _components(images, fitting)
    return linear, _untrained(linear, seed)


def _components(images: torch.Tensor, fitting: Fitting) -> Components:
    found = principal(images.numpy(), explained=fitting.explained, most=fitting.most)
    linear = Components(tuple(images.shape[1:]), len(found.scale))
    linear.take(found)
    return linear


def _untrained(linear: Components, seed: int) -> Convolutions:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(keyed_seed("autoencoder", seed))
        colours, height, width = linear.array_shape
        return Convolutions((colours, height, width), linear.coefficients).requires_grad_(False)


def _trained(
    linear: Components, shown: torch.Tensor, judged: torch.Tensor, steps: int, seed: int
) -> Convolutions | None:
    """What did best on ``judged``, or None where the components alone did."""
    network = _untrained(linear, seed).requires_grad_(True)
    optimiser = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    random = torch_rng("autoencoder, training", seed)

    def error(images: torch.Tensor) -> torch.Tensor:
        return F.mse_loss(network.decode(linear, network.encode(linear, images)), images)

    @torch.no_grad()
    def judge() -> float:
        return sum(float(error(part)) * len(part) for part in judged.split(500)) / len(judged)

    best, least, worse = None, judge(), 0
    for step in range(1, steps + 1):
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * min(1, step / (RISE * steps)) * 0.5 * (1 + math.cos(math.pi * step / steps))
        rows = torch.randint(len(shown), (SHOWN,), generator=random)
        changes = torch.randn(SHOWN, NUMBERS, generator=random).clamp(-MOST, MOST)
        loss = error(change(shown[rows], changes))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        if step % max(1, steps // LOOKS) == 0 or step == steps:
            now = judge()
            if now < least:
                best, least, worse = copy.deepcopy(network).requires_grad_(False), now, 0
            elif step > RISE * steps:
                worse += 1
            if worse == PATIENCE:
                break
    return best


def _whitening(codes: np.ndarray) -> Principal:
    """Their own components, all of them: codes of unit variance that do not correlate."""
    return principal(codes, explained=math.inf, most=codes.shape[1])
