"""Choose arms on val, open the chosen ones on test, and score them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy.optimize import isotonic_regression

from medsyn.config import EvaluateOptions
from medsyn.evaluate import results, statistics, verdict
from medsyn.evaluate.comparison import arms
from medsyn.evaluate.comparison.cells import Cell, Setting
from medsyn.evaluate.comparison.places import order_of_tests
from medsyn.evaluate.comparison.training import Engine, Job
from medsyn.evaluate.inputs.images import Images
from medsyn.evaluate.measures import scores, scoring
from medsyn.progress import Progress


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
        return plans[verdict.best([self._val_auroc(group, plan) for plan in plans])]

    def _val_auroc(self, group: Group, plan: arms.Plan) -> np.ndarray:
        """Of the screened repeats ``[R]``: mean over folds."""
        return np.array(
            [
                np.mean(
                    [
                        scores.auroc(self.engine.val(job), self.engine.cells(job.where).val.labels)[0]
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
                scores.choose_offsets(self.engine.val(job), cell.val.labels)
                for job, cell in zip(jobs, cells, strict=True)
            ]
            read = [self.engine.test(job) for job in jobs]
            for kind in ("test", "external") if self.engine.external is not None else ("test",):
                here = [p[kind] for p in read]
                decided = [scores.decide(p, o) for p, o in zip(here, offsets, strict=True)]
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
        base = {
            "setting": group.setting.name,
            "classifier": group.classifier,
            "name": plan.name,
            "kind": plan.kind,
            "ratio": plan.ratio,
            "val_auroc": self._val_auroc(group, plan) if plan.kind != "more real" else np.empty(0),
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
        return float(np.mean([scores.auroc(self.engine.test(job)["test"], labels)[0] for job in jobs]))

    # ---- tables of the report

    def arm(self, group: Group, plan: arms.Plan) -> results.Arm:
        """One row of the report."""
        judged = self.judged(group, plan)
        real, both = self.engine.counts(group.jobs(plan, [0])[0])
        found: dict[str, object] = {}
        if judged.test is not None and judged.at_half is not None:
            opened = self.opened(group, plan)
            found = {
                "test": judged.test.estimates(),
                "test_at_half": judged.at_half.estimates(),
                "per_class": {
                    name: s.estimates()
                    for name, s in zip(
                        self.classes,
                        scoring.per_class(
                            opened.probabilities,
                            opened.decisions,
                            opened.test.labels,
                            opened.test.units,
                            opened.weights,
                            groups=opened.folds,
                        ),
                        strict=True,
                    )
                },
                "calibration": scoring.calibration(opened.probabilities, opened.test.labels),
                "external": self.score(opened.external).estimates() if opened.external else None,
            }
        screened = [float(v) for v in judged.val_auroc]
        return results.Arm(
            setting=group.setting.name,
            classifier=group.classifier,
            name=plan.name,
            kind=plan.kind,
            ratio=plan.ratio,
            chosen=plan in (group.control, group.synthetic),
            training_images=self._named(both),
            real_images=self._named(real),
            val=results.Estimate(value=float(np.mean(screened)), per_seed=screened) if screened else None,
            **found,
        )

    def _named(self, counts: np.ndarray) -> dict[str, int]:
        return {name: int(n) for name, n in zip(self.classes, counts, strict=True)}

    def contrasts(self, deciding: Group) -> list[results.Contrast]:
        """All paired differences, the primary one first, Holm's p values over all others."""
        judged = [self.judged(g, plan) for g in self.groups for plan in g.plans if plan.kind != "more real"]
        elsewhere = [contrast for group in self.groups for contrast in self._elsewhere(group)]
        return verdict.contrasts(judged, deciding.setting.name, deciding.classifier, self.options.measure, elsewhere)

    def _elsewhere(self, group: Group) -> list[results.Contrast]:
        """The chosen arms on the external test set."""
        arm, control = group.pair
        ours, theirs = (self.score(o) if (o := self.opened(group, plan).external) else None for plan in group.pair)
        if ours is None or theirs is None:
            return []
        return [
            results.Contrast(
                setting=group.setting.name,
                classifier=group.classifier,
                arm=arm.name,
                control=control.name,
                measure=measure,
                test_set=self.external,
                effect=ours.minus(theirs, measure),
                primary=False,
            )
            for measure in ours.per_seed
            if all(np.isfinite(s.per_seed[measure]).all() for s in (ours, theirs))
        ]

    def curve(self) -> list[results.CurvePoint]:
        """The learning curve, where there are several settings."""
        mine = [g for g in self.groups if g.classifier == self.options.primary]
        if len(mine) < 2:
            return []
        points = []
        for group in mine:
            synthetic, control = (self.test_scores(group, plan) for plan in group.pair)
            cell = self.engine.cells((group.setting.name, 0, 0))
            points.append(
                results.CurvePoint(
                    setting=group.setting.name,
                    subjects=len(np.unique(cell.real.units)),
                    control=control.estimates()["auroc"],
                    synthetic=synthetic.estimates()["auroc"],
                    effect=synthetic.minus(control, "auroc"),
                )
            )
        return points

    def worth(self, group: Group) -> results.Worth | None:
        """How many more real patients did as much on test as the synthetic cases; None without a scale."""
        scale = [plan for plan in group.plans if plan.kind == "more real"]
        if not scale:
            return None
        arm, control = group.pair
        reached, *values = (
            float(self.test_scores(group, plan).per_seed["auroc"].mean()) for plan in (arm, control, *scale)
        )
        return worth([0, *(plan.more for plan in scale)], values, reached)

    def predictions(self) -> pd.DataFrame:
        """Every prediction that was read: val of all arms, test of the opened ones."""
        tables = []
        for group in (*self.groups, *self.beside):
            for plan in group.plans:
                for job in group.jobs(plan, group.repeats):
                    if plan not in group.opened and job.repeat >= group.screened:
                        continue
                    cell = self.engine.cells(job.where)
                    tables.append(self._table(job, "val", cell.val, self.engine.val(job)))
                    if plan in group.opened:
                        read = self.engine.test(job)
                        tables.append(self._table(job, "test", cell.test, read["test"]))
                        if self.engine.external is not None:
                            tables.append(self._table(job, "external", self.engine.external, read["external"]))
        return pd.concat(tables, ignore_index=True)

    def _table(self, job: Job, split: str, images: Images, p: np.ndarray) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "setting": job.setting,
                "classifier": job.classifier,
                "arm": job.plan.name,
                "repeat": job.repeat,
                "fold": job.fold,
                "seed": self.engine.seed(job),
                "split": split,
                "image": images.rows,
                "label": np.array(self.classes)[images.labels],
                **{f"probability_{c}": p[:, i] for i, c in enumerate(self.classes)},
            }
        )


def worth(numbers: Sequence[int], values: Sequence[float], reached: float) -> results.Worth:
    """Read off the scale of more real patients what the synthetic cases did.

    Args:
        numbers: Patients added, ascending, the first 0.
        values: AUROC on test with them, as measured.
        reached: AUROC of the synthetic arm.
    """
    told = ", ".join(f"{value:.3f} with {n} more" for n, value in zip(numbers[1:], values[1:], strict=True))
    scale = (
        f"AUROC on test was {values[0]:.3f} without, {told}, and {reached:.3f} with the synthetic cases (means over "
        "the repeats, read off without an interval)"
    )
    # More patients cannot make matters worse but by chance.
    rising = isotonic_regression(values).x
    if rising[-1] <= rising[0]:
        return results.Worth(patients=None, sentence=f"No gain from more real patients was seen either: {scale}.")
    if reached <= rising[0]:
        return results.Worth(patients=0, sentence=f"The synthetic cases were worth no additional patient: {scale}.")
    if reached > rising[-1]:
        return results.Worth(
            patients=None, sentence=f"The synthetic cases were worth more than {numbers[-1]} more patients: {scale}."
        )
    upper = next(i for i, value in enumerate(rising) if value >= reached)
    low, high = rising[upper - 1], rising[upper]
    share = (reached - low) / (high - low)
    patients = float(numbers[upper - 1] + share * (numbers[upper] - numbers[upper - 1]))
    return results.Worth(
        patients=patients,
        sentence=f"The synthetic cases were worth about {patients:.0f} more real patients: {scale}.",
    )


def facts(setting: Setting, cells: Callable[[tuple[str, int, int]], Cell], classes: list[str]) -> results.Setting:
    """Who is where, as the report tells it: mean over draws, rounded."""
    found = [cells((setting.name, d.repeat, d.fold)) for d in setting.draws]

    def subjects(images: Sequence[Images]) -> dict[str, int]:
        return {
            name: round(float(np.mean([len(np.unique(i.units[i.labels == c])) for i in images])))
            for c, name in enumerate(classes)
        }

    return results.Setting(
        name=setting.name,
        description=setting.description,
        train_subjects=subjects([cell.real for cell in found]),
        val_subjects=subjects([cell.val for cell in found]),
        test_subjects=subjects([cell.test for cell in found]),
        regenerated=setting.regenerated,
        repeats=1 + max(d.repeat for d in setting.draws),
    )
