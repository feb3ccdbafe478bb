"""Codes of new patients by a rectified flow: the prior where there is time to train one."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import get_ema_multi_avg_fn

from medsyn.compute import keyed_seed, torch_rng

WIDTH, BLOCKS = 256, 3
FREQUENCIES = 8
"""Of the sines and cosines that tell the time."""

HEUN_STEPS = 20
"""From noise to code."""

BATCH, LEARNING_RATE, WEIGHT_DECAY = 256, 1e-3, 1e-2
RISE = 200
"""Steps in which the learning rate rises."""

AVERAGED = 0.002
"""Weight of a step in the average of the weights; ten times that in the first steps, which are soon forgotten."""

HELD_OUT = 8
"""Every so many-th image is not learnt from: it tells when to stop."""

LOOKS, DRAWS = 16, 8
"""How often the held-out images are looked at, and with how much noise each."""

PATIENCE = 4
"""Looks in a row that are no better, after which it ends."""


class PriorTraining(NamedTuple):
    """How a prior is trained."""

    steps: int = 0  # at most; few or none make it a mixture of Gaussians
    seed: int = 0
    units: np.ndarray | None = None  # of every image, [n]: those of one unit are held out together


Changed = tuple[np.ndarray, np.ndarray]
"""Codes ``[n, K]`` of images that were changed, and numbers ``[n, m]`` that tell how: zeros mean not at all."""


class ClassFlow(nn.Module):
    """A velocity field that carries noise to codes along nearly straight lines (Liu et al. 2022, arXiv:2209.03003).

    A few Gaussians a class miss how coefficients hang together; interpolating between neighbours would copy patients.
    A small network learns the whole distribution, stops before it learns patients by heart (the field is compared on
    images that it did not see), and keeps none of them.

    Args:
        codes: Length of a code, K.
        classes: Number of classes.
        changes: Numbers that tell of a change.
        width: Of the layers.
        blocks: Residual blocks.
        steps: Of Heun's method, from noise to code.
        frequencies: Of the sines and cosines that tell the time.
    """

    picks = 0

    def __init__(
        self,
        codes: int,
        classes: int,
        changes: int = 0,
        width: int = WIDTH,
        blocks: int = BLOCKS,
        steps: int = HEUN_STEPS,
        frequencies: int = FREQUENCIES,
    ) -> None:
        super().__init__()
        told = {"classes": classes, "changes": changes, "width": width, "blocks": blocks}
        self._sizes = {"kind": "flow"} | told | {"steps": steps, "frequencies": frequencies}
        self.noise, self.classes, self.changes = codes, classes, changes
        self.steps, self.frequencies = steps, frequencies
        self.input = nn.Linear(codes + classes + changes + 1 + 2 * frequencies, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
            for _ in range(blocks)
        )
        self.output = nn.Linear(width, codes)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def sizes(self) -> dict[str, Any]:
        """For config.json."""
        return dict(self._sizes)

    @classmethod
    def fit(
        cls, codes: np.ndarray, labels: np.ndarray, training: PriorTraining, changed: Iterable[Changed] = ()
    ) -> ClassFlow:
        """Train, and keep the average that does best on images held out.

        Args:
            codes: float ``[n, K]``, of about unit variance; at least two.
            labels: int64 ``[n]``; every class occurs.
            training: How long, and whom to hold out; images are seen as often as there are of them, whatever their
                class, since a rare class shown more often would be learnt by heart.
            changed: Of the same images in the same order, any number of times.

        Raises:
            ArithmeticError: It diverged.
        """
        steps, seed = training.steps, training.seed
        classes, held = int(labels.max()) + 1, held_out(labels, training.units)
        asked = np.eye(classes, dtype=np.float32)[labels]
        others = list(changed)
        changes = others[0][1].shape[1] if others else 0
        still = np.zeros((len(codes), changes), np.float32)
        copies = [(codes, still), *others]
        x = torch.from_numpy(np.concatenate([c[~held] for c, _ in copies]).astype(np.float32))
        condition = torch.from_numpy(np.concatenate([np.c_[asked, told][~held] for _, told in copies]))
        judge = _Judge(codes[held], np.c_[asked, still][held], seed)

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(keyed_seed("flow", seed))
            network = cls(codes.shape[1], classes, changes)
        average = copy.deepcopy(network).requires_grad_(False)
        best, least, worse = average, math.inf, 0
        optimiser = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        random = torch_rng("flow, training", seed)
        for step in range(1, steps + 1):
            for group in optimiser.param_groups:
                group["lr"] = LEARNING_RATE * min(1, step / RISE) * 0.5 * (1 + math.cos(math.pi * step / steps))
            rows = torch.randint(len(x), (BATCH,), generator=random)
            noise, time = torch.randn(BATCH, x.shape[1], generator=random), torch.rand(BATCH, 1, generator=random)
            loss = network.loss(x[rows], condition[rows], noise, time)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            move = get_ema_multi_avg_fn(1 - (AVERAGED if step > 2 * RISE else 10 * AVERAGED))
            move(list(average.parameters()), list(network.parameters()), step)
            if step % max(1, steps // LOOKS) == 0 or step == steps:
                told = judge(average)
                worse = 0 if told < least else worse + 1
                if worse == 0:
                    best, least = copy.deepcopy(average), told
                elif worse == PATIENCE:
                    break
        if not math.isfinite(least):
            raise ArithmeticError("the flow diverged")
        return best

    def loss(
        self, codes: torch.Tensor, condition: torch.Tensor, noise: torch.Tensor, time: torch.Tensor
    ) -> torch.Tensor:
        """Mean squared error of the velocity at ``time`` of the line from ``noise`` to ``codes`` (eq. 1 there).

        Args:
            codes: ``[n, K]``.
            condition: ``[n, classes + changes]``.
            noise: Standard normal ``[n, K]``.
            time: ``[n, 1]`` in [0, 1].
        """
        return F.mse_loss(self.velocity(torch.lerp(noise, codes, time), time, condition), codes - noise)

    def velocity(self, x: torch.Tensor, time: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """``[n, K]`` at the places ``[n, K]``, the times ``[n, 1]`` and under conditions ``[n, classes + changes]``."""
        angle = time * (math.pi / 2 * 2.0 ** torch.arange(self.frequencies, device=x.device))
        h = self.input(torch.cat([x, condition, time, angle.sin(), angle.cos()], 1))
        for block in self.blocks:
            h = h + block(h)
        return self.output(F.silu(h))

    @torch.no_grad()
    def forward(self, noise: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Standard normal noise ``[n, K]`` and conditions ``[n, c]`` with the classes first, to codes ``[n, K]``."""
        x, length = noise, 1 / self.steps
        condition = torch.cat([condition[:, : self.classes], noise.new_zeros(len(noise), self.changes)], 1)
        for step in range(self.steps):
            time = torch.full_like(x[:, :1], step * length)
            here = self.velocity(x, time, condition)
            there = self.velocity(x + length * here, time + length, condition)
            x = x + length * (here + there) / 2
        return x


def held_out(labels: np.ndarray, units: np.ndarray | None) -> np.ndarray:
    """Which images are not learnt from, bool ``[n]``: whole units, of each class alike.

    A unit counts for the class of its first image. A class of few units keeps all of them.
    """
    units = np.arange(len(labels)) if units is None else np.unique(units, return_inverse=True)[1]
    _, first = np.unique(units, return_index=True)
    held = np.zeros(len(first), bool)
    for c in np.unique(labels):
        held[np.flatnonzero(labels[first] == c)[HELD_OUT - 1 :: HELD_OUT]] = True
    if not held.any():
        held[-1] = len(held) > 1
    return held[units]


class _Judge:
    """The loss on codes held out, always under the same noise."""

    def __init__(self, codes: np.ndarray, condition: np.ndarray, seed: int) -> None:
        random = torch_rng("flow, held out", seed)
        self._codes = torch.from_numpy(codes.astype(np.float32)).repeat(DRAWS, 1)
        self._condition = torch.from_numpy(condition).repeat(DRAWS, 1)
        self._noise = torch.randn(self._codes.shape, generator=random)
        self._time = torch.rand(len(self._codes), 1, generator=random)

    @torch.no_grad()
    def __call__(self, flow: ClassFlow) -> float:
        return float(flow.loss(self._codes, self._condition, self._noise, self._time))
