"""What generator and discriminator want, by name."""

from __future__ import annotations

from typing import Protocol

import torch

from medsyn.gan.objectives.gradients import Critic
from medsyn.gan.objectives.non_saturating import NonSaturating
from medsyn.gan.objectives.r3gan import RelativisticPairing
from medsyn.gan.objectives.wasserstein import Wasserstein


class Objective(Protocol):
    """Losses of scores ``[n]``, where a real and a generated image of one condition make a pair.

    Attributes:
        betas: Of Adam.
        critic_steps: Updates of the discriminator for one of the generator.
    """

    betas: tuple[float, float]
    critic_steps: int

    def discriminator(self, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        """What the discriminator minimises, a scalar."""
        ...

    def generator(self, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        """What the generator minimises, a scalar."""
        ...

    def penalty(self, critic: Critic, real: torch.Tensor, fake: torch.Tensor, between: torch.Tensor) -> torch.Tensor:
        """What keeps the discriminator smooth, a scalar that is not weighted.

        Args:
            critic: The discriminator.
            real: Images.
            fake: Images, no gradient to the generator.
            between: Uniform in [0, 1], ``[n]``: for penalties between the two.
        """
        ...


OBJECTIVES: dict[str, type[Objective]] = {
    "r3gan": RelativisticPairing,
    "non-saturating": NonSaturating,
    "wgan-gp": Wasserstein,
}

__all__ = ["OBJECTIVES", "Critic", "NonSaturating", "Objective", "RelativisticPairing", "Wasserstein"]
