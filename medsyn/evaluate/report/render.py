"""From the typed results to one HTML file, and to Markdown for papers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment
from markupsafe import Markup

from medsyn.config import EvaluateOptions
from medsyn.evaluate.checks.galleries import Galleries
from medsyn.evaluate.report import charts, checklists, numbers, plots, tables
from medsyn.evaluate.results import Report
from medsyn.page.environment import environment, style
from medsyn.page.scripts import as_json, policy
from medsyn.workspace import atomic_file, disk_errors

FILE, MARKDOWN = "report.html", "report.md"
PACKAGE = "medsyn.evaluate.report"

LIMITS = (
    (
        "Research use only.",
        "Nothing here is meant for diagnosis or treatment. Synthetic images show no patient's findings and must not "
        "enter a clinical archive.",
    ),
    (
        "Synthetic images can still point to a patient.",
        "A generator can remember the images it learnt from. The copy check finds near-copies of pixels, the "
        "membership test one simple attack; neither proves that nothing about a patient can be inferred. Decide on "
        "sharing with your data protection officer.",
    ),
    (
        "One source.",
        "Unless an external test set is named, the test images come from the same source as the training images: "
        "whether an effect holds at another hospital, on another scanner or in another population was not measured.",
    ),
    (
        "One budget.",
        "More real images, another classifier or longer training may change the answer in either direction.",
    ),
    (
        "An interval, not a proof.",
        "“No evidence” means that this test split cannot tell; it does not mean that there is no effect. “Equivalent” "
        "means within the margin that was fixed beforehand, no more.",
    ),
    (
        "Measures, not readers.",
        "Unless a reader study is told above, nobody looked at the images for this report; a network's view of realism "
        "is no clinical judgement.",
    ),
)


def write(report: Report, galleries: Galleries, folder: Path) -> Path:
    """Write ``folder/report.html``, self-contained, and ``folder/report.md``, without pictures, for papers.

    Args:
        report: The results; every number shown is one of its numbers, rounded.
        galleries: The pictures, uint8 ``[n, C, H, W]`` with one (grey) or three (RGB) channels.
        folder: Where to write; made if it is not there.

    Returns:
        The HTML file.

    Raises:
        EnvironmentFault: The disk is full or not writable.
        ValueError: Pictures of another type or shape.
    """
    shared = _shared(report)
    texts = {
        FILE: _html().get_template("report.html.j2").render(shared | _of_the_page(report, galleries)),
        MARKDOWN: _markdown().get_template("report.md.j2").render(shared),
    }
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            with atomic_file(folder / name) as partial:
                partial.write_text(text, encoding="utf-8", newline="\n")
    return folder / FILE


@cache
def _html() -> Environment:
    return templates()


@cache
def _markdown() -> Environment:
    return templates(escape=False)


def templates(*packages: str, escape: bool = True) -> Environment:
    """The report's templates, macros and filters, with those of further packages before them."""
    made = environment(*packages, PACKAGE, escape=escape)
    made.filters["interval"] = numbers.interval
    made.filters["measure"] = numbers.measure_name
    made.filters["classifier"] = numbers.classifier_name
    made.globals["tag"] = charts.tag
    return made


def _shared(report: Report) -> dict[str, Any]:
    """What both the page and the Markdown tell."""
    settings = report.model_dump(mode="json")["settings"]
    return {
        "r": report,
        "v": report.verdict,
        "warnings": tables.warnings(report),
        "checks": tables.checks(report),
        "comparisons": tables.comparisons(report),
        "threshold": tables.threshold_check(report),
        "fidelity": tables.by_scope(report.fidelity.rows),
        "judged": tables.Judged.of(report.selection),
        "filter_rows": tables.filter_rows(report),
        "splits": tables.splits(report.dataset),
        "external_splits": tables.splits(report.external) if report.external else [],
        "split_totals": tables.split_totals(report.dataset),
        "settings": settings,
        "pipeline": _pipeline(report, settings),
        "scorecard": checklists.scorecard(report),
        "claim": checklists.claim(report),
        "scorecard_source": checklists.SCORECARD_SOURCE,
        "claim_source": checklists.CLAIM_SOURCE,
        "claim_parts": _parts(checklists.claim(report)),
        "limits": LIMITS,
        "words": tables.Words.of(report),
    }


def _of_the_page(report: Report, galleries: Galleries) -> dict[str, Any]:
    shown = PageCharts.of(report)
    scripts = Scripts.of(_plotly(), resources.files(PACKAGE).joinpath("plots.js").read_text(encoding="utf-8"))
    return {
        "g": galleries,
        "style": style(PACKAGE),
        "charts": shown,
        "figures": as_json(shown.figures()),
        "scripts": scripts,
        "real_images": bool(galleries.closest) or any(len(images) for images in galleries.real.values()),
        "gallery_classes": _gallery_classes(report, galleries),
    }


def _parts(items: list[checklists.Item]) -> dict[str, list[checklists.Item]]:
    parts: dict[str, list[checklists.Item]] = {}
    for item in items:
        parts.setdefault(item.heading, []).append(item)
    return parts


@dataclass(frozen=True)
class PageCharts:
    """The charts of a page; None or an empty list where there is nothing to draw."""

    effect: charts.Chart
    arms: charts.Chart | None
    classes: charts.Chart | None
    calibration: charts.Lines | None
    curve: charts.Lines | None
    fidelity: list[charts.Chart]
    diversity: charts.Chart | None
    copying: charts.Chart | None
    subgroups: charts.Chart | None

    @classmethod
    def of(cls, report: Report) -> PageCharts:
        return cls(
            charts.effect(report),
            charts.arms(report),
            charts.per_class(report),
            charts.calibration(report),
            charts.curve(report),
            charts.fidelity(report),
            charts.diversity(report),
            charts.copying(report),
            charts.subgroups(report),
        )

    def figures(self) -> list[dict[str, Any]]:
        rows = [self.effect, self.arms, self.classes, *self.fidelity, self.diversity, self.copying, self.subgroups]
        return [plots.rows(c) for c in rows if c] + [plots.lines(c) for c in (self.calibration, self.curve) if c]


@dataclass(frozen=True)
class Scripts:
    """The scripts inside the page, and the policy that lets no other run."""

    library: Markup
    drawing: Markup
    policy: str

    @classmethod
    def of(cls, library: str, drawing: str) -> Scripts:
        return cls(Markup(library), Markup(drawing), policy(library, drawing))


@cache
def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


def _gallery_classes(report: Report, galleries: Galleries) -> list[str]:
    """The dataset's classes in their order, then any other that has pictures."""
    seen = dict.fromkeys([*report.dataset.classes, *galleries.synthetic, *galleries.real])
    return [name for name in seen if name in galleries.synthetic or name in galleries.real]


def _pipeline(report: Report, settings: dict[str, Any]) -> str:
    """The evaluation as a pipeline file; where files of the user's took part, their names stand for their paths."""
    options = {key: value for key, value in settings.items() if key in EvaluateOptions.model_fields}
    options |= {"dataset": report.dataset.name, "synthetic": report.synthetic.name}
    if options.get("regenerate"):
        del options["synthetic"]
    for key in ("split", "synthetic_labels", *(["synthetic"] if report.synthetic.foreign else [])):
        if options.get(key):
            options[key] = f"<path to {options[key]}>"
    return yaml.safe_dump({"stages": [{"evaluate": options}]}, sort_keys=False, allow_unicode=True)
