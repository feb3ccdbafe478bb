"""Hears every step and every look of a training, and names what goes wrong."""

from __future__ import annotations

import math
from statistics import median
from typing import Any, NamedTuple

from medsyn.gan.health.samples import Glance
from medsyn.gan.monitor import Check
from medsyn.gan.plan import Plan
from medsyn.gan.trainer import StepLosses

# Why each threshold is where it is: docs/pages/decisions.md, with what honest trainings show.
VANISHED, WINDOW, HEARD = 0.01, 64, 16
"""Share of the median of the last `WINDOW` gradients that counts as none, once `HEARD` are known."""

WON = {"r3gan": 7.0, "non-saturating": 7.0}
"""Margin in logits; the Wasserstein loss has no such scale, see `Watch`."""

SMOOTHED = 500
"""Images in which an old margin loses half of its weight."""

PATIENCE = 2000
"""Images for which gradient or margin must be out of bounds; fewer in a short training."""

GRACE = 0.25
"""Share of the training after which samples must have become something."""

STILL, FALLEN = 0.005, 0.2
"""Spread and distances of samples, against real images and against the best that this training had."""

GLANCES = 3
COVERED, COVERAGE_KEPT, COVERAGE_LOOKS = 0.2, 0.5, 2
KNOWN, KNOWN_MARGIN, KNOWN_LOOKS = 0.8, 0.25, 3
"""Gap between train and tune in standard deviations, margin that makes it meaningful, looks without a better KID."""


class Problem(NamedTuple):
    """One thing that goes wrong."""

    name: str  # a key of `medsyn.gan.health.answers.DIAGNOSES`
    seen: str  # the numbers, for people


class Watch:
    """The memory of one training.

    Attributes:
        plan: In force.

    Args:
        plan: Of the training.
        critic_steps: Updates of the discriminator for one of the generator.
        pixels: Numbers of an image. A critic of slope one cannot set images in [0, 1] further apart than its root: a
            larger Wasserstein margin means that the penalty no longer holds it.
        classes: Their names.
    """

    def __init__(self, plan: Plan, critic_steps: int, pixels: int, classes: list[str]) -> None:
        self.plan = plan
        self._critic_steps, self._classes = critic_steps, classes
        self._won = WON.get(plan.objective, math.sqrt(pixels))
        self._steps, self._margin = 0, 0.0
        self._gradients: list[float] = []
        self._lasting: dict[str, int] = {}
        self._most: dict[str, float] = {}

    @property
    def _patience(self) -> int:
        """Images for which a sign must last."""
        return max(8 * self.plan.batch, min(PATIENCE, self.plan.images // 20))

    def _ready(self, images: int) -> bool:
        return images >= max(GRACE, self.plan.ramp) * self.plan.images

    @property
    def calm(self) -> bool:
        """Whether nothing is under suspicion."""
        return not self._lasting

    def step(self, losses: StepLosses) -> Problem | None:
        """Hear one step."""
        if not all(math.isfinite(value) for value in losses):
            return Problem("nan", "a loss or a gradient is not finite")
        self._steps += 1
        if self._steps % self._critic_steps == 0:
            usual = median(self._gradients) if len(self._gradients) >= HEARD else 0.0
            gone = losses.gradient < VANISHED * usual
            if not gone:
                self._gradients = [*self._gradients[1 - WINDOW :], losses.gradient]
            if self._persists("gradient", gone, self.plan.batch * self._critic_steps, self._patience):
                return Problem(
                    "vanishing_gradient", f"the generator's gradient fell from {usual:.2g} to {losses.gradient:.2g}"
                )
        self._margin += (1 - 0.5 ** (self.plan.batch / SMOOTHED)) * (losses.margin - self._margin)
        if self._persists("margin", self._margin > self._won, self.plan.batch, self._patience):
            return Problem(
                "discriminator_wins",
                f"it scores real images {self._margin:.1f} above generated ones, {self._won:.1f} is hopeless",
            )
        return None

    def glance(self, glance: Glance, images: int) -> Problem | None:
        """Hear of a handful of samples after so many images."""
        ready = self._ready(images)
        for name, spread, nearest in zip(self._classes, glance.spread, glance.nearest, strict=True):
            if self._shrunk(f"spread {name}", spread, ready):
                return Problem(
                    "collapse", f"class '{name}' ignores the seed: its samples spread {spread:.2f} times as its images"
                )
            if self._shrunk(f"nearest {name}", nearest, ready):
                return Problem(
                    "collapse",
                    f"samples of class '{name}' are nearly identical: the nearest two lie {nearest:.2f} times as far "
                    "apart as its images",
                )
        if self._persists("between", ready and glance.between < STILL, 1, GLANCES):
            return Problem(
                "collapse", f"samples do not depend on the class: {glance.between:.2f} times the distance of real ones"
            )
        return None

    def look(self, check: Check, gap: float, images: int) -> Problem | None:
        """Hear of a look at tune.

        Args:
            check: Of the averaged generator.
            gap: Of `Trainer.gap`.
            images: Shown so far.
        """
        best, nearest = self._most.get("coverage", 0.0), self._most.get("kid", -math.inf)
        self._most["coverage"], self._most["kid"] = max(best, check.coverage), max(nearest, -check.kid)
        fallen = best >= COVERED and check.coverage < COVERAGE_KEPT * best and self._ready(images)
        if self._persists("coverage", fallen, 1, COVERAGE_LOOKS):
            return Problem("collapse", f"coverage of tune fell from {best:.2f} to {check.coverage:.2f}")
        known = gap >= KNOWN and self._margin >= KNOWN_MARGIN and -check.kid <= nearest
        if self._persists("gap", known, 1, KNOWN_LOOKS):
            return Problem(
                "memorising",
                f"the discriminator scores its training images {gap:.2f} standard deviations above unseen ones, and "
                f"KID no longer falls ({check.kid:.2f}, at best {-nearest:.2f})",
            )
        return None

    def _shrunk(self, sign: str, value: float, ready: bool) -> bool:
        best = self._most[sign] = max(self._most.get(sign, 0.0), value)
        return self._persists(sign, ready and value < max(STILL, FALLEN * best), 1, GLANCES)

    def _persists(self, sign: str, shown: bool, amount: int, enough: int) -> bool:
        """Whether a sign has lasted for ``enough`` images, glances or looks without a break."""
        if not shown:
            self._lasting.pop(sign, None)
            return False
        self._lasting[sign] = self._lasting.get(sign, 0) + amount
        return self._lasting[sign] >= enough

    def state(self) -> dict[str, Any]:
        """All that it remembers, for JSON."""
        return {
            "steps": self._steps,
            "margin": self._margin,
            "gradients": list(self._gradients),
            "lasting": dict(self._lasting),
            "most": dict(self._most),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self._steps, self._margin = state["steps"], state["margin"]
        self._gradients = list(state["gradients"])
        self._lasting, self._most = dict(state["lasting"]), dict(state["most"])
