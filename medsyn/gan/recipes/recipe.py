"""What a recipe says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

LARGE = 64
"""Pixels a side from which a recipe's `large` holds: what small images learn by breaks the training of larger ones."""


@dataclass(frozen=True)
class Recipe:
    """One way to train a generator. Everything but the names is a default that a user may replace.

    Attributes:
        about: One line for the documentation and ``--help``.
        first_stage: Name in `medsyn.generator.first_stage.FIRST_STAGES`.
        network: Side of the images -> ``kind`` and sizes of the generator, see `medsyn.generator.networks`.
        discriminator: Side of the images -> sizes of `medsyn.gan.discriminator.Discriminator`.
        objective: Name in `medsyn.gan.objectives.OBJECTIVES`.
        learning_rate: Of Adam, at its height.
        gamma: Weight of the objective's penalty.
        penalty_every: Steps from one penalty to the next, which then weighs as much more (lazy regularisation: Karras
            et al. 2020, StyleGAN2, appendix B).
        free: Share of the coarse images that are drawn rather than those of the paired real images.
        ema_kimg: Half-life of the averaged weights.
        ramp: Share of the training during which the condition fades in (Shahbazi et al. 2022).
        large: Of the numbers above, those that differ from `LARGE` pixels a side on.
    """

    about: str
    first_stage: str
    network: Callable[[int], dict[str, Any]]
    discriminator: Callable[[int], dict[str, Any]]
    objective: str
    learning_rate: float
    gamma: float
    penalty_every: int = 4
    free: float = 0.0
    ema_kimg: float = 10.0
    ramp: float = 0.0
    large: Mapping[str, Any] = field(default_factory=dict)

    def at(self, side: int) -> Recipe:
        """The recipe for images of this side."""
        return replace(self, **self.large) if side >= LARGE else self


def levels(side: int, smallest: int) -> int:
    """How many levels halve ``side`` until it is below twice ``smallest``."""
    count = 1
    while side // 2 >= smallest:
        side, count = side // 2, count + 1
    return count


def grown(first: int, most: int, count: int) -> list[int]:
    """Channels of ``count`` levels, from ``first``, each twice as many, up to ``most``."""
    return [min(most, first * 2**i) for i in range(count)]
