"""Generators of the field for benchmarks/generators.py, trained as their authors do, for the same time as ours.

Their networks compute in bfloat16 where the processor does so by itself, as ours then do; weights, losses, optimisers
and all that is sampled stay float32.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Protocol

import torch
from monai.networks.nets import DiffusionModelUNet
from monai.networks.schedulers import DDIMScheduler, DDPMScheduler
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel

from medsyn.compute import bfloat16_is_native, keyed_seed
from medsyn.config import parse_budget

BATCH = 32
SAMPLING_BATCH = 64

DDPM_STEPS, DDIM_STEPS = 1000, 50
DDPM_CHANNELS = {32: (32, 32, 64), 64: (16, 32, 64, 64)}
"""Of each level, by the side. On one busy core at 32 px these learn most in half a minute: 0.055 of the noise's
variance is left on held-out films when it learns the noise, against 0.058 with a first level of 16."""

DDPM_GROUPS = 16
DDPM_RATE = 1e-3
DDPM_TARGET = "v_prediction"
"""Learning the noise instead leaves the mean grey value unlearnt for long: after 30 minutes of one core, scans of 64 px
come out grey where they should be black."""

DDPM_AVERAGE = 0.999

DCGAN_NOISE, DCGAN_CHANNELS = 100, 64


class Trained(Protocol):
    """A generator that was trained on images in [0, 1]."""

    images: int  # shown to it
    parameters: int

    def sample(self, labels: torch.Tensor, seed: int) -> torch.Tensor:
        """Images float32 ``[n, C, H, W]`` in [0, 1] of classes int64 ``[n]``."""
        ...


def ddpm(images: torch.Tensor, labels: torch.Tensor, budget: str, seed: int) -> Diffusion:
    """Train MONAI's class-conditional DDPM (Ho et al. 2020; v of Salimans and Ho 2022) until the budget is spent.

    Args:
        images: float32 ``[n, C, H, W]`` in [0, 1].
        labels: int64 ``[n]``; every class occurs.
        budget: As `medsyn.config.parse_budget` reads it; of time, from the first batch on.
        seed: Of weights, order and noise.
    """
    batches = _batches(images, labels, budget, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(keyed_seed("ddpm", seed))
        channels = DDPM_CHANNELS.get(images.shape[-1], DDPM_CHANNELS[32])
        network = DiffusionModelUNet(
            spatial_dims=2,
            in_channels=images.shape[1],
            out_channels=images.shape[1],
            num_res_blocks=1,
            channels=channels,
            attention_levels=tuple(level == len(channels) - 1 for level in range(len(channels))),
            norm_num_groups=DDPM_GROUPS,
            num_head_channels=DDPM_GROUPS,
            num_class_embeds=int(labels.max()) + 1,
        )
        average = AveragedModel(network, avg_fn=_averaged)
        optimiser = torch.optim.Adam(network.parameters(), DDPM_RATE)
        scheduler = DDPMScheduler(num_train_timesteps=DDPM_STEPS, prediction_type=DDPM_TARGET)
        shown = 0
        for real, label in batches:
            noise, t = torch.randn_like(real), torch.randint(DDPM_STEPS, (len(real),))
            with _precision():
                predicted = network(scheduler.add_noise(real, noise, t), t, class_labels=label)
            optimiser.zero_grad(set_to_none=True)
            F.mse_loss(predicted.float(), scheduler.get_velocity(real, noise, t)).backward()
            optimiser.step()
            average.update_parameters(network)
            shown += len(real)
    return Diffusion(average.module.eval(), tuple(images.shape[1:]), shown)


def _averaged(slow: torch.Tensor, fast: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
    """An average that forgets the start also where the budget is a few hundred steps."""
    return torch.lerp(fast, slow, min(DDPM_AVERAGE, (1 + int(steps)) / (10 + int(steps))))


class Diffusion:
    """A trained `ddpm`, sampled in `DDIM_STEPS` steps (Song et al. 2021)."""

    def __init__(self, network: nn.Module, image_shape: tuple[int, ...], images: int) -> None:
        self.network, self.image_shape, self.images = network, image_shape, images
        self.parameters = _parameters(network)

    @torch.inference_mode()
    def sample(self, labels: torch.Tensor, seed: int) -> torch.Tensor:
        rng = torch.Generator().manual_seed(keyed_seed("ddim", seed))
        scheduler = DDIMScheduler(num_train_timesteps=DDPM_STEPS, prediction_type=DDPM_TARGET)
        scheduler.set_timesteps(DDIM_STEPS)
        out = []
        for label in labels.split(SAMPLING_BATCH):
            x = torch.randn(len(label), *self.image_shape, generator=rng)
            for t in scheduler.timesteps:
                x, _ = scheduler.step(self.network(x, t.expand(len(label)), class_labels=label), int(t), x)
            out.append(x)
        return _shown(torch.cat(out))


def dcgan(images: torch.Tensor, labels: torch.Tensor, budget: str, seed: int) -> Dcgan:
    """Train a class-conditional DCGAN (Radford et al. 2016) until the budget is spent: arguments of `ddpm`."""
    batches = _batches(images, labels, budget, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(keyed_seed("dcgan", seed))
        classes = int(labels.max()) + 1
        generator, discriminator = _generator(images.shape[1:], classes), _discriminator(images.shape[1:], classes)
        for network in (generator, discriminator):
            network.apply(_start)
        generator_step, discriminator_step = (
            torch.optim.Adam(network.parameters(), 2e-4, betas=(0.5, 0.999)) for network in (generator, discriminator)
        )
        ones, shown = torch.ones(BATCH), 0
        for real, label in batches:
            told = F.one_hot(label, classes).float()[:, :, None, None]
            maps = told.expand(-1, -1, *real.shape[-2:])
            with _precision():
                fake = generator(torch.cat([torch.randn(len(real), DCGAN_NOISE, 1, 1), told], 1)).float()

            discriminator_step.zero_grad(set_to_none=True)
            with _precision():
                score_real = discriminator(torch.cat([real, maps], 1)).flatten()
                score_fake = discriminator(torch.cat([fake.detach(), maps], 1)).flatten()
            (_bce(score_real, ones) + _bce(score_fake, 1 - ones)).backward()
            discriminator_step.step()

            generator_step.zero_grad(set_to_none=True)
            with _precision():
                score_fake = discriminator(torch.cat([fake, maps], 1)).flatten()
            _bce(score_fake, ones).backward()
            generator_step.step()
            shown += len(real)
    return Dcgan(generator.eval(), classes, shown)


class Dcgan:
    """A trained `dcgan`."""

    def __init__(self, network: nn.Module, classes: int, images: int) -> None:
        self.network, self.classes, self.images = network, classes, images
        self.parameters = _parameters(network)

    @torch.inference_mode()
    def sample(self, labels: torch.Tensor, seed: int) -> torch.Tensor:
        rng = torch.Generator().manual_seed(keyed_seed("dcgan samples", seed))
        out = []
        for label in labels.split(SAMPLING_BATCH):
            told = F.one_hot(label, self.classes).float()[:, :, None, None]
            out.append(self.network(torch.cat([torch.randn(len(label), DCGAN_NOISE, 1, 1, generator=rng), told], 1)))
        return _shown(torch.cat(out))


def _batches(
    images: torch.Tensor, labels: torch.Tensor, budget: str, seed: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches in [-1, 1], drawn with replacement; the clock runs from the first one asked for."""
    unit, amount = parse_budget(budget)
    rng = torch.Generator().manual_seed(keyed_seed("batches", seed))
    begun, shown = time.perf_counter(), 0
    while shown < 1000 * amount if unit == "kimg" else time.perf_counter() - begun < amount:
        rows = torch.randint(len(images), (BATCH,), generator=rng)
        yield images[rows] * 2 - 1, labels[rows]
        shown += BATCH


def _precision() -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, enabled=bfloat16_is_native(torch.device("cpu")))


def _shown(images: torch.Tensor) -> torch.Tensor:
    return (images / 2 + 0.5).clamp(0, 1)


def _parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _bce(scores: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    return F.binary_cross_entropy_with_logits(scores.float(), wanted)


def _generator(shape: torch.Size, classes: int) -> nn.Sequential:
    widths = _widths(shape[-1])[::-1]
    layers: list[nn.Module] = [nn.ConvTranspose2d(DCGAN_NOISE + classes, widths[0], 4, bias=False)]
    for a, b in zip(widths, [*widths[1:], None], strict=True):
        layers += [nn.BatchNorm2d(a), nn.ReLU(), nn.ConvTranspose2d(a, b or shape[0], 4, 2, 1, bias=b is None)]
    return nn.Sequential(*layers, nn.Tanh())


def _discriminator(shape: torch.Size, classes: int) -> nn.Sequential:
    widths = _widths(shape[-1])
    layers: list[nn.Module] = [nn.Conv2d(shape[0] + classes, widths[0], 4, 2, 1), nn.LeakyReLU(0.2)]
    for a, b in pairwise(widths):
        layers += [nn.Conv2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4))


def _widths(side: int) -> list[int]:
    """Channels from the finest level that is halved down to 4 px."""
    if side < 8 or side & (side - 1):
        raise ValueError(f"a DCGAN makes sides of 8, 16, 32, 64, ..., not {side}")
    return [DCGAN_CHANNELS * 2**level for level in range(side.bit_length() - 3)]


def _start(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, 0, 0.02)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1, 0.02)
