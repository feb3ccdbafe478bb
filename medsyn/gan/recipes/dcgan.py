"""The field's oldest baseline, kept honest: non-saturating loss with label smoothing, on pixels."""

from __future__ import annotations

from medsyn.gan.recipes.r3gan import discriminator, network
from medsyn.gan.recipes.recipe import Recipe

RECIPE = Recipe(
    about="non-saturating loss with label smoothing, on pixels",
    first_stage="none",
    network=network,
    discriminator=discriminator,
    objective="non-saturating",
    learning_rate=2e-4,
    gamma=0.5,
)
