"""As latent-r3gan, but that its coarse images are an autoencoder's."""

from __future__ import annotations

from dataclasses import replace

from medsyn.gan.recipes import latent_r3gan

RECIPE = replace(
    latent_r3gan.RECIPE,
    about="coarse images from a flow over an autoencoder's codes, completed by a network trained as R3GAN",
    first_stage="autoencoder",
)
