"""Wasserstein loss with gradient penalty (Gulrajani et al. 2017, arXiv:1704.00028)."""

from __future__ import annotations

import torch

from medsyn.gan.objectives.gradients import Critic, squared_norm

DRIFT = 1e-3
"""Weight of the squared scores of real images, which keeps the scores from drifting away (Karras et al. 2018)."""


class Wasserstein:
    """The critic's mean on real images minus that on samples."""

    betas = (0.0, 0.9)
    critic_steps = 2

    def discriminator(self, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        """Eq. 3 without its penalty."""
        return fake.mean() - real.mean() + DRIFT * real.square().mean()

    def generator(self, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        """Minus the critic's mean on samples."""
        return -fake.mean()

    def penalty(self, critic: Critic, real: torch.Tensor, fake: torch.Tensor, between: torch.Tensor) -> torch.Tensor:
        """Eq. 3's penalty: a slope of one between a real image and a sample."""
        share = between.view(-1, *[1] * (real.ndim - 1))
        slope = (squared_norm(critic, share * real + (1 - share) * fake) + 1e-12).sqrt()
        return (slope - 1).square().mean()
