"""R3GAN on pixels, small."""

from __future__ import annotations

from typing import Any

from medsyn.gan.recipes.recipe import Recipe, grown, levels


def network(side: int) -> dict[str, Any]:
    """Of recipes without a first stage."""
    return {"kind": "conv", "channels": grown(24, 192, levels(side, 4)), "blocks": 1, "latent": 64}


def discriminator(side: int) -> dict[str, Any]:
    """Of recipes without a first stage."""
    return {"channels": grown(24, 192, levels(side, 4)), "blocks": 1}


RECIPE = Recipe(
    about="R3GAN on pixels: relativistic pairs with R1 and R2",
    first_stage="none",
    network=network,
    discriminator=discriminator,
    objective="r3gan",
    learning_rate=2e-4,
    gamma=0.5,
)
