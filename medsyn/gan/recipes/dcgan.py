"""The field's oldest baseline, kept honest: non-saturating loss with label smoothing, on pixels."""

from __future__ import annotations

from typing import Any

from medsyn.gan.recipes.r3gan import network
from medsyn.gan.recipes.recipe import Recipe, grown, levels


def discriminator(side: int) -> dict[str, Any]:
    """Of recipes whose loss does not pair: without residual blocks, which with a small penalty cost modes."""
    return {"channels": grown(16, 128, levels(side, 4)), "blocks": 0}


RECIPE = Recipe(
    about="non-saturating loss with label smoothing, on pixels",
    first_stage="none",
    network=network,
    discriminator=discriminator,
    objective="non-saturating",
    learning_rate=1e-3,
    gamma=3.0,
    penalty_every=2,
)
