"""The parts of a training, built as its plan says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from medsyn.compute import bfloat16_is_native, keyed_seed
from medsyn.config import TrainOptions, load_preset, parse_budget
from medsyn.errors import UsageError
from medsyn.gan.distributed import World
from medsyn.gan.material import Material
from medsyn.gan.monitor import Monitor
from medsyn.gan.plan import EXPLAINED, FEW_IMAGES, Plan, most_coefficients, prior_steps
from medsyn.gan.recipes import RECIPES
from medsyn.generator import Generator, first_stage, networks
from medsyn.generator.first_stage import Fitting, PriorTraining, Stage

CLOSED_FORM, CLOSED_FORM_EXPLAINED, IMAGES_PER_COMPONENT = 256, 0.99, 4
"""Components of the closed form at most, the share of the variance that suffices, and images for each component: more
directions are noise of the few patients."""

ALIGNMENT_PAYS = 48
"""Side below which an alignment is not tried: at 28 pixels its interpolation costs more than it gives."""

VARYING_PAYS = 32
"""Side below which few images are treated as many: interpolation blurs the edges of small ones (on the 16 px of the
toy, short trainings then cover nothing)."""

SAMPLING_BATCH = 64

BATCH, BATCH_OF_FEW, BATCH_OF_A_GPU = 32, 16, 256
"""Images a step; where there are few to complete; of every GPU. A CPU shows hardly more of them a
second in larger steps, which then are fewer; a GPU needs many to be busy (256: R3GAN's own; not measured on GPU)."""


def draft(options: TrainOptions, material: Material, world: World, init_from: str | None) -> Plan:
    """The plan but for its length, which the machine's speed decides.

    Args:
        options: Of the command.
        material: Images to learn from.
        world: Where to train.
        init_from: Digest of the checkpoint whose weights are taken over.

    Raises:
        UsageError: No such recipe or knob.
    """
    unit, amount = parse_budget(options.budget)
    few_seconds = unit == "seconds" and amount < 60
    if options.recipe not in RECIPES:
        raise UsageError(
            f"unknown recipe '{options.recipe}'", where="--recipe", mend=f"There are: {', '.join(RECIPES)}."
        )
    side = material.dataset.image_shape[-1]
    recipe = RECIPES[options.recipe].at(side)
    few = recipe.first_stage != "none" and side >= VARYING_PAYS and len(material.train) < FEW_IMAGES
    policy = tuple(load_preset(material.dataset.modality).diffaugment) if options.diffaugment != "off" else ()
    plan = Plan(
        recipe=options.recipe,
        budget=options.budget,
        seed=options.seed,
        batch=options.batch or _batch(world, few),
        steps=10**6,
        checks=1,
        first_stage=recipe.first_stage,
        explained=EXPLAINED,
        coefficients=most_coefficients(len(material.train)),
        prior_steps=prior_steps(options.budget, len(material.train)),
        network=recipe.network(side),
        discriminator=recipe.discriminator(side),
        objective=recipe.objective,
        learning_rate=recipe.learning_rate,
        gamma=recipe.gamma,
        penalty_every=recipe.penalty_every,
        free=recipe.free,
        varied=float(few),
        ramp=recipe.ramp,
        final=0.1,
        ema_kimg=recipe.ema_kimg,
        diffaugment=policy,
        strength=0.0 if options.diffaugment == "adapt" else 1.0,
        adapt=options.diffaugment == "adapt",
        precision=_precision(options.precision, world.device),
        monitor_images=128 if few_seconds else 256,
        init_from=init_from,
        device=str(world.device),
        threads=torch.get_num_threads(),
        width=1.0,
    ).turned(options.knobs)
    return plan.widened()


def _batch(world: World, few: bool) -> int:
    if world.device.type == "cuda":  # pragma: no cover - needs a GPU
        return BATCH_OF_A_GPU * world.size
    return BATCH_OF_FEW if few and BATCH_OF_FEW % world.size == 0 else BATCH


def _precision(asked: str, device: torch.device) -> str:
    if asked != "auto":
        return asked
    return "bfloat16" if bfloat16_is_native(device) else "float32"


def monitor_of(material: Material, samples: int, device: torch.device) -> Monitor | None:
    if not material.can_monitor:
        return None
    return Monitor(material.watched_images, material.watched_labels, material.watched_units, samples, device)


def fitted(plan: Plan, material: Material) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Sizes and weights of the plan's first stage."""
    stage = first_stage.fit(
        plan.first_stage,
        material.few_images,
        material.few_labels,
        Fitting(
            explained=plan.explained,
            most=plan.coefficients,
            halvings=networks.levels(plan.network) - 1,
            prior=PriorTraining(plan.prior_steps, plan.seed, material.few_units),
        ),
    )
    return stage.sizes(), stage.state_dict()


def stage_of(
    sizes: dict[str, Any], weights: dict[str, torch.Tensor], material: Material, device: torch.device
) -> Stage:
    stage = first_stage.build(sizes, material.dataset.image_shape)
    stage.load_state_dict(weights)
    return stage.to(device)


def network_of(plan: Plan, image_shape: tuple[int, int, int], condition: int) -> networks.Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(keyed_seed("generator", plan.seed))
        return networks.build(plan.network, image_shape, condition)


def closed_forms(material: Material, device: torch.device) -> Iterator[Generator]:
    """What no training is needed for: mixtures of as many components as the images allow, and nothing added."""
    images, labels = material.few_images, material.few_labels
    most = max(8, min(CLOSED_FORM, len(images) // IMAGES_PER_COMPONENT))
    for kind in ("pca", "aligned-pca") if material.dataset.image_shape[-1] >= ALIGNMENT_PAYS else ("pca",):
        stage = first_stage.fit(kind, images, labels, Fitting(explained=CLOSED_FORM_EXPLAINED, most=most))
        yield generator_of(material, stage, {"kind": "none"}, None, device)


def generator_of(
    material: Material,
    stage: Stage,
    network: dict[str, Any],
    weights: torch.nn.Module | None,
    device: torch.device,
) -> Generator:
    """A generator as a checkpoint will hold it.

    Args:
        material: What it learnt from.
        stage: Fitted.
        network: Kind and sizes.
        weights: A network of that kind and those sizes, or None where it has no weights.
        device: Where it runs.
    """
    dataset = material.dataset
    config = {
        "classes": dataset.classes,
        "image_shape": list(dataset.image_shape),
        "condition_schema": dataset.condition_schema,
        "network": network,
        "first_stage": stage.sizes(),
        "batch": SAMPLING_BATCH,
    }
    generator = Generator(config, device)
    generator.first_stage.load_state_dict(stage.state_dict())
    if weights is not None:
        generator.network.load_state_dict(weights.state_dict())
    return generator
