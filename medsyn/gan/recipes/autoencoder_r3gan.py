"""As latent-r3gan, but that its coarse images are an autoencoder's."""

from __future__ import annotations

from dataclasses import replace

from medsyn.gan.recipes import latent_r3gan

RECIPE = replace(
    latent_r3gan.RECIPE,
    about="as latent-r3gan, with an autoencoder in place of principal components",
    first_stage="autoencoder",
)
