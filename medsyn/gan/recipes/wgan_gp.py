"""Wasserstein GAN with gradient penalty, on pixels."""

from __future__ import annotations

from medsyn.gan.recipes.dcgan import discriminator
from medsyn.gan.recipes.r3gan import network
from medsyn.gan.recipes.recipe import Recipe

RECIPE = Recipe(
    about="Wasserstein loss with gradient penalty, on pixels",
    first_stage="none",
    network=network,
    discriminator=discriminator,
    objective="wgan-gp",
    learning_rate=1e-3,
    gamma=10.0,
    penalty_every=1,
)
