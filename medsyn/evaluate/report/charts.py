"""From the results to the charts that show them."""

from __future__ import annotations

from collections.abc import Sequence

from medsyn.evaluate.report.figures import Chart, Group, Line, Lines, Mark, Point, Row
from medsyn.evaluate.report.numbers import classifier_name, measure_name
from medsyn.evaluate.results import Arm, Estimate, FidelityRow, Report
from medsyn.page.numbers import count, number

_KIND = {"control": "control", "synthetic": "synthetic", "more real": "more-real"}
_FIDELITY = {"synthetic": "synthetic", "unfiltered": "synthetic", "floor": "floor", "reference": "reference"}
FIDELITY_PLOTS = {"kid": ("KID ↓", 4), "coverage": ("Coverage ↑", 3), "c2st": ("Told apart from real, AUROC ↓", 3)}


def effect(report: Report) -> Chart:
    """The figure that shows the verdict: differences from the chosen control, the margin shaded."""
    verdict = report.verdict
    shown = [c for c in report.contrasts if c.measure == verdict.measure]
    if not any(c.primary for c in shown):
        primary = Row(verdict.arm, [Mark("Difference", "primary", verdict.effect)], "decides the verdict", "primary")
        groups = {(verdict.setting, verdict.classifier, "test"): [primary]}
    else:
        groups = {}
    for c in sorted(shown, key=lambda c: not c.primary):
        row = Row(
            c.arm,
            [Mark("Difference", "primary" if c.primary else "synthetic", c.effect)],
            "decides the verdict" if c.primary else "",
            "primary" if c.primary else "",
        )
        groups.setdefault((c.setting, c.classifier, c.test_set), []).append(row)
    several = [len({key[part] for key in groups}) > 1 for part in range(2)]
    titles = [
        [setting] * several[0] + [classifier_name(name)] * several[1] + [f"on {place}"] * (place != "test")
        for setting, name, place in groups
    ]
    return Chart(
        id="effect",
        title=f"Difference in {measure_name(verdict.measure)} against the best control without synthetic images",
        axis=f"difference in {measure_name(verdict.measure)}",
        groups=[Group(" · ".join(t), rows) for t, rows in zip(titles, groups.values(), strict=True)],
        note="Point: estimate. Bar: 95 % interval. Small dots: single repeats of the training. Dashed line: no "
        f"difference. Shaded: differences within ±{number(verdict.margin)}, which count as none.",
        difference=True,
        band=(-verdict.margin, verdict.margin),
        ends=("worse than control", "better than control"),
    )


def arms(report: Report) -> Chart | None:
    """AUROC of every arm of the verdict's comparison, on val for all and on test for those that were opened."""
    verdict = report.verdict
    found = by_comparison(report).get((verdict.setting, verdict.classifier), [])
    if not found:
        return None
    rows = [
        Row(
            arm.name,
            [Mark("Val", "val", arm.val), Mark("Test", _KIND[arm.kind], (arm.test or {}).get("auroc"))],
            tag(arm),
        )
        for arm in found
    ]
    kinds = {arm.kind for arm in found if arm.test and "auroc" in arm.test}
    words = {"control": "test, real images only", "synthetic": "test, with synthetic", "more real": "test, more real"}
    return Chart(
        id="arms",
        title="AUROC of every arm",
        axis="AUROC",
        groups=[Group("", rows)],
        legend={"val": "val"} | {_KIND[kind]: text for kind, text in words.items() if kind in kinds},
        note=f"{verdict.setting}, {classifier_name(verdict.classifier)}. Hollow: on val, where arms are chosen "
        "(mean over the repeats that choose). "
        "Filled: on test, opened for chosen arms only. Overlapping bars settle nothing; paired differences do.",
    )


def by_comparison(report: Report) -> dict[tuple[str, str], list[Arm]]:
    """(setting, classifier) -> arms, the verdict's first."""
    found: dict[tuple[str, str], list[Arm]] = {}
    for arm in report.arms:
        found.setdefault((arm.setting, arm.classifier), []).append(arm)
    first = (report.verdict.setting, report.verdict.classifier)
    return dict(sorted(found.items(), key=lambda item: item[0] != first))


def tag(arm: Arm) -> str:
    """What an arm was chosen as."""
    if not arm.chosen:
        return ""
    return {"control": "chosen control", "synthetic": "chosen synthetic", "more real": "chosen"}[arm.kind]


def chosen_pair(report: Report) -> tuple[Arm, Arm] | None:
    """The verdict's control and synthetic arm; None where one of them is not among the arms."""
    verdict = report.verdict
    named = {a.name: a for a in by_comparison(report).get((verdict.setting, verdict.classifier), [])}
    if verdict.control not in named or verdict.arm not in named:
        return None
    return named[verdict.control], named[verdict.arm]


def per_class(report: Report) -> Chart | None:
    pair = chosen_pair(report)
    if pair is None or not any(arm.per_class for arm in pair):
        return None
    rows = []
    for name in report.dataset.classes:
        found = [((arm.per_class or {}).get(name) or {}).get("auroc") for arm in pair]
        rows.append(Row(name, _pair_marks(found)))
    return Chart(
        id="classes",
        title="AUROC on test, each class against the rest",
        axis="AUROC",
        groups=[Group("", rows)],
        legend={"control": pair[0].name, "synthetic": pair[1].name},
        note="Few images of a class make a wide interval.",
    )


def calibration(report: Report) -> Lines | None:
    pair = chosen_pair(report)
    lines = []
    for arm, series in zip(pair or (), ("control", "synthetic"), strict=False):
        points = [
            Point(b.predicted, Estimate(value=b.observed), arm.name, count(b.n)) for b in arm.calibration if b.n > 0
        ]
        if points:
            lines.append(Line(arm.name, series, points))
    if not lines:
        return None
    subject = f"“{report.dataset.classes[1]}”" if len(report.dataset.classes) == 2 else "the most probable class"
    return Lines(
        id="calibration",
        title=f"Calibration on test: predicted probability of {subject} against how often it was right",
        x_axis="predicted probability",
        y_axis="observed share",
        lines=lines,
        note="On the dotted diagonal a predicted 80 % comes true in 80 % of cases. Below it the network is too sure.",
        diagonal=True,
        x_digits=3,
        head="Arm",
        detail="Images",
    )


def curve(report: Report) -> Lines | None:
    if not report.curve:
        return None
    points = sorted(report.curve, key=lambda p: p.subjects)
    return Lines(
        id="curve",
        title="Learning curve: AUROC on test by the number of real training subjects",
        x_axis="real training subjects",
        y_axis="AUROC",
        lines=[
            Line(
                "best control, real images only", "control", [Point(p.subjects, p.control, p.setting) for p in points]
            ),
            Line("with synthetic images", "synthetic", [Point(p.subjects, p.synthetic, p.setting) for p in points]),
        ],
        note="Bar: 95 % interval. Training and validation subjects shrink together.",
        head="Setting",
    )


def fidelity(report: Report) -> list[Chart]:
    """One chart a measure over all classes: the synthetic set beside its floor and the references."""
    rows = [r for r in report.fidelity.rows if r.scope == "all"]
    charts = []
    for key, (title, digits) in FIDELITY_PLOTS.items():
        marked = [
            Row(r.name, [Mark(title, _FIDELITY[r.kind], _fidelity_value(r, key))], style=_stands_out(r)) for r in rows
        ]
        if any(row.main for row in marked):
            charts.append(Chart(id=key, title=title, axis=title, groups=[Group("", marked)], digits=digits))
    return charts


def _fidelity_value(row: FidelityRow, key: str) -> Estimate | None:
    value = getattr(row, key)
    return value if value is None or isinstance(value, Estimate) else Estimate(value=value)


def _stands_out(row: FidelityRow) -> str:
    return "primary" if row.kind == "synthetic" else ""


def diversity(report: Report) -> Chart | None:
    if not report.collapse.per_class:
        return None
    rows = [
        Row(name, [Mark("Ratio", "synthetic", Estimate(value=ratio))])
        for name, ratio in report.collapse.per_class.items()
    ]
    return Chart(
        id="diversity",
        title="Effective diversity of each class, synthetic over real",
        axis="synthetic over real",
        groups=[Group("", rows)],
        note="1: as varied as real images. Near 0: the same image again and again.",
        lines=[(1.0, "as real"), (0.0, "")],
        digits=2,
    )


def copying(report: Report) -> Chart | None:
    found = report.copying
    if not found.tested or not found.n:
        return None
    lines = [(found.null, "honest generator")] + [(found.null_99, "limit")] * (found.null_99 < 1)
    return Chart(
        id="copying-share",
        title="Share of synthetic images whose nearest real image is a training image",
        axis="share",
        groups=[Group("", [Row("synthetic", [Mark("Share", "synthetic", found.share)])])],
        note=f"An honest generator shows {number(found.null)}. Beyond {number(found.null_99)}, the 99.5th percentile "
        "of what chance alone gives, it counts as copying."
        if found.null_99 < 1
        else f"An honest generator shows {number(found.null)}.",
        lines=lines,
    )


def subgroups(report: Report) -> Chart | None:
    groups: dict[str, list[Row]] = {}
    for s in report.subgroups:
        label = f"{s.value} ({count(s.subjects)} subjects)"
        groups.setdefault(s.covariate, []).append(Row(label, [Mark("Difference", "synthetic", s.effect)]))
    if not any(row.main for rows in groups.values() for row in rows):
        return None
    return Chart(
        id="subgroups",
        title="Difference in AUROC within parts of the test subjects",
        axis="difference in AUROC",
        groups=[Group(name, rows) for name, rows in groups.items()],
        note="Not corrected for their number: one of many may stand out by chance.",
        difference=True,
        band=(-report.verdict.margin, report.verdict.margin),
        ends=("worse than control", "better than control"),
    )


def _pair_marks(found: Sequence[Estimate | None]) -> list[Mark]:
    return [Mark("Control", "control", found[0]), Mark("With synthetic", "synthetic", found[1])]
