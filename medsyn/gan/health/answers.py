"""What is done about a problem: back to the last healthy state, with one knob changed."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from medsyn.gan.diffaugment import MOST
from medsyn.gan.plan import Plan
from medsyn.gan.recipes import RECIPES

TRIES = 3
"""Rollbacks of one training. A fault that outlives three changed knobs lies in the data or the recipe."""

MORE_AUGMENTED = 0.3
"""Added to the share of images that DiffAugment changes."""

DIAGNOSES = {
    "nan": "The training diverges whatever the learning rate: look for damaged images with 'medsyn inspect'.",
    "collapse": "The generator keeps losing variety: it needs more images of the class, or another --recipe.",
    "vanishing_gradient": "The discriminator tells the generator nothing any more: try another --recipe or --batch.",
    "discriminator_wins": "The generator cannot follow the discriminator: try another --recipe or a larger --batch.",
    "memorising": "The discriminator knows the few training images by heart: more images, or --diffaugment preset.",
}
"""What is said when the tries are used up."""


class Changed(NamedTuple):
    """A plan with one knob changed."""

    plan: Plan
    strength: float  # of DiffAugment from here on
    told: str  # which knob, for people


def answered(problem: str, plan: Plan, strength: float, policy: tuple[str, ...]) -> Changed:
    """Change the knob that goes with a problem.

    Args:
        problem: A key of `DIAGNOSES`.
        plan: In force.
        strength: Of DiffAugment, in force.
        policy: DiffAugment of the modality's preset; anatomy may allow none.
    """
    if problem in ("nan", "vanishing_gradient"):
        slower = dataclasses.replace(plan, learning_rate=plan.learning_rate / 2)
        told = f"learning rate {slower.learning_rate:g} instead of {plan.learning_rate:g}"
        if problem == "nan" and plan.precision != "float32":
            return Changed(dataclasses.replace(slower, precision="float32"), strength, told + ", in float32")
        return Changed(slower, strength, told)
    augmented = min(MOST, MORE_AUGMENTED + (strength if plan.diffaugment else 0.0))
    if problem == "memorising" and policy and (not plan.diffaugment or augmented > strength):
        told = f"DiffAugment on {100 * augmented:.0f} % of the images"
        return Changed(dataclasses.replace(plan, diffaugment=plan.diffaugment or policy), augmented, told)
    # A smoother discriminator neither wins nor memorises, and the generator keeps its modes (Mescheder et al. 2018).
    smoother = dataclasses.replace(plan, gamma=max(2 * plan.gamma, RECIPES[plan.recipe].gamma))
    return Changed(smoother, strength, f"gamma {smoother.gamma:g} instead of {plan.gamma:g}")
