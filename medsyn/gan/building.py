"""The parts of a training, built as its plan says."""

from __future__ import annotations

from typing import Any

import torch

from medsyn.compute import keyed_seed
from medsyn.gan.material import Material
from medsyn.gan.monitor import Monitor
from medsyn.gan.plan import EXPLAINED, Plan
from medsyn.generator import first_stage, networks
from medsyn.generator.first_stage import FirstStage


def monitor_of(material: Material, samples: int, device: torch.device) -> Monitor | None:
    if not material.can_monitor:
        return None
    return Monitor(material.tune_images, material.tune_labels, samples, device)


def fitted(plan: Plan, material: Material) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Sizes and weights of the plan's first stage."""
    stage = first_stage.fit(
        plan.first_stage, material.few_images, material.few_labels, explained=EXPLAINED, most=plan.coefficients
    )
    return stage.sizes(), stage.state_dict()


def stage_of(
    sizes: dict[str, Any], weights: dict[str, torch.Tensor], material: Material, device: torch.device
) -> FirstStage:
    stage = first_stage.build(sizes, material.dataset.image_shape)
    stage.load_state_dict(weights)
    return stage.to(device)


def network_of(plan: Plan, image_shape: tuple[int, int, int], condition: int) -> torch.nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(keyed_seed("generator", plan.seed))
        return networks.build(plan.network, image_shape, condition)
