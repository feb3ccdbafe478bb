"""Networks that a generator checkpoint can hold, by the name in config.json."""

from __future__ import annotations

from typing import Any

from medsyn.generator.kinds import kind_and_sizes
from medsyn.generator.networks.completion import CompletionGenerator
from medsyn.generator.networks.conv import ConvGenerator
from medsyn.generator.networks.none import NoNetwork
from medsyn.generator.networks.pyramid import Pyramid, shapes_of_levels

NETWORKS: dict[str, type[CompletionGenerator] | type[ConvGenerator] | type[NoNetwork]] = {
    "completion": CompletionGenerator,
    "conv": ConvGenerator,
    "none": NoNetwork,
}


Network = CompletionGenerator | ConvGenerator | NoNetwork | Pyramid


def build(config: dict[str, Any], image_shape: tuple[int, int, int], condition: int) -> Network:
    """The network of ``config["network"]``: its ``kind`` and all its sizes.

    Args:
        config: The sizes; of a pyramid, those of its ``levels``.
        image_shape: ``(C, H, W)``.
        condition: Length of a condition vector.

    Raises:
        DataError: A kind that this medsyn does not know.
    """
    if config.get("kind") == "pyramid":
        shapes = shapes_of_levels(image_shape, levels(config))
        return Pyramid([build(*of, condition) for of in zip(config["levels"], shapes, strict=True)])
    made, sizes = kind_and_sizes(config, NETWORKS, "network")
    return made(image_shape, condition, **sizes)


def levels(config: dict[str, Any]) -> int:
    """How many sizes of an image the network of ``config["network"]`` makes one after the other."""
    return len(config["levels"]) if config.get("kind") == "pyramid" else 1


__all__ = ["NETWORKS", "CompletionGenerator", "ConvGenerator", "Network", "NoNetwork", "Pyramid", "build", "levels"]
