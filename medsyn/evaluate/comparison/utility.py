"""Choose arms on val, open the chosen ones on test, and score them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medsyn.config import EvaluateOptions
from medsyn.evaluate import results, statistics, verdict
from medsyn.evaluate.comparison import arms
from medsyn.evaluate.comparison.cells import Cell, Setting
from medsyn.evaluate.comparison.group import Group
from medsyn.evaluate.comparison.places import order_of_tests
from medsyn.evaluate.comparison.training import Engine, Job
from medsyn.evaluate.inputs.images import Images
from medsyn.evaluate.measures import scoring
from medsyn.evaluate.measures.decisions import choose_offsets, decide
from medsyn.evaluate.measures.ranking import auroc
from medsyn.progress import Progress


@dataclass(frozen=True)
class Opened:
    """What is known of an arm on test.

    Attributes:
        probabilities: ``[S, n, K]``, in the order of ``test``.
        decisions: With the thresholds of val ``[S, n]``.
        test: The images.
        folds: Fold of each, None without cross-validation.
        weights: Bootstrap weights ``[B, n]``.
        external: The same on the external test set.
    """

    probabilities: np.ndarray
    decisions: np.ndarray
    test: Images
    folds: np.ndarray | None
    weights: np.ndarray
    external: Opened | None = None


class Utility:
    """Runs the comparison.

    Args:
        options: Of the evaluation.
        engine: Trains.
        classes: Class names.
        progress: Listener.
        external: Name of the external test set.
    """

    def __init__(
        self, options: EvaluateOptions, engine: Engine, classes: list[str], progress: Progress, external: str = ""
    ) -> None:
        self.options, self.engine, self.classes, self.progress = options, engine, classes, progress
        self.external = external
        self.groups: list[Group] = []
        self.beside: list[Group] = []
        self._weights: dict[bytes, np.ndarray] = {}
        self._opened: dict[tuple[str, str, arms.Plan], Opened] = {}
        self._judged: dict[tuple[str, str, arms.Plan], verdict.Judged] = {}

    # ---- training

    def choose(self, setting: Setting, classifier: str) -> Group:
        """Train all arms of one setting and classifier, choose on val, and repeat what was chosen.

        Every arm is trained in the first ``screen`` repeats, which choose the synthetic arm, then the control (among
        them real images duplicated to the counts of that synthetic arm); the two then go through all repeats.
        """
        options, group = self.options, Group(setting, classifier, 0)
        repeats = len(group.repeats)
        group.screened = repeats if options.test_arms == "all" else min(options.screen, repeats)
        cell = self.engine.cells((setting.name, 0, 0))
        synthetic = self.synthetic(cell)
        controls = self.controls()
        first = range(group.screened)
        more = arms.MORE if self._has_scale(group) and len(cell.more) else ()
        total = (len(synthetic) + len(controls) + 1) * group.screened + 2 * (repeats - group.screened)
        with self.progress.task(f"{classifier}", (total + len(more) * repeats) * setting.folds) as task:
            done = 0

            def fit(jobs: list[Job]) -> None:
                nonlocal done
                self.engine.fit(jobs, lambda n, name: task.update(done + n, name))
                done += len(jobs)

            fit([job for plan in (*controls, *synthetic) for job in group.jobs(plan, first)])
            group.synthetic = self._best(group, synthetic)
            repeated = arms.duplicated(group.synthetic)
            fit(group.jobs(repeated, first))
            controls.append(repeated)
            group.control = self._best(group, controls)
            group.plans = [*controls, *synthetic]
            group.opened = list(group.plans) if options.test_arms == "all" else [group.control, group.synthetic]
            if more:
                scale = arms.more_real(group.control, cell)
                group.plans += scale
                group.opened += scale
            fit([job for plan in group.opened for job in group.jobs(plan, range(repeats))])
        self.groups.append(group)
        return group

    def add(self, setting: Setting, classifier: str, plan: arms.Plan) -> Group:
        """Train one arm in all repeats of a setting that stands beside the others: in no choice and in no table."""
        group = Group(setting, classifier, 0, [plan], synthetic=plan, opened=[plan])
        jobs = group.jobs(plan, group.repeats)
        with self.progress.task(setting.name, len(jobs)) as task:
            self.engine.fit(jobs, task.update)
        self.beside.append(group)
        return group

    def controls(self) -> list[arms.Plan]:
        """The real-only arms, besides the one that the chosen synthetic arm calls for."""
        return arms.controls(self.options.classical)

    def synthetic(self, cell: Cell) -> list[arms.Plan]:
        """The arms with synthetic images that the set is large enough for."""
        ratios = arms.usable(self.options.ratios, len(cell.synthetic), len(cell.real))
        alone = len(set(cell.synthetic.labels.tolist())) == len(self.classes)
        return arms.synthetic(ratios, self.options.classical, alone=alone)

    def _has_scale(self, group: Group) -> bool:
        return group.setting.decides and group.classifier == self.options.primary

    def _best(self, group: Group, plans: Sequence[arms.Plan]) -> arms.Plan:
        return plans[verdict.best([self.val_auroc(group, plan) for plan in plans])]

    def val_auroc(self, group: Group, plan: arms.Plan) -> np.ndarray:
        """Of the screened repeats ``[R]``: mean over folds."""
        return np.array(
            [
                np.mean(
                    [
                        auroc(self.engine.val(job), self.engine.cells(job.where).val.labels)[0]
                        for job in group.jobs(plan, [repeat])
                    ]
                )
                for repeat in range(group.screened)
            ]
        )

    # ---- scoring

    def opened(self, group: Group, plan: arms.Plan) -> Opened:
        """Read an arm's predictions on test."""
        key = (group.setting.name, group.classifier, plan)
        if key not in self._opened:
            self._opened[key] = self._open(group, plan)
        return self._opened[key]

    def _open(self, group: Group, plan: arms.Plan) -> Opened:
        repeats = group.repeats
        found: dict[str, list[np.ndarray]] = {"p": [], "d": [], "external p": [], "external d": []}
        for repeat in repeats:
            jobs = group.jobs(plan, [repeat])
            cells = [self.engine.cells(job.where) for job in jobs]
            images, folds, order = order_of_tests(cells)
            offsets = [
                choose_offsets(self.engine.val(job), cell.val.labels) for job, cell in zip(jobs, cells, strict=True)
            ]
            read = [self.engine.test(job) for job in jobs]
            for kind in ("test", "external") if self.engine.external is not None else ("test",):
                here = [p[kind] for p in read]
                decided = [decide(p, o) for p, o in zip(here, offsets, strict=True)]
                prefix = "" if kind == "test" else "external "
                place = order if kind == "test" else slice(None)
                found[f"{prefix}p"].append(np.concatenate(here)[place])
                found[f"{prefix}d"].append(np.concatenate(decided)[place])
        external = None
        if self.engine.external is not None:
            other = self.engine.external
            external = Opened(
                np.stack(found["external p"]), np.stack(found["external d"]), other, None, self._bootstrap(other)
            )
        several = folds if group.setting.folds > 1 else None
        return Opened(np.stack(found["p"]), np.stack(found["d"]), images, several, self._bootstrap(images), external)

    def _bootstrap(self, images: Images) -> np.ndarray:
        key = images.units.tobytes() + images.labels.tobytes()
        if key not in self._weights:
            self._weights[key] = statistics.bootstrap_weights(
                images.units, images.labels, self.options.bootstrap, self.options.seed
            )
        return self._weights[key]

    def score(self, opened: Opened, *, at_half: bool = False) -> scoring.Scores:
        """All measures on one test set, or those of decisions at the largest probability."""
        decisions = opened.probabilities.argmax(2) if at_half else opened.decisions
        return scoring.score(
            opened.probabilities,
            decisions,
            opened.test.labels,
            opened.test.units,
            opened.weights,
            groups=opened.folds,
            measures=results.DECISIONS if at_half else results.MEASURES,
            specificity=self.options.specificity,
            sensitivity=self.options.sensitivity,
            prevalence=self.options.prevalence,
        )

    def judged(self, group: Group, plan: arms.Plan) -> verdict.Judged:
        """An arm as the verdict takes it."""
        key = (group.setting.name, group.classifier, plan)
        if key in self._judged:
            return self._judged[key]
        first = self.engine.cells((group.setting.name, 0, 0))
        base: dict[str, Any] = {
            "setting": group.setting.name,
            "classifier": group.classifier,
            "name": plan.name,
            "kind": plan.kind,
            "ratio": plan.ratio,
            "val_auroc": self.val_auroc(group, plan) if plan.kind != "more real" else np.empty(0),
            "val_units": statistics.fewest_units(first.val.units, first.val.labels),
        }
        if plan not in group.opened:
            nothing = np.empty((0, len(self.classes)))
            made = verdict.Judged(
                **base, test=None, at_half=None, mean_probabilities=nothing, labels=nothing[:, 0], units=nothing[:, 0]
            )
        else:
            opened = self.opened(group, plan)
            made = verdict.Judged(
                **base,
                test=self.score(opened),
                at_half=self.score(opened, at_half=True),
                mean_probabilities=opened.probabilities.mean(0),
                labels=opened.test.labels,
                units=opened.test.units,
                groups=opened.folds,
            )
        self._judged[key] = made
        return made

    def test_scores(self, group: Group, plan: arms.Plan) -> scoring.Scores:
        """Scores on test of an opened arm."""
        found = self.judged(group, plan).test
        if found is None:
            raise ValueError(f"'{plan.name}' was not opened on test")
        return found

    def control_in_first_cell(self, group: Group) -> float:
        """AUROC of the chosen control on the test images of the first cell alone, mean over repeats."""
        labels = self.engine.cells((group.setting.name, 0, 0)).test.labels
        jobs = [group.jobs(group.pair[1], [repeat])[0] for repeat in group.repeats]
        return float(np.mean([auroc(self.engine.test(job)["test"], labels)[0] for job in jobs]))
