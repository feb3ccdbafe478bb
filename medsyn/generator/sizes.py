"""What a config.json may ask for: no more than the weights beside it hold, and nothing that no training makes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.modules import module

from medsyn.generator.condition import CLASS
from medsyn.generator.model import Generator

LARGEST_SIDE = 4096
MOST_CLASSES = 10_000
MOST_OF_A_BATCH = 2**14
MOST_STEPS = 1000
"""Of a flow from noise to codes: dozens are used."""


def check_sizes(config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> None:
    """Build the generator without memory, and compare it with its weights.

    Args:
        config: Content of config.json.
        tensors: Content of generator.safetensors.

    Raises:
        ValueError: A size that no generator has, or other tensors than those of the weights.
        Exception: Whatever a constructor raises at values of the wrong kind.
    """
    colours, height, width = config["image_shape"]
    classes, steps = config["classes"], config["first_stage"].get("prior", {}).get("steps", 1)
    _within("classes", len(classes), MOST_CLASSES)
    if not all(isinstance(name, str) for name in classes) or classes != config["condition_schema"][CLASS]["values"]:
        raise ValueError("classes must be texts, and those of the condition schema")
    _within("image_shape", colours, 3)
    _within("image_shape", height, LARGEST_SIDE)
    _within("image_shape", width, LARGEST_SIDE)
    _within("batch", config["batch"], MOST_OF_A_BATCH)
    _within("steps", steps, MOST_STEPS)
    with torch.device("meta"), _no_more_than(len(tensors), sum(t.numel() for t in tensors.values())):
        made = Generator(dict(config), "meta")
    parts = {"first_stage": made.first_stage, "network": made.network}
    shapes = {f"{name}.{key}": t.shape for name, part in parts.items() for key, t in part.state_dict().items()}
    if shapes != {key: t.shape for key, t in tensors.items()}:
        raise ValueError("other sizes than those of the weights")


def _within(name: str, value: object, most: int) -> None:
    if not isinstance(value, int) or not 0 < value <= most:
        raise ValueError(f"{name} {value!r:.40} must be a whole number from 1 to {most}")


@contextmanager
def _no_more_than(tensors: int, values: int) -> Iterator[None]:
    """Within, nobody can make modules with more than so many tensors, or with one of more than so many values."""
    made = 0

    def count(owner: torch.nn.Module, name: str, tensor: torch.Tensor | None) -> None:
        nonlocal made
        made += tensor is not None
        # A parameter may be entered twice, by its module and by a wrapper of it.
        if made > 2 * tensors or (tensor is not None and tensor.numel() > values):
            raise ValueError("more than the weights hold")

    hooks = [
        module.register_module_parameter_registration_hook(count),
        module.register_module_buffer_registration_hook(count),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
