import dataclasses

import numpy as np
import pytest
import torch

from medsyn.gan.plan import Plan
from medsyn.gan.trainer import Trainer
from medsyn.generator import first_stage
from medsyn.generator.networks import LatentGenerator

PLAN = Plan(
    recipe="latent-r3gan",
    budget="1kimg",
    seed=0,
    batch=8,
    steps=10,
    checks=1,
    first_stage="pca",
    coefficients=6,
    generator_width=16,
    discriminator_width=16,
    depth=1,
    embedding=4,
    learning_rate=1e-3,
    gamma=1.0,
    final=0.1,
    beta2=0.99,
    ema_kimg=1.0,
    diffaugment=(),
    monitor_images=16,
    device="cpu",
    threads=1,
)


def make(kind: str = "pca", **changes: object) -> Trainer:
    images = np.random.default_rng(0).random((40, 1, 16, 16), np.float32)
    stage, codes = first_stage.fit(kind, images, explained=1.0, most=6)
    plan = dataclasses.replace(PLAN, coefficients=stage.coefficients, first_stage=kind, **changes)
    torch.manual_seed(0)
    network = LatentGenerator(stage.coefficients, 2, plan.generator_width, plan.depth, plan.embedding)
    return Trainer(plan, stage, network, codes, torch.arange(40) % 2)


@pytest.mark.parametrize("kind", first_stage.FIRST_STAGES)
@pytest.mark.parametrize("policy", [(), ("translation", "brightness", "contrast")])
def test_a_step_moves_every_part_and_counts_images(kind: str, policy: tuple[str, ...]) -> None:
    trainer = make(kind, diffaugment=policy)
    before = trainer.state()
    losses = trainer.step()
    after = trainer.state()
    assert all(np.isfinite(losses))
    assert trainer.images == 8
    for part in ("generator.output.weight", "average.output.weight", "discriminator.input.weight"):
        assert not torch.equal(before[part], after[part]), part
    for fixed in ("generator.mean", "generator.factor"):
        assert torch.equal(before[fixed], after[fixed])


def test_restored_it_goes_on_bit_for_bit() -> None:
    one, two = make(), make()
    for _ in range(3):
        one.step()
    two.load_state(one.state(), one.images)
    for _ in range(3):
        assert one.step() == two.step()
    assert all(torch.equal(a, b) for a, b in zip(one.state().values(), two.state().values(), strict=True))


def test_schedules_count_images_not_steps() -> None:
    assert PLAN.anneal(0) == 1
    assert PLAN.anneal(PLAN.images) == pytest.approx(PLAN.final)
    wide = dataclasses.replace(PLAN, batch=16, steps=5)
    assert wide.anneal(40) == PLAN.anneal(40)
    assert wide.ema_decay(5000) == pytest.approx(PLAN.ema_decay(5000) ** 2)
    assert Plan.from_json(PLAN.to_json()) == PLAN
    assert max(PLAN.check_steps()) == PLAN.steps
