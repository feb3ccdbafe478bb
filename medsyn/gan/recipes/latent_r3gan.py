"""A coarse image from principal components, completed by R3GAN level by level: the best per minute of compute."""

from __future__ import annotations

from typing import Any

from medsyn.gan.recipes.recipe import Recipe, grown, levels
from medsyn.generator.networks.pyramid import halvings

SMALLEST = 64
"""Side of the first level at least. At 64 px one network comes as far in the same time as one at 32 px and another
above it (docs/pages/decisions.md); at 128 px and more one alone would be too slow."""


def _completing(side: int) -> dict[str, Any]:
    count = levels(side, 8)
    return {"kind": "completion", "channels": [16, *grown(48, 96, count - 1)], "blocks": 1, "maps": 2}


def _judging(side: int) -> dict[str, Any]:
    count = levels(side, 4)
    return {"channels": [16, *grown(48, 192, count - 1)], "blocks": 0}


REFINING = {"kind": "completion", "channels": [16, 32, 64], "blocks": 1, "maps": 2}
REFINED = {"channels": [16, 32, 64, 128], "blocks": 0}
"""Of every further level: what doubling the side adds depends on what is near."""


def _network(side: int) -> dict[str, Any]:
    above = halvings(side, SMALLEST)
    first = _completing(side >> above)
    return {"kind": "pyramid", "levels": [first] + above * [REFINING]} if above else first


def _discriminator(side: int) -> dict[str, Any]:
    above = halvings(side, SMALLEST)
    first = _judging(side >> above)
    return {"levels": [first] + above * [REFINED]} if above else first


RECIPE = Recipe(
    about="coarse images from a flow over principal components, completed by a network trained as R3GAN",
    first_stage="pca",
    network=_network,
    discriminator=_discriminator,
    objective="r3gan",
    learning_rate=1e-3,
    gamma=0.1,
    large={"learning_rate": 5e-4, "gamma": 0.3},
)
