"""What torchrun runs in several processes: steps of every recipe, whose gradients and weights rank 0 keeps.

python tests/gan/shared_steps.py <folder of the tests> <file>
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

STEPS = 4


def steps(world: object) -> dict[str, torch.Tensor]:
    """Gradients of the first update of each network, and all weights after some more, of every recipe."""
    from gan.test_trainer import make
    from medsyn.gan.recipes import RECIPES

    found = {}
    for name in RECIPES:
        trainer = make(name, world, diffaugment=("translation", "brightness"), ramp=0.5)
        for number in range(trainer.objective.critic_steps * STEPS):
            losses = trainer.step()
            for part in ("generator", "discriminator"):
                for key, parameter in getattr(trainer, part).named_parameters():
                    if parameter.grad is not None:
                        found.setdefault(f"{name} gradient {part} {key}", parameter.grad.clone())
            if number == 0:
                found[f"{name} losses"] = torch.tensor(dataclasses.astuple(losses) if False else tuple(losses))
        found |= {f"{name} weight {key}": value for key, value in trainer.state().items() if "adam" not in key}
    return found


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    from medsyn import compute
    from medsyn.gan.distributed import joined

    with joined(compute.device("cpu")) as together:
        result = steps(together)
        if together.main:
            save_file({key: value.contiguous() for key, value in result.items()}, Path(sys.argv[2]))
