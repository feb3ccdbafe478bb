"""Trainings that go wrong for a reason that is stated, and some that do not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import torch

from gan.toy import Listener
from medsyn import compute
from medsyn.config import TrainOptions
from medsyn.gan.distributed import World
from medsyn.gan.material import Material
from medsyn.gan.session import Session
from medsyn.gan.unfinished import Unfinished
from medsyn.progress import SILENT
from medsyn.tracking import Run
from medsyn.workspace import DATASET, Workspace

BEGIN = 0.4
"""Share of the training after which most faults set in."""


@dataclass(frozen=True)
class Fault:
    """What is done to a training, and what must be heard.

    Attributes:
        about: The fault.
        expected: Name of the problem.
        put_in: Spoils a session that has begun.
        recipe: That is trained.
        steps: Of 16 images.
        looks: At tune; without any, tune is made too small for them.
        images: Training images that are kept of the toy; 0 is all.
        plan: Changed knobs.
    """

    about: str
    expected: str
    put_in: Callable[[Session], None]
    recipe: str = "latent-r3gan"
    steps: int = 50
    looks: int = 0
    images: int = 0
    plan: dict[str, Any] = field(default_factory=dict)


class Alarm(Listener):
    """Keeps what is said; ends the training at the first alarm."""

    def say(self, text: str) -> None:
        super().say(text)
        if " kimg: " in text:
            raise KeyboardInterrupt


def begin(
    workspace: Workspace, recipe: str, steps: int, looks: int, seed: int, *, plan: dict[str, Any], images: int = 0
) -> Session:
    """A training of the workspace's newest dataset, before its first step."""
    options = TrainOptions(
        recipe=recipe, budget=f"{steps * 16 / 1000}kimg", batch=16, threads=1, knobs={"monitor_images": 32}, seed=seed
    )
    material = Material.open(workspace.latest(DATASET))
    if images:
        material = dataclasses.replace(material, train=material.train[:: max(1, len(material.train) // images)])
    if not looks:
        material = dataclasses.replace(material, tune=material.tune[:1])
    session = Session.begin(options, material, World(device=compute.device("cpu", 1)), perf_counter(), SILENT)
    changed = dataclasses.replace(session.plan, checks=max(1, looks), **plan)
    session.trainer.plan = session.watch.plan = changed
    return session


def train(session: Session, workspace: Workspace, listener: Listener) -> None:
    """To the end, or to where the listener ends it."""
    folder = Unfinished.create(workspace, "toy")
    try:
        session.train(folder, listener, Run(), [])
    except KeyboardInterrupt:
        pass
    finally:
        folder.remove()


def provoked(fault: Fault, workspace: Workspace, seed: int, listener: Listener) -> Session:
    """Train with a fault."""
    session = begin(workspace, fault.recipe, fault.steps, fault.looks, seed, plan=fault.plan, images=fault.images)
    fault.put_in(session)
    train(session, workspace, listener)
    return session


def _nothing(session: Session) -> None:
    pass


def _after(session: Session, change: Callable[[], None]) -> None:
    """Do something after every step, from `BEGIN` on."""
    step = session.trainer.step

    def spoilt() -> Any:
        losses = step()
        if session.trainer.images >= BEGIN * session.plan.images:
            with torch.no_grad():
                change()
        return losses

    session.trainer.step = spoilt


def _asked(session: Session, change: Callable[..., tuple[torch.Tensor, ...]]) -> None:
    """Change what the generator and its average are given, from `BEGIN` on."""

    def spoilt(_module: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...] | None:
        return change(*given) if session.trainer.images >= BEGIN * session.plan.images else None

    for network in (session.trainer.generator, session.trainer.average):
        network.register_forward_pre_hook(spoilt)


def _infinite_pixel(session: Session) -> None:
    session.trainer.data[3, 0, 5, 5] = float("inf")


def _one_code(session: Session) -> None:
    prior = session.trainer.stage.prior
    of_class = prior.share[1] > 0
    centre = prior.mean[of_class][0].clone()

    def alike() -> None:
        prior.factor.masked_fill_(of_class[:, None, None], 0.0)
        prior.mean[of_class] = centre

    _after(session, alike)


def _no_noise(session: Session) -> None:
    _asked(session, lambda noise, condition, coarse: (torch.zeros_like(noise), condition, coarse))


def _no_noise_of_a_class(session: Session) -> None:
    _asked(session, lambda noise, condition, coarse: (noise * condition[:, :1], condition, coarse))


def _four_pictures(session: Session) -> None:
    def few(
        noise: torch.Tensor, condition: torch.Tensor, coarse: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        sign = torch.where(noise[:, :2] > 0, 1.0, -1.0)
        return sign.repeat(1, noise.shape[1] // 2), condition, coarse

    _asked(session, few)


def _no_class(session: Session) -> None:
    _asked(session, lambda noise, condition, coarse: (noise, torch.zeros_like(condition), coarse))


def _spoilt_weights(session: Session) -> None:
    weight = session.trainer.average.output.weight
    noise = torch.randn(weight.shape, generator=compute.torch_rng("spoilt"))
    _after(session, lambda: weight.copy_(noise))


def _flat(session: Session) -> None:
    trainer = session.trainer
    _after(session, lambda: [p.mul_(0.01) for p in trainer.discriminator.parameters()])


def _clamped(session: Session) -> None:
    def spoilt(_module: torch.nn.Module, _given: object, scores: torch.Tensor) -> torch.Tensor:
        begun = session.trainer.images >= BEGIN * session.plan.images
        return (scores + 1000).clamp(-10, 10) if begun else scores

    session.trainer.discriminator.register_forward_hook(spoilt)


def _frozen(session: Session) -> None:
    session.trainer.optimisers["generator"].step = lambda: None


def _by_heart(session: Session) -> None:
    """Nothing tells real from generated images but having seen them: all are noise, new for every sample."""
    trainer, rng = session.trainer, compute.torch_rng("by heart", session.plan.seed)
    for images in (trainer.data, session._tune_images):
        images.copy_(torch.rand(images.shape, generator=rng))
    # With a gradient, of zero, so that the training goes on as it is.
    trainer.generator.register_forward_hook(lambda _module, _given, out: torch.rand(out.shape, generator=rng) + 0 * out)


FAULTS = {
    "rate": Fault("learning rate 1e6", "nan", _nothing, plan={"learning_rate": 1e6}),
    "pixel": Fault("an infinite pixel in a training image", "nan", _infinite_pixel),
    "one code": Fault("the first stage draws one code of a class", "collapse", _one_code),
    "no noise": Fault("the generator is given no noise", "collapse", _no_noise, "dcgan"),
    "no noise, one class": Fault(
        "the generator is given no noise for one class", "collapse", _no_noise_of_a_class, "r3gan"
    ),
    "four pictures": Fault("the noise takes four values only", "collapse", _four_pictures, "dcgan"),
    "no class": Fault("the class does not reach the generator", "collapse", _no_class, "r3gan"),
    "weights": Fault("the averaged weights are overwritten with noise", "collapse", _spoilt_weights, steps=40, looks=5),
    "flat": Fault("the discriminator's weights fade", "vanishing_gradient", _flat, steps=60),
    "saturated": Fault("the discriminator's scores are saturated", "vanishing_gradient", _clamped, "dcgan"),
    "free": Fault(
        "no penalty, and a generator that stands still", "discriminator_wins", _frozen, steps=140, plan={"gamma": 0.0}
    ),
    "free, pixels": Fault(
        "no penalty, and a generator that stands still",
        "discriminator_wins",
        _frozen,
        "wgan-gp",
        plan={"gamma": 0.0},
    ),
    "by heart": Fault(
        "48 images of noise, samples that are such noise too, and no penalty",
        "memorising",
        _by_heart,
        "r3gan",
        looks=12,
        images=48,
        plan={"gamma": 0.0},
    ),
}
