"""What the comparison found, as the tables of the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from medsyn.evaluate import results, verdict
from medsyn.evaluate.comparison import arms
from medsyn.evaluate.comparison.cells import Cell, Setting
from medsyn.evaluate.comparison.group import Group
from medsyn.evaluate.comparison.training import Job
from medsyn.evaluate.comparison.utility import Utility
from medsyn.evaluate.inputs.images import Images
from medsyn.evaluate.measures import scoring


def arm(comparison: Utility, group: Group, plan: arms.Plan) -> results.Arm:
    """One row of the report."""
    judged = comparison.judged(group, plan)
    real, both = comparison.engine.counts(group.jobs(plan, [0])[0])
    found: dict[str, Any] = {}
    if judged.test is not None and judged.at_half is not None:
        opened = comparison.opened(group, plan)
        found = {
            "test": judged.test.estimates(),
            "test_at_half": judged.at_half.estimates(),
            "per_class": {
                name: s.estimates()
                for name, s in zip(
                    comparison.classes,
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
            "external": comparison.score(opened.external).estimates() if opened.external else None,
        }
    screened = [float(v) for v in judged.val_auroc]
    return results.Arm(
        setting=group.setting.name,
        classifier=group.classifier,
        name=plan.name,
        kind=plan.kind,
        ratio=plan.ratio,
        chosen=plan in (group.control, group.synthetic),
        training_images=_named(comparison.classes, both),
        real_images=_named(comparison.classes, real),
        val=results.Estimate(value=float(np.mean(screened)), per_seed=screened) if screened else None,
        **found,
    )


def _named(classes: Sequence[str], counts: np.ndarray) -> dict[str, int]:
    return {name: int(n) for name, n in zip(classes, counts, strict=True)}


def contrasts(comparison: Utility, deciding: Group) -> list[results.Contrast]:
    """All paired differences, the primary one first, Holm's p values over all others."""
    judged = [comparison.judged(g, plan) for g in comparison.groups for plan in g.plans if plan.kind != "more real"]
    elsewhere = [contrast for group in comparison.groups for contrast in _elsewhere(comparison, group)]
    return verdict.contrasts(judged, deciding.setting.name, deciding.classifier, comparison.options.measure, elsewhere)


def _elsewhere(comparison: Utility, group: Group) -> list[results.Contrast]:
    """The chosen arms on the external test set."""
    arm, control = group.pair
    ours, theirs = (
        comparison.score(o) if (o := comparison.opened(group, plan).external) else None for plan in group.pair
    )
    if ours is None or theirs is None:
        return []
    return [
        results.Contrast(
            setting=group.setting.name,
            classifier=group.classifier,
            arm=arm.name,
            control=control.name,
            measure=measure,
            test_set=comparison.external,
            effect=ours.minus(theirs, measure),
            primary=False,
        )
        for measure in ours.per_seed
        if all(np.isfinite(s.per_seed[measure]).all() for s in (ours, theirs))
    ]


def curve(comparison: Utility) -> list[results.CurvePoint]:
    """The learning curve, where there are several settings."""
    mine = [g for g in comparison.groups if g.classifier == comparison.options.primary]
    if len(mine) < 2:
        return []
    points = []
    for group in mine:
        synthetic, control = (comparison.test_scores(group, plan) for plan in group.pair)
        cell = comparison.engine.cells((group.setting.name, 0, 0))
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


def predictions(comparison: Utility) -> pd.DataFrame:
    """Every prediction that was read: val of all arms, test of the opened ones."""
    tables = []
    for group in (*comparison.groups, *comparison.beside):
        for plan in group.plans:
            for job in group.jobs(plan, group.repeats):
                if plan not in group.opened and job.repeat >= group.screened:
                    continue
                cell = comparison.engine.cells(job.where)
                tables.append(_table(comparison, job, "val", cell.val, comparison.engine.val(job)))
                if plan in group.opened:
                    read = comparison.engine.test(job)
                    tables.append(_table(comparison, job, "test", cell.test, read["test"]))
                    if comparison.engine.external is not None:
                        tables.append(_table(comparison, job, "external", comparison.engine.external, read["external"]))
    return pd.concat(tables, ignore_index=True)


def _table(comparison: Utility, job: Job, split: str, images: Images, p: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "setting": job.setting,
            "classifier": job.classifier,
            "arm": job.plan.name,
            "repeat": job.repeat,
            "fold": job.fold,
            "seed": comparison.engine.seed(job),
            "split": split,
            "image": images.rows,
            "label": np.array(comparison.classes)[images.labels],
            **{f"probability_{c}": p[:, i] for i, c in enumerate(comparison.classes)},
        }
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
