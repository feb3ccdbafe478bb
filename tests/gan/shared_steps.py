"""Steps of every recipe, in one process or, started by torchrun, in several: gradients, weights and losses.

torchrun --nproc-per-node 2 tests/gan/shared_steps.py <folder of the tests> <file>
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from medsyn import compute
from medsyn.gan.distributed import World, joined
from medsyn.gan.recipes import RECIPES
from medsyn.gan.trainer import Trainer
from medsyn.generator import first_stage, networks

ROUNDS = 4


def steps(world: World) -> dict[str, torch.Tensor]:
    """Of every recipe: first gradients of both networks, losses, weights after `ROUNDS` updates of the generator."""
    from gan.test_trainer import SCHEMA, plan_of

    images, labels = np.random.default_rng(0).random((40, 1, 16, 16), np.float32), np.arange(40) % 2
    found: dict[str, torch.Tensor] = {}
    for name in RECIPES:
        plan = plan_of(name, diffaugment=("translation", "brightness"), ramp=0.5)
        stage = first_stage.fit(plan.first_stage, images, labels, first_stage.Fitting(explained=1.0, most=6))
        torch.manual_seed(world.rank)  # only rank 0's start may count
        network = networks.build(plan.network, (1, 16, 16), 2)
        trainer = Trainer(plan, stage, network, torch.from_numpy(images), torch.from_numpy(labels), SCHEMA, world)
        for _ in range(ROUNDS * trainer.objective.critic_steps):
            losses = trainer.step()
            found.setdefault(f"{name} losses", torch.tensor(losses))
            for part in ("generator", "discriminator"):
                for key, parameter in getattr(trainer, part).named_parameters():
                    if parameter.grad is not None:
                        found.setdefault(f"{name} gradient {part}.{key}", parameter.grad.clone())
        found |= {f"{name} weight {key}": value for key, value in trainer.state().items() if "adam" not in key}
    return found


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    with joined(compute.device("cpu")) as together:
        ours = steps(together)
        theirs = together.from_main(lambda: ours)
        if not all(torch.equal(value, theirs[key]) for key, value in ours.items()):
            raise SystemExit(f"process {together.rank} has drifted away from the first")
        if together.main:
            save_file({key: value.contiguous() for key, value in ours.items()}, Path(sys.argv[2]))
