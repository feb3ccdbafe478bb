"""Ways to train a generator, by name: a first stage, a network and an objective, with what they are best trained by."""

from __future__ import annotations

from medsyn.gan.recipes import autoencoder_r3gan, dcgan, latent_r3gan, r3gan, wgan_gp
from medsyn.gan.recipes.recipe import Recipe

RECIPES: dict[str, Recipe] = {
    "latent-r3gan": latent_r3gan.RECIPE,
    "autoencoder-r3gan": autoencoder_r3gan.RECIPE,
    "r3gan": r3gan.RECIPE,
    "dcgan": dcgan.RECIPE,
    "wgan-gp": wgan_gp.RECIPE,
}

__all__ = ["RECIPES", "Recipe"]
