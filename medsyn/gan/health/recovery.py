"""The last healthy state of a training, and the way back to it."""

from __future__ import annotations

from typing import Any

import torch

from medsyn.gan.health.answers import DIAGNOSES, TRIES, answered
from medsyn.gan.health.watch import Problem, Watch
from medsyn.gan.trainer import Trainer


class Recovery:
    """Answers problems: back with a changed knob at most `TRIES` times, then the end with a diagnosis.

    Attributes:
        events: What happened, for config.json: ``problem``, ``seen``, ``at_kimg``, ``answer`` (the knob, or None where
            the training was stopped), ``back_to_kimg`` and the ``sentence`` that says all of it.

    Args:
        trainer: Goes back.
        watch: Goes back with it.
        policy: DiffAugment of the modality's preset.
    """

    def __init__(self, trainer: Trainer, watch: Watch, policy: tuple[str, ...]) -> None:
        self._trainer, self._watch, self._policy = trainer, watch, policy
        self._tensors: dict[str, torch.Tensor] = {}
        self._facts: dict[str, Any] = {}
        self.events: list[dict[str, Any]] = []

    def keep(self) -> None:
        """Call the present state healthy, unless something is under suspicion."""
        if self._watch.calm:
            self._tensors = self._trainer.state()
            self._facts = {"trainer": self._trainer.facts(), "watch": self._watch.state()}

    def answer(self, problem: Problem) -> bool:
        """Go back and change a knob; False where that has been done often enough.

        The training then shows the images since the healthy state again, with the same randomness: only the knob
        differs.
        """
        trainer, at = self._trainer, self._trainer.images / 1000
        event = {"problem": problem.name, "seen": problem.seen, "at_kimg": at, "answer": None, "back_to_kimg": None}
        said = f"{problem.name.replace('_', ' ')} at {at:g} kimg: {problem.seen}"
        goes_on = len(self.events) < TRIES
        if goes_on:
            trainer.load_state(self._tensors, self._facts["trainer"])
            # What the training was once able to do stays its measure.
            self._watch.load_state(self._facts["watch"] | {"most": self._watch.state()["most"]})
            changed = answered(problem.name, trainer.plan, trainer.strength, self._policy)
            trainer.plan = self._watch.plan = changed.plan
            trainer.strength = changed.strength
            event |= {"answer": changed.told, "back_to_kimg": trainer.images / 1000}
            # A second problem must not undo the answer to the first: it goes back to the state as it now is.
            self._facts["trainer"] = trainer.facts()
            said += f"; back to {trainer.images / 1000:g} kimg with {changed.told}"
        else:
            said += f"; stopped after {TRIES} changed knobs. {DIAGNOSES[problem.name]}"
        self.events.append(event | {"sentence": said})
        return goes_on

    def forget(self) -> None:
        """The training is over: nothing to go back to."""
        self._tensors, self._facts = {}, {}

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """What a resumed training needs: tensors, and facts for JSON."""
        return self._tensors, {"healthy": self._facts, "events": self.events}

    def load_state(self, tensors: dict[str, torch.Tensor], facts: dict[str, Any]) -> None:
        """Continue from `state`."""
        self._tensors, self._facts, self.events = tensors, facts["healthy"], facts["events"]
