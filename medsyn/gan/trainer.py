"""One training step, from top to bottom, and the state that resumes it exactly."""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
from torch import nn

from medsyn.compute import torch_rng
from medsyn.gan.diffaugment import diffaugment
from medsyn.gan.networks import LatentDiscriminator
from medsyn.gan.objectives import discriminator_loss, generator_loss, gradient_penalty
from medsyn.gan.plan import Plan
from medsyn.generator.first_stage import AlignedPCA, FirstStage
from medsyn.generator.networks import LatentGenerator


class StepLosses(NamedTuple):
    """What one step tells."""

    generator: float
    discriminator: float
    penalty: float  # R1 + R2, not weighted
    margin: float  # mean of D(real) - D(fake): 0 is balance, large means that D has won


class Trainer:
    """Generator, discriminator, averaged generator and both optimisers.

    Args:
        plan: The frozen plan.
        first_stage: Between images and coefficients; not trained here.
        network: The generator at its start.
        coefficients: Training images through the first stage, float32 ``[n, K]``.
        labels: int64 ``[n]``; every class occurs.
    """

    def __init__(
        self,
        plan: Plan,
        first_stage: FirstStage,
        network: LatentGenerator,
        coefficients: torch.Tensor,
        labels: torch.Tensor,
    ) -> None:
        self.plan, self.first_stage, self.coefficients, self.labels = plan, first_stage, coefficients, labels
        self.of_class = [torch.where(labels == c)[0] for c in range(int(labels.max()) + 1)]
        self.device = coefficients.device
        self.images = 0
        self.generator = network.to(self.device)
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch_rng("discriminator", plan.seed).initial_seed())
            self.discriminator = LatentDiscriminator(
                plan.coefficients, len(self.of_class), plan.discriminator_width, plan.depth
            ).to(self.device)
        self.optimisers = {
            "generator": _adam(self.generator, plan),
            "discriminator": _adam(self.discriminator, plan),
        }

    def step(self) -> StepLosses:
        """Show one batch of real images, update D, then G, then the average."""
        plan, G, D = self.plan, self.generator, self.discriminator
        # Keyed by the number of images shown, not a stream: a resumed training draws what an unbroken one would.
        rng = torch_rng("step", plan.seed, self.images)
        factor = plan.anneal(self.images)
        for optimiser in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = plan.learning_rate * factor

        # Every class as often as any other; a real and a fake of one class make a pair.
        labels = torch.randint(len(self.of_class), (plan.batch,), generator=rng)
        place = torch.rand(plan.batch, generator=rng)
        chosen = torch.stack(
            [self.of_class[c][int(u * len(self.of_class[c]))] for c, u in zip(labels, place, strict=True)]
        )
        labels = labels.to(self.device)
        noise = torch.randn(2, plan.batch, plan.coefficients, generator=rng).to(self.device)

        real = self._augment(self.coefficients[chosen], rng).requires_grad_(True)
        with torch.no_grad():
            fake = self._augment(G(noise[0], labels), rng)
        fake.requires_grad_(True)
        score_real, score_fake = D(real, labels), D(fake, labels)
        penalty = gradient_penalty(score_real, real) + gradient_penalty(score_fake, fake)
        loss_d = discriminator_loss(score_real, score_fake) + plan.gamma * factor / 2 * penalty
        self._update("discriminator", loss_d)

        D.requires_grad_(False)
        with torch.no_grad():
            score_real = D(real, labels)
        score_fake = D(self._augment(G(noise[1], labels), rng), labels)
        loss_g = generator_loss(score_real, score_fake)
        self._update("generator", loss_g)
        D.requires_grad_(True)

        self.images += plan.batch
        with torch.no_grad():
            for slow, fast in zip(self.average.parameters(), G.parameters(), strict=True):
                slow.lerp_(fast, 1 - plan.ema_decay(self.images))
        margin = (score_real - score_fake).mean()
        return StepLosses(*(value.item() for value in (loss_g, loss_d, penalty, margin)))

    def _augment(self, codes: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """DiffAugment on the images that the linear part of the codes stands for; an alignment is left as it is."""
        if not self.plan.diffaugment:
            return codes
        stage = self.first_stage.appearance if isinstance(self.first_stage, AlignedPCA) else self.first_stage
        linear = codes[:, : stage.coefficients]
        changed = stage.encode(diffaugment(stage.decode(linear), self.plan.diffaugment, rng))
        return torch.cat([changed, codes[:, stage.coefficients :]], 1)

    def _update(self, name: str, loss: torch.Tensor) -> None:
        self.optimisers[name].zero_grad(set_to_none=True)
        loss.backward()
        self.optimisers[name].step()

    # ---- state

    def state(self) -> dict[str, torch.Tensor]:
        """All tensors that a resumed training needs, by name."""
        tensors = {}
        for name in ("generator", "discriminator", "average"):
            for key, value in getattr(self, name).state_dict().items():
                tensors[f"{name}.{key}"] = value
        for name, optimiser in self.optimisers.items():
            for number, parameter in enumerate(optimiser.param_groups[0]["params"]):
                for key, value in optimiser.state[parameter].items():
                    tensors[f"adam.{name}.{number}.{key}"] = value
        return {key: value.detach().cpu().clone().contiguous() for key, value in tensors.items()}

    def load_state(self, tensors: dict[str, torch.Tensor], images: int) -> None:
        """Continue from `state` after ``images`` images."""
        self.images = images
        for name in ("generator", "discriminator", "average"):
            getattr(self, name).load_state_dict(_below(tensors, name))
        for name, optimiser in self.optimisers.items():
            for number, parameter in enumerate(optimiser.param_groups[0]["params"]):
                saved = _below(tensors, f"adam.{name}.{number}")
                optimiser.state[parameter] = {
                    k: v.clone() if k == "step" else v.to(self.device, copy=True) for k, v in saved.items()
                }


def _adam(network: nn.Module, plan: Plan) -> torch.optim.Adam:
    return torch.optim.Adam(network.parameters(), plan.learning_rate, betas=(0.0, plan.beta2))


def _below(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(f"{prefix}."): v for k, v in tensors.items() if k.startswith(f"{prefix}.")}
