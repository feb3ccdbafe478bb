"""A coarse image from principal components, completed by R3GAN: the best per minute of compute."""

from __future__ import annotations

from typing import Any

from medsyn.gan.recipes.recipe import Recipe, grown, levels


def _network(side: int) -> dict[str, Any]:
    count = levels(side, 8)
    return {"kind": "completion", "channels": [16, *grown(48, 96, count - 1)], "blocks": 1, "maps": 2}


def _discriminator(side: int) -> dict[str, Any]:
    count = levels(side, 4)
    return {"channels": [16, *grown(48, 192, count - 1)], "blocks": 0}


RECIPE = Recipe(
    about="coarse images from a flow over principal components, completed by a network trained as R3GAN",
    first_stage="pca",
    network=_network,
    discriminator=_discriminator,
    objective="r3gan",
    learning_rate=1e-3,
    gamma=0.1,
)
