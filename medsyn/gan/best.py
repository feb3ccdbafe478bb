"""The best generator so far, by the looks at `tune`: what a training leaves behind."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

from medsyn.gan.monitor import Check, Monitor
from medsyn.generator import Generator
from medsyn.generator.tensors import below


@dataclass
class Best:
    """What is kept.

    Attributes:
        generator: The best on tune, or the last where tune is too small.
        monitor: Compares with tune; None where tune is too small, and in all processes but rank 0.
        check: How it compares; None where nothing was compared.
        start: How the training began, which later looks are measured by.
        images: Shown to the training when it was taken.
        closed_form: Whether it needs no training, since no snapshot has taken its place so far.
    """

    generator: Generator
    monitor: Monitor | None
    check: Check | None = None
    start: Check | None = None
    images: int = 0
    closed_form: bool = False

    def begin_from(self, forms: Iterable[Generator]) -> None:
        """Keep the best of what needs no training: a training that does not get beyond it must not be what is kept."""
        if self.monitor is not None:
            every = list(forms)
            checks = [self.monitor.check(form) for form in every]
            nearest = min(range(len(every)), key=lambda i: checks[i].kid)
            self.generator, self.closed_form = every[nearest], True
            self.start = self.check = checks[nearest]

    def compare(self, generator: Generator, images: int, *, learnt: bool) -> Check | None:
        """Compare a snapshot with tune, and keep it if it is the best so far, or if there is no tune.

        Args:
            generator: The snapshot.
            images: Shown to the training so far.
            learnt: Whether its network is more than one drawn at random.
        """
        if self.monitor is None:
            self.generator, self.images = generator, images
            return None
        check = self.monitor.check(generator)
        self.start = self.start or check
        if self.is_better(generator, check, self.monitor, learnt=learnt):
            self.generator, self.check, self.images, self.closed_form = generator, check, images, False
        return check

    def is_better(self, generator: Generator, check: Check, monitor: Monitor, *, learnt: bool) -> bool:
        """Whether it is to be kept instead of the best so far.

        A network that has learnt yields to the closed form only where that has the better KID by more than a standard
        error: with few images in tune it would be a matter of chance, and most trainings get beyond the closed form.
        """
        if self.check is None or self.start is None:
            return True
        doubt = monitor.doubt(generator, self.generator) if self.closed_form and learnt else 0.0
        return check.score(self.start) < self.check.score(self.start, doubt)

    def per_class(self) -> dict[str, dict[str, float]]:
        """Checks of the kept snapshot class by class, where tune holds enough images of it."""
        found = self.monitor.per_class(self.generator) if self.monitor else {}
        return {name: check.to_json() for name, check in found.items()}

    def facts(self) -> dict[str, Any]:
        """All but its tensors, for JSON."""
        return {
            "best": self.generator.config,
            "best_images": self.images,
            "best_check": self.check.to_json() if self.check else None,
            "start_check": self.start.to_json() if self.start else None,
            "closed_form": self.closed_form,
        }

    def load_state(self, tensors: dict[str, torch.Tensor], facts: dict[str, Any], device: torch.device) -> None:
        """Continue from the tensors of the generator (under ``best.``) and what `facts` said."""
        self.generator = Generator(facts["best"], device)
        self.generator.load_state(below(tensors, "best"))
        self.images, self.closed_form = facts["best_images"], facts["closed_form"]
        self.check = Check(**facts["best_check"]) if facts["best_check"] else None
        self.start = Check(**facts["start_check"]) if facts["start_check"] else None
