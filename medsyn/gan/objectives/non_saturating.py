"""The non-saturating loss (Goodfellow et al. 2014) with one-sided label smoothing and R1 (Mescheder et al. 2018)."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from medsyn.gan.objectives.gradients import Critic, squared_norm

SMOOTHED = 0.9
"""What a real image counts as instead of 1 (Salimans et al. 2016, section 3.4)."""


class NonSaturating:
    """Logistic loss; the generator maximises ``log D`` of its samples."""

    betas = (0.5, 0.999)  # DCGAN: Radford et al. 2015, section 4
    critic_steps = 1

    def discriminator(self, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        """Cross-entropy, with real images smoothed."""
        right = F.binary_cross_entropy_with_logits(real, torch.full_like(real, SMOOTHED))
        return right + F.softplus(fake).mean()

    def generator(self, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        """``-log sigmoid D(G(z))``."""
        return F.softplus(-fake).mean()

    def penalty(self, critic: Critic, real: torch.Tensor, fake: torch.Tensor, between: torch.Tensor) -> torch.Tensor:
        """R1, without which small sets diverge."""
        return squared_norm(critic, real).mean() / 2
