"""The arms of one setting with one classifier, and which of them were chosen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from medsyn.evaluate.comparison import arms
from medsyn.evaluate.comparison.cells import Setting
from medsyn.evaluate.comparison.training import Job


@dataclass
class Group:
    """The arms of one setting with one classifier.

    Attributes:
        setting: Composition of the data.
        classifier: Name.
        screened: Repeats by which arms are chosen.
        plans: All arms, in the order of the report.
        control: Chosen on val.
        synthetic: Chosen on val.
        opened: Arms whose test predictions are read.
    """

    setting: Setting
    classifier: str
    screened: int
    plans: list[arms.Plan] = field(default_factory=list)
    control: arms.Plan | None = None
    synthetic: arms.Plan | None = None
    opened: list[arms.Plan] = field(default_factory=list)

    @property
    def pair(self) -> tuple[arms.Plan, arms.Plan]:
        """The chosen synthetic arm and the chosen control."""
        if self.synthetic is None or self.control is None:
            raise ValueError("no arms have been chosen yet")
        return self.synthetic, self.control

    @property
    def repeats(self) -> range:
        return range(1 + max(d.repeat for d in self.setting.draws))

    def jobs(self, plan: arms.Plan, repeats: Iterable[int]) -> list[Job]:
        """Of an arm: all folds of some repeats."""
        return [
            Job(self.setting.name, self.classifier, plan, repeat, fold)
            for repeat in repeats
            for fold in range(self.setting.folds)
        ]
