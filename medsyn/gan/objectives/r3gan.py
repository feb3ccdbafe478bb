"""R3GAN (Huang et al. 2024, arXiv:2501.05441): relativistic pairing with R1 and R2."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from medsyn.gan.objectives.gradients import Critic, squared_norm


class RelativisticPairing:
    """``E softplus(-(D(x) - D(G(z))))`` over pairs of one condition (eq. 2, with f(t) = -log(1 + exp(-t)))."""

    betas = (0.0, 0.99)
    critic_steps = 1

    def discriminator(self, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        """The discriminator wants the real one of a pair above the other."""
        return F.softplus(fake - real).mean()

    def generator(self, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        """The mirror image: the generator wants its sample above the real one it is paired with."""
        return F.softplus(real - fake).mean()

    def penalty(self, critic: Critic, real: torch.Tensor, fake: torch.Tensor, between: torch.Tensor) -> torch.Tensor:
        """Zero-centred on both sides: half of R1 (eq. 3) and half of R2 (eq. 4)."""
        return (squared_norm(critic, real).mean() + squared_norm(critic, fake).mean()) / 2
