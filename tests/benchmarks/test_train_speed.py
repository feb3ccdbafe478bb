"""The loops that benchmarks/train_speed.py compares ours with: they train, and waste nothing on purpose."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from gan.test_trainer import make

from medsyn.gan.recipes import RECIPES
from medsyn.gan.trainer import Trainer

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import train_speed

LEVEL = {"kind": "completion", "channels": [4, 6], "blocks": 1, "maps": 1}
PYRAMID = {
    "network": {"kind": "pyramid", "levels": [LEVEL, LEVEL]},
    "discriminator": {"levels": [{"channels": [4, 8], "blocks": 0}] * 2},
}


def moved(trainer: Trainer, loop: train_speed.Loop, parts: tuple[str, ...]) -> set[str]:
    """Levels of the parts in which some weight has changed."""
    before = {name: {k: v.clone() for k, v in getattr(trainer, name).state_dict().items()} for name in parts}
    loop(trainer.objective.critic_steps)
    changed = set()
    for name, tensors in before.items():
        for key, value in getattr(trainer, name).state_dict().items():
            assert torch.isfinite(value).all()
            if not torch.equal(value, tensors[key]):
                changed.add(".".join([name, *key.split(".")[:2]]) if key.startswith("levels.") else name)
    return changed


@pytest.mark.parametrize("name", RECIPES)
def test_plain_pytorch_trains_every_recipe(name: str) -> None:
    trainer = make(name)
    parts = ("generator", "average", "discriminator")
    assert moved(trainer, train_speed.plain(trainer), parts) == set(parts)


@pytest.mark.parametrize("loop", ["plain", "gan_trainer"])
def test_all_levels_of_a_pyramid_learn(loop: str) -> None:
    if loop == "gan_trainer":
        pytest.importorskip("ignite", reason="MONAI's GanTrainer needs pytorch-ignite")
    trainer = make(**PYRAMID)
    parts = ("generator", "discriminator")
    made = moved(trainer, getattr(train_speed, loop)(trainer), parts)
    assert made == {f"{part}.levels.{level}" for part in parts for level in range(2)}


def test_plain_pytorch_makes_one_sample_a_step() -> None:
    trainer = make()
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    trainer.generator.register_forward_hook(count)
    train_speed.plain(trainer)(3)
    assert calls == 3
