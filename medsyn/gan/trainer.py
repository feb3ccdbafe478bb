"""One training step, from top to bottom, and the state that resumes it exactly."""

from __future__ import annotations

import copy
from functools import partial
from typing import NamedTuple

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from medsyn.compute import counter_normal, counter_uniform, keyed_seed
from medsyn.gan import discriminator
from medsyn.gan.diffaugment import DRAWS, diffaugment
from medsyn.gan.distributed import World
from medsyn.gan.objectives import OBJECTIVES
from medsyn.gan.plan import Plan
from medsyn.gan.training_images import TrainingImages
from medsyn.generator.condition import of_classes
from medsyn.generator.first_stage import Stage
from medsyn.generator.first_stage.changes import MOST, NUMBERS, change
from medsyn.generator.model import complete_apart
from medsyn.generator.networks.pyramid import at_sizes
from medsyn.generator.tensors import below


class StepLosses(NamedTuple):
    """What one step tells."""

    generator: float
    discriminator: float
    penalty: float  # not weighted; that of the last step that had one
    margin: float  # mean of D(real) - D(fake): 0 is balance, large means that D has won
    gradient: float  # norm of the generator's gradient; 0 where this step had none


class Batch(NamedTuple):
    """Images k of the training, and all that they are shown with."""

    real: list[torch.Tensor]  # [n, C, H, W] at every level of the generator
    coarse: torch.Tensor  # for its first level, of the same patients, or drawn: [n, C, H, W]
    condition: torch.Tensor  # [n, c]
    noise: torch.Tensor  # [n, network.noise]
    changes: torch.Tensor  # of DiffAugment, [n, DRAWS]
    between: torch.Tensor  # [n]


class Trainer:
    """Generator, discriminator, averaged generator and both optimisers.

    Args:
        plan: The frozen plan.
        stage: The first stage, fitted; not trained here.
        network: The generator at its start.
        images: Training images, float32 ``[n, C, H, W]`` in [0, 1]: a tensor, or read as they are shown.
        labels: int64 ``[n]``; every class occurs.
        schema: ``condition_schema`` of the dataset.
        world: The processes that share every step; all others are given the weights of rank 0.
    """

    def __init__(
        self,
        plan: Plan,
        stage: Stage,
        network: nn.Module,
        images: TrainingImages,
        labels: torch.Tensor,
        schema: dict[str, dict[str, object]],
        world: World = World(),
    ) -> None:
        self.plan, self.stage, self.data, self.labels, self.schema = plan, stage, images, labels, schema
        self.world = world
        self.device = images.device
        self.of_class = [torch.where(labels == c)[0] for c in range(int(labels.max()) + 1)]
        self.sizes = torch.tensor([len(rows) for rows in self.of_class], device=self.device)
        self.rows, self.first = torch.cat(self.of_class), self.sizes.cumsum(0) - self.sizes
        self.images, self.steps = 0, 0
        self.strength = plan.strength
        self.objective = OBJECTIVES[plan.objective]()
        self.generator = network.to(self.device)
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(keyed_seed("discriminator", plan.seed))
            width = of_classes(labels[:1], schema).shape[1]
            colours, height, across = images.shape[1:]
            self.discriminator = discriminator.build(plan.discriminator, (colours, height, across), width)
        self.discriminator.to(self.device)
        self.critics = discriminator.levels_of(self.discriminator)
        self.levels = len(self.critics)
        for part in (self.generator, self.average, self.discriminator):
            world.spread(part.state_dict().values())
            # Faster, whatever the precision: benchmarks/train_speed.py.
            part.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # which torch's stubs lack
        self.optimisers = {
            name: torch.optim.Adam(network.parameters(), plan.learning_rate, betas=self.objective.betas)
            for name, network in (("generator", self.generator), ("discriminator", self.discriminator))
        }
        self._penalty = 0.0

    def step(self) -> StepLosses:
        """Show one batch of real images, update D, then (every ``critic_steps``) G and its average, by the same fakes.

        Losses are means, and the processes of a world have equal parts of a batch: the mean of their gradients is that
        of the whole batch.
        """
        plan, objective = self.plan, self.objective
        rate = plan.learning_rate * plan.anneal(self.images) * plan.warmed(self.images)
        for optimiser in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = rate
        batch = self.batch(self.world.part(self.images, plan.batch).to(self.device))

        turn = (self.steps + 1) % objective.critic_steps == 0
        real = self._augment(batch.real, batch)
        with torch.set_grad_enabled(turn):
            fake = self._augment(self._complete(batch), batch)
        shown = [image.detach() for image in fake]
        pairs = [torch.cat(pair) for pair in zip(real, shown, strict=True)]
        score_real, score_fake = self._scores(pairs, batch.condition.repeat(2, 1)).chunk(2)
        loss_d = objective.discriminator(score_real, score_fake)
        told_d, penalty = loss_d.detach(), loss_d.new_tensor(self._penalty)
        if self.steps % plan.penalty_every == 0:
            penalty = self._penalty_of(real, shown, batch)
            loss_d = loss_d + plan.gamma * plan.penalty_every * penalty
        self._update("discriminator", loss_d)
        margin = (score_real - score_fake).detach().mean()

        loss_g, gradient = told_d.new_zeros(()), told_d.new_zeros(())
        if turn:
            self.discriminator.requires_grad_(False)
            with torch.no_grad():
                score_real = self._scores(real, batch.condition)
            loss_g = objective.generator(score_real, self._scores(fake, batch.condition))
            gradient = self._update("generator", loss_g)
            self.discriminator.requires_grad_(True)
            with torch.no_grad():
                decay = plan.ema_decay(self.images + plan.batch, plan.batch * objective.critic_steps)
                move = get_ema_multi_avg_fn(decay)
                move(list(self.average.parameters()), list(self.generator.parameters()), self.steps)
        self.images += plan.batch
        self.steps += 1
        told = torch.stack([loss_g.detach(), told_d, penalty.detach(), margin, gradient])
        self.world.average([told])
        losses = StepLosses(*told.tolist())  # the only wait for the device in a step
        self._penalty = losses.penalty
        return losses

    def batch(self, index: torch.Tensor) -> Batch:
        """The training's images ``index``, int64 ``[n]``: every class as often as any other.

        All randomness is keyed by the number of the image, so that neither the batch size nor the number of processes
        changes it, and a resumed training draws what an unbroken one would.
        """
        seed, noise = self.plan.seed, int(self.generator.noise)  # type: ignore[arg-type]  # of every network
        real, condition, u = self._shown(index)
        with torch.no_grad():
            if self.plan.varied:
                # What is added depends on the coarse image, which is changed alike: samples are no more turned or
                # shifted than patients. Drawn coarse images are not changed, so neither is what they are paired with.
                told = counter_normal(keyed_seed("change", seed), index, NUMBERS).clamp(-MOST, MOST)
                real = change(real, told * self.plan.varied * (u[:, 0, None] >= self.plan.free))
            codes = self.stage.encode(real)
            if self.plan.free:
                drawn = self.stage.sample(counter_normal(keyed_seed("code", seed), index, self.stage.noise), condition)
                codes = torch.where(u[:, 0, None] < self.plan.free, drawn, codes)
            coarse = self.stage.decode(codes)
        drawn = counter_normal(keyed_seed("noise", seed), index, noise)
        return Batch(at_sizes(real, self.levels), coarse, condition, drawn, u[:, 2:], u[:, 1])

    def _shown(
        self, index: torch.Tensor, labels: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Real images, of ``labels`` where they are given, their conditions, and ``[n, 2 + DRAWS]`` more numbers."""
        u = counter_uniform(keyed_seed("image", self.plan.seed), index, 4 + DRAWS)
        if labels is None:
            labels = (u[:, 0] * len(self.of_class)).long()
        place = (u[:, 1] * self.sizes[labels]).long().minimum(self.sizes[labels] - 1)
        return self.data[self.rows[self.first[labels] + place]], of_classes(labels, self.schema), u[:, 2:]

    @torch.no_grad()
    def gap(self, unseen: torch.Tensor, labels: torch.Tensor) -> float:
        """How far the discriminator scores its training images above real images that it never saw.

        Args:
            unseen: Real images that are not trained with, ``[n, C, H, W]``.
            labels: int64 ``[n]``.

        Returns:
            The difference of the means in standard deviations: 0 where both are alike to it. Not relative to generated
            images, as r_v of Karras et al. (2020) is: relativistic scores of these differ too little to divide by.
        """
        # Of the same classes: a discriminator may score one class above another, and tune has its own mixture.
        real, condition, _ = self._shown(torch.arange(len(unseen), device=self.device), labels)
        seen, new = (self._scores(at_sizes(x, self.levels), condition) for x in (real, unseen))
        spread = ((seen.var(0) + new.var(0)) / 2).sqrt()
        return float(((seen.mean(0) - new.mean(0)) / spread.clamp_min(1e-6)).mean())

    def _complete(self, batch: Batch) -> list[torch.Tensor]:
        asked = batch.condition * self.plan.conditioned(self.images)
        with self._precision():
            made = complete_apart(self.stage, self.generator, batch.noise, asked, batch.coarse, batch.real)
        return [image.float() for image in made]

    def _scores(self, images: list[torch.Tensor], condition: torch.Tensor) -> torch.Tensor:
        """Scores ``[n, levels]`` of images at every level."""
        levels = zip(self.critics, images, strict=True)
        return torch.stack([self._score(critic, image, condition) for critic, image in levels], 1)

    def _score(self, critic: nn.Module, images: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        with self._precision():
            return critic(images, condition * self.plan.conditioned(self.images)).float()

    def _penalty_of(self, real: list[torch.Tensor], fake: list[torch.Tensor], batch: Batch) -> torch.Tensor:
        """The objective's penalty, its mean over levels."""
        told = [
            self.objective.penalty(partial(self._score, critic, condition=batch.condition), r, f, batch.between)
            for critic, r, f in zip(self.critics, real, fake, strict=True)
        ]
        return torch.stack(told).mean()

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.plan.precision == "bfloat16")

    def _augment(self, images: list[torch.Tensor], batch: Batch) -> list[torch.Tensor]:
        """The two of a pair are changed alike: what differs between them is then the generator's doing."""
        return [diffaugment(image, self.plan.diffaugment, batch.changes, self.strength) for image in images]

    def _update(self, name: str, loss: torch.Tensor) -> torch.Tensor:
        """One step of one optimiser; the norm of the gradient."""
        optimiser = self.optimisers[name]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        gradients = [p.grad for p in optimiser.param_groups[0]["params"] if p.grad is not None]
        self.world.average(gradients)
        norm = torch.nn.utils.get_total_norm(gradients)
        optimiser.step()
        return norm

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

    def facts(self) -> dict[str, float]:
        """What else it needs, for JSON."""
        return {"images": self.images, "steps": self.steps, "strength": self.strength, "penalty": self._penalty}

    def load_state(self, tensors: dict[str, torch.Tensor], facts: dict[str, float]) -> None:
        """Continue from `state` and `facts`."""
        self.images, self.steps = int(facts["images"]), int(facts["steps"])
        self.strength, self._penalty = facts["strength"], facts["penalty"]
        for name in ("generator", "discriminator", "average"):
            getattr(self, name).load_state_dict(below(tensors, name))
        for name, optimiser in self.optimisers.items():
            for number, parameter in enumerate(optimiser.param_groups[0]["params"]):
                saved = below(tensors, f"adam.{name}.{number}")
                optimiser.state[parameter] = {
                    k: v.clone() if k == "step" else v.to(self.device, copy=True) for k, v in saved.items()
                }

    def start_from(self, tensors: dict[str, torch.Tensor]) -> tuple[int, int]:
        """Take over the weights of another training, where name and shape are the same.

        Args:
            tensors: Its `state`.

        Returns:
            Tensors taken, and tensors there are.
        """
        taken = of = 0
        for name in ("generator", "discriminator", "average"):
            theirs = below(tensors, name)
            ours = getattr(self, name).state_dict()
            fitting = {key: value for key, value in theirs.items() if key in ours and ours[key].shape == value.shape}
            getattr(self, name).load_state_dict({**ours, **fitting})
            taken, of = taken + len(fitting), of + len(ours)
        return taken, of
