"""A scored study as a page of its own, and as a part of an evaluation's report."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment

from medsyn.evaluate.report import readers as place
from medsyn.evaluate.report.figures import Chart, Group, Mark, Row
from medsyn.evaluate.report.render import PACKAGE as EVALUATION_REPORT
from medsyn.evaluate.report.render import templates
from medsyn.evaluate.results import Estimate
from medsyn.page.environment import style
from medsyn.page.scripts import policy
from medsyn.readers.results import Readers, Share
from medsyn.readers.scoring import percent
from medsyn.readers.statistics import CHANCE
from medsyn.workspace import atomic_file, disk_errors

PACKAGE = "medsyn.readers"
FILE, FACTS = "readers.html", "readers.json"


def write(found: Readers, folder: Path) -> Path:
    """Write ``readers.html`` and ``readers.json``, which hold no picture.

    Raises:
        EnvironmentFault: The disk is full or not writable.
    """
    shown = _shown(found) | {"style": style(EVALUATION_REPORT), "policy": policy()}
    page = _templates(escape=True).get_template("readers.html.j2").render(shown)
    with disk_errors(folder):
        for name, text in ((FILE, page), (FACTS, _facts(found))):
            with atomic_file(folder / name) as partial:
                partial.write_text(text, encoding="utf-8", newline="\n")
    return folder / FILE


def add(found: Readers, evaluation: Path) -> None:
    """Put the results into an evaluation's ``report.html`` and ``report.md``, and ``readers.json`` beside them.

    Raises:
        DataError: The report has no place for them.
        EnvironmentFault: The disk is full or not writable.
    """
    html, markdown = (
        _templates(escape=escape).get_template(name).render(_shown(found))
        for escape, name in ((True, "readers_section.html.j2"), (False, "readers.md.j2"))
    )
    place.put(evaluation, html, markdown)
    with disk_errors(evaluation), atomic_file(evaluation / FACTS) as partial:
        partial.write_text(_facts(found), encoding="utf-8", newline="\n")


def _facts(found: Readers) -> str:
    return found.model_dump_json(indent=2) + "\n"


def _shown(found: Readers) -> dict[str, Any]:
    return {"s": found, "chart": _chart(found)}


@cache
def _templates(*, escape: bool) -> Environment:
    made = templates(PACKAGE, escape=escape)
    made.filters["percent"] = percent
    return made


def _chart(found: Readers) -> Chart:
    rows = [Row(r.reader, [Mark("Told rightly", "synthetic", share_as_estimate(r.told))]) for r in found.readers]
    if found.together:
        mean = found.together.told.model_copy(update={"per_seed": []})
        rows.append(Row("Mean of the readers", [Mark("Told rightly", "primary", mean)], style="primary"))
    return Chart(
        id="readers-told",
        title="Share of cases in which real and synthetic were told rightly",
        axis="share",
        groups=[Group("", rows)],
        note="Bar: 95 % interval. Dashed line: guessing.",
        lines=[(CHANCE, "guessing")],
        ends=("taken for each other", "told apart"),
        digits=2,
    )


def share_as_estimate(share: Share) -> Estimate:
    """A share of at least one case, as charts and other tables take it."""
    return Estimate(value=share.value or 0.0, low=share.low, high=share.high)
