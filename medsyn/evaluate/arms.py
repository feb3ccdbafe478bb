"""The ways to compose training data that are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from medsyn.compute import numpy_rng


@dataclass(frozen=True)
class Plan:
    """One arm: what is trained on, and how. Steps, batch, schedule and selection rule are the same for all.

    Attributes:
        name: As the report shows it.
        kind: A control uses no synthetic image.
        real: Whether real training images take part.
        ratio: Synthetic images per real training image; for synthetic-only the size of the set per real image.
        classical: Classical augmentation.
        balanced: Classes are drawn equally often.
    """

    name: str
    kind: Literal["control", "synthetic"]
    real: bool = True
    ratio: float | None = None
    classical: bool = True
    balanced: bool = False


def plans(ratios: Sequence[float]) -> list[Plan]:
    """All arms, the controls first and the simpler before the richer (which settles ties)."""
    return [
        Plan("real", "control", classical=False),
        Plan("real + classical", "control"),
        Plan("oversampled + classical", "control", balanced=True),
        *(Plan(f"real + synthetic x{ratio:g} + classical", "synthetic", ratio=ratio) for ratio in ratios),
        Plan("synthetic only + classical", "synthetic", real=False),
    ]


def synthetic_rows(plan: Plan, available: int, real: int, seed: int) -> np.ndarray:
    """Which synthetic images an arm uses in one repeat: all there are where the set has fewer than asked for.

    Args:
        plan: The arm.
        available: Images in the synthetic set.
        real: Real training images.
        seed: Repeat number; another repeat draws other images.

    Returns:
        Ascending rows of the synthetic set, int64.
    """
    if plan.kind == "control":
        return np.empty(0, np.int64)
    wanted = available if plan.ratio is None else min(available, round(plan.ratio * real))
    # A smaller ratio uses the first part of the same permutation: ratios differ in number, not in luck.
    return np.sort(numpy_rng("synthetic", seed, available).permutation(available)[:wanted])
