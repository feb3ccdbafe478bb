"""The comparison as one HTML file: no script, no picture, no network."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment

from medsyn.evaluate.report.figures import Chart, Group, Mark, Row
from medsyn.evaluate.report.numbers import measure_name
from medsyn.evaluate.report.render import PACKAGE as EVALUATION_REPORT
from medsyn.evaluate.report.render import templates
from medsyn.evaluate.results import Estimate
from medsyn.page.environment import style
from medsyn.page.scripts import policy
from medsyn.side_by_side.results import SideBySide
from medsyn.side_by_side.table import parts
from medsyn.workspace import atomic_file, disk_errors

PACKAGE = "medsyn.side_by_side"


def write(found: SideBySide, file: Path) -> None:
    """Write the page.

    Raises:
        EnvironmentFault: The disk is full or not writable.
    """
    text = (
        _html()
        .get_template("compare.html.j2")
        .render(
            s=found,
            parts=parts(found.evaluations),
            charts=charts(found),
            style=style(EVALUATION_REPORT, PACKAGE),
            policy=policy(),
        )
    )
    with disk_errors(file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(file) as partial:
            partial.write_text(text, encoding="utf-8", newline="\n")


@cache
def _html() -> Environment:
    return templates(PACKAGE)


def charts(found: SideBySide) -> list[Chart]:
    """Differences on one scale where they are of one measure; KID and coverage where they were measured."""
    columns = found.evaluations
    made = []
    if len({c.measure for c in columns}) == 1:
        margins = {c.margin for c in columns}
        rows = [Row(c.name, [Mark("Difference", "synthetic", c.effect)], c.decision) for c in columns]
        made.append(
            Chart(
                id="effect",
                title=f"Difference in {measure_name(columns[0].measure)} against the best control of each evaluation",
                axis="difference",
                groups=[Group("", rows)],
                note="Bar: 95 % interval. Small dots: single repeats of the training."
                + (" Shaded: differences that count as none." if len(margins) == 1 else ""),
                difference=True,
                band=(-columns[0].margin, columns[0].margin) if len(margins) == 1 else None,
                ends=("worse than control", "better than control"),
            )
        )
    measured = [(c.name, c.fidelity) for c in columns if c.fidelity]
    if measured:
        floors = [(_plain(f.floor_kid), _plain(f.floor_coverage)) for _, f in measured]
        kid = [_row(name, floor, f.kid) for (name, f), (floor, _) in zip(measured, floors, strict=True)]
        coverage = [
            _row(name, floor, _plain(f.coverage)) for (name, f), (_, floor) in zip(measured, floors, strict=True)
        ]
        legend = {"synthetic": "synthetic images", "floor": "real training images"}
        made.append(Chart("kid", "KID ↓", "KID", [Group("", kid)], legend, digits=4))
        made.append(Chart("coverage", "Coverage ↑", "coverage", [Group("", coverage)], legend))
    return made


def _row(name: str, floor: Estimate | None, value: Estimate | None) -> Row:
    return Row(name, [Mark("Real training images", "floor", floor), Mark("Synthetic", "synthetic", value)])


def _plain(value: float | None) -> Estimate | None:
    return None if value is None else Estimate(value=value)
