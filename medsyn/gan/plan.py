"""The plan of one training: derived once from the data and the machine's measured speed, then frozen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from medsyn.config import parse_budget
from medsyn.errors import UsageError

EXPLAINED = 0.87
"""Share of the variance that a first stage's components say: of 0.80, 0.87, 0.91 and 0.94 this led soonest to good
films; more leave its prior more to get wrong, less leave the network more to learn (docs/pages/decisions.md)."""

IMAGES_PER_COEFFICIENT, MOST_COEFFICIENTS = 15, 256
"""Of the training, at least; components of a first stage at most."""

PRIOR_STEPS = 8000
"""Of training a first stage's prior at most; it stops by itself where more would be learnt by heart."""

PRIOR_STEPS_PER_SECOND, PRIOR_STEPS_PER_KIMG = 12, 100
"""Of the budget: about a tenth of it."""

IMAGES_OF_A_FLOW = 500
"""Of the training: a flow that learns from fewer draws them too closely, and a mixture takes its place
(docs/pages/decisions.md)."""

FEW_IMAGES = 1000
"""Of the training: with fewer, a network learns what is between them from changed ones (docs/pages/decisions.md)."""

WARM_UP = 0.02
"""Share of the training in which the learning rate rises to its height: 2e-3 without it never recovers from its first
steps."""

KNOBS: dict[str, tuple[float, float]] = {
    "learning_rate": (1e-7, 0.1),
    "gamma": (0, 1e6),
    "penalty_every": (1, 1000),
    "free": (0, 1),
    "varied": (0, 1),
    "ramp": (0, 1),
    "final": (0, 1),
    "ema_kimg": (1e-3, 1e6),
    "explained": (1e-3, 1),
    "coefficients": (1, 4096),
    "prior_steps": (0, 1e6),
    "width": (0.1, 16),
    "strength": (0, 1),
    "monitor_images": (32, 1e5),
}
"""Numbers of the plan that a user may set, from the least to the most that is taken."""

MIN_STEPS = 30
MAX_CHECKS = 20


@dataclass(frozen=True)
class Plan:
    """Everything that a training follows. Progress is counted in images, so that a batch size changes no schedule."""

    recipe: str
    budget: str  # as asked for
    seed: int
    batch: int  # images in one step, of all processes together
    steps: int
    checks: int  # looks at tune, evenly spread
    first_stage: str
    explained: float  # share of the variance that the first stage's components say
    coefficients: int  # of them at most
    prior_steps: int  # of training its prior at most
    network: dict[str, Any]  # kind and sizes
    discriminator: dict[str, Any]  # sizes
    width: float  # factor of the channels of both that is already in them
    objective: str
    learning_rate: float  # at its height; annealed by a cosine to `final` times itself
    gamma: float  # weight of the objective's penalty
    penalty_every: int  # steps
    free: float  # share of coarse images that are drawn, not those of the paired real ones
    varied: float  # how much real images are changed, coarse part and all: factor of the deviations of `changes`
    ramp: float  # share of the training during which the condition fades in
    final: float
    ema_kimg: float  # half-life of the averaged weights, at most a tenth of the images shown so far
    diffaugment: tuple[str, ...]
    strength: float  # probability of DiffAugment at the start
    adapt: bool  # whether it follows the gap between train and tune
    precision: str  # float32 or bfloat16
    monitor_images: int  # samples of a look at tune
    init_from: str | None  # digest of the checkpoint whose weights it began with
    device: str
    threads: int

    @property
    def images(self) -> int:
        """Images shown to the discriminator in the whole training."""
        return self.steps * self.batch

    @property
    def kimg(self) -> float:
        return self.images / 1000

    def anneal(self, images: int) -> float:
        """Factor of the learning rate after so many images, but for `warmed`: a cosine to `final`."""
        progress = min(images / self.images, 1.0)
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * progress))

    def warmed(self, images: int) -> float:
        """How far the learning rate has risen after so many images, from nearly 0 to 1."""
        return min(1.0, (images + self.batch) / (WARM_UP * self.images + self.batch))

    def conditioned(self, images: int) -> float:
        """How much of the condition is shown after so many images, from 0 to 1."""
        return 1.0 if not self.ramp else min(1.0, images / (self.ramp * self.images))

    def ema_decay(self, images: int, shown: int) -> float:
        """Weight of the old average (half-life with ramp: Karras et al. 2020, StyleGAN2).

        Args:
            images: Shown so far.
            shown: Since the last update.
        """
        half_life = min(self.ema_kimg * 1000, 0.1 * max(images, 1))
        return 0.5 ** (shown / half_life)

    def check_steps(self) -> frozenset[int]:
        """Steps after which `tune` is looked at; the last is among them."""
        return frozenset(math.ceil(self.steps * i / self.checks) for i in range(1, self.checks + 1))

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"diffaugment": list(self.diffaugment), "kimg": self.kimg}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Plan:
        fields = {k: v for k, v in values.items() if k != "kimg"}
        return cls(**fields | {"diffaugment": tuple(fields["diffaugment"])})

    def turned(self, knobs: Mapping[str, object]) -> Plan:
        """The plan with some of its parts replaced.

        Args:
            knobs: Name in `KNOBS` -> value, or its text.

        Raises:
            UsageError: No such knob, or no value for it.
        """
        changes: dict[str, Any] = {}
        for name, value in knobs.items():
            if name not in KNOBS:
                raise UsageError(f"unknown knob '{name}'", where="--set", mend=f"There are: {', '.join(KNOBS)}.")
            whole, (least, most) = isinstance(getattr(self, name), int), KNOBS[name]
            try:
                number = float(str(value))
            except ValueError:
                number = math.nan
            if not least <= number <= most or (whole and number % 1):
                kind = "a whole number" if whole else "a number"
                raise UsageError(
                    f"{name}={value} is out of range", where="--set", mend=f"Give {kind} from {least:g} to {most:g}."
                )
            changes[name] = int(number) if whole else number
        return replace(self, **changes)

    def widened(self) -> Plan:
        """The plan with `width` times the channels in both networks, in steps of 8."""

        def wide(sizes: dict[str, Any]) -> dict[str, Any]:
            if "levels" in sizes:
                return sizes | {"levels": [wide(level) for level in sizes["levels"]]}
            return sizes | {"channels": [max(8, 8 * round(self.width * c / 8)) for c in sizes["channels"]]}

        if self.width == 1:
            return self
        return replace(self, network=wide(self.network), discriminator=wide(self.discriminator))

    def sentence(self) -> str:
        """The plan in one line, for people."""
        augmented = "+".join(self.diffaugment) if self.diffaugment else "none"
        return (
            f"plan: {self.recipe}, {self.kimg:g} kimg in {self.steps} steps of {self.batch}, "
            f"learning rate {self.learning_rate:g}, gamma {self.gamma:g}, DiffAugment {augmented}"
            f"{' (adapted)' if self.diffaugment and self.adapt else ''}, "
            f"{f'images varied ({self.varied:g}), ' if self.varied else ''}looks at tune: {self.checks}, "
            f"{self.device} with {self.threads} threads, {self.precision}"
        )


def most_coefficients(images: int) -> int:
    """Components of a first stage at most, for so many training images."""
    return max(8, min(MOST_COEFFICIENTS, images // IMAGES_PER_COEFFICIENT))


def prior_steps(budget: str, images: int) -> int:
    """Steps for a first stage's prior at most, in a training of this ``budget``, as of `parse_budget`."""
    if images < IMAGES_OF_A_FLOW:
        return 0
    unit, amount = parse_budget(budget)
    return min(PRIOR_STEPS, int(amount * (PRIOR_STEPS_PER_KIMG if unit == "kimg" else PRIOR_STEPS_PER_SECOND)))


def steps_and_checks(
    budget: str, batch: int, spent: float, step_seconds: float, check_seconds: float
) -> tuple[int, int]:
    """How many steps and looks at tune fit.

    Args:
        budget: As in `parse_budget`.
        batch: Images in one step.
        spent: Seconds gone since the command started.
        step_seconds: Measured.
        check_seconds: Measured.

    Returns:
        Steps and checks. A time budget gives about a tenth of what is left to the checks, and keeps one check's time
        for the last snapshot, the grid and the commit.
    """
    unit, amount = parse_budget(budget)
    if unit == "kimg":
        steps = max(1, math.ceil(amount * 1000 / batch))
        return steps, max(1, min(MAX_CHECKS, round(amount / 5), steps))
    left = max(amount - spent - check_seconds, 0.0)
    checks = max(1, min(MAX_CHECKS, int(0.1 * left / max(check_seconds, 1e-3))))
    steps = max(MIN_STEPS, int((left - checks * check_seconds) / max(step_seconds, 1e-6)))
    return steps, min(checks, steps)
