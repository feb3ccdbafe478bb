"""Wasserstein GAN with gradient penalty, on pixels."""

from __future__ import annotations

from medsyn.gan.recipes.r3gan import discriminator, network
from medsyn.gan.recipes.recipe import Recipe

RECIPE = Recipe(
    about="Wasserstein loss with gradient penalty, on pixels",
    first_stage="none",
    network=network,
    discriminator=discriminator,
    objective="wgan-gp",
    learning_rate=2e-4,
    gamma=10.0,
    penalty_every=1,
)
