"""Networks that a generator checkpoint can hold, by the name in config.json."""

from __future__ import annotations

from typing import Any

import torch

from medsyn.errors import DataError
from medsyn.generator.networks.completion import CompletionGenerator
from medsyn.generator.networks.conv import ConvGenerator
from medsyn.generator.networks.none import NoNetwork

NETWORKS: dict[str, type[CompletionGenerator] | type[ConvGenerator] | type[NoNetwork]] = {
    "completion": CompletionGenerator,
    "conv": ConvGenerator,
    "none": NoNetwork,
}


def build(config: dict[str, Any], image_shape: tuple[int, int, int], condition: int) -> torch.nn.Module:
    """The network of ``config["network"]``: its ``kind`` and all its sizes.

    Args:
        config: The sizes.
        image_shape: ``(C, H, W)``.
        condition: Length of a condition vector.

    Raises:
        DataError: A kind that this medsyn does not know.
    """
    sizes = dict(config)
    kind = sizes.pop("kind", None)
    if kind not in NETWORKS:
        raise DataError(f"network '{kind}' is not known", where="config.json", mend="Upgrade medsyn.")
    return NETWORKS[kind](image_shape, condition, **sizes)


__all__ = ["NETWORKS", "CompletionGenerator", "ConvGenerator", "NoNetwork", "build"]
