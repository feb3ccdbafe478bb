"""What an evaluation tells MLflow."""

from __future__ import annotations

from medsyn import tracking
from medsyn.evaluate.results import Report


def track(tracked: tracking.Run, report: Report) -> None:
    """Send the figures of a report: a nested run an arm and repeat, the rest with the run itself."""
    for arm in report.arms:
        tables = {"val": {"auroc": arm.val} if arm.val else {}, "test": arm.test or {}, "external": arm.external or {}}
        repeats = max((len(e.per_seed) for table in tables.values() for e in table.values()), default=0)
        for repeat in range(repeats):
            name = f"{arm.setting}, {arm.classifier}: {arm.name}, repeat {repeat + 1}"
            tags = {
                "medsyn.setting": arm.setting,
                "medsyn.arm": arm.name,
                "medsyn.classifier": arm.classifier,
                "medsyn.repeat": repeat,
            }
            values = {
                f"{split}_{measure}": e.per_seed[repeat]
                for split, table in tables.items()
                for measure, e in table.items()
                if repeat < len(e.per_seed)
            }
            with tracked.child(name, tags) as child:
                child.metrics([values])
    effect = report.verdict.effect
    tracked.metrics(
        [
            {
                "effect": effect.value,
                "effect_low": effect.low or 0.0,
                "effect_high": effect.high or 0.0,
                "copying_share": report.copying.share.value,
                "copies": report.copying.copies,
                **{f"kid_{_key(r.name)}": r.kid.value for r in report.fidelity.rows if r.scope == "all"},
                **{f"coverage_{_key(r.name)}": r.coverage for r in report.fidelity.rows if r.scope == "all"},
                **({"selection_effect": report.selection.effect.value} if report.selection.effect else {}),
            }
        ]
    )
    tracked.tags({"medsyn.verdict": report.verdict.decision, "medsyn.sentence": report.verdict.sentence})


def _key(name: str) -> str:
    return name.split(" ")[0].lower()
