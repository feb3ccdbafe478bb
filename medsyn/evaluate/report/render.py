"""From the typed results to one HTML file."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from medsyn.config import EvaluateOptions
from medsyn.data.schema import SPLITS
from medsyn.evaluate.galleries import Galleries
from medsyn.evaluate.report import figures, numbers
from medsyn.evaluate.report.pictures import picture
from medsyn.evaluate.results import Arm, Estimate, FidelityRow, Report
from medsyn.workspace import atomic_file, disk_errors

FILE = "report.html"

_MEASURES = {"auroc": "AUROC", "balanced_accuracy": "Balanced accuracy", "accuracy": "Accuracy"}
_CLASSIFIERS = {"cnn": "Convolutional network", "probe": "Probe on fixed features"}
_MODALITIES = {"xray": "X-ray", "mri": "MRI", "ct": "CT", "ultrasound": "Ultrasound"}


def write(report: Report, galleries: Galleries, folder: Path) -> Path:
    """Write ``folder/report.html``: self-contained, no script, nothing loaded from elsewhere.

    Args:
        report: The results; every number shown is one of its numbers, rounded.
        galleries: The pictures, uint8 ``[n, C, H, W]`` with one (grey) or three (RGB) channels.
        folder: Where to write; made if it is not there.

    Returns:
        The file.

    Raises:
        EnvironmentFault: The disk is full or not writable.
        ValueError: Pictures of another type or shape.
    """
    html = _environment().get_template("report.html.j2").render(_context(report, galleries))
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_file(folder / FILE) as partial:
            partial.write_text(html, encoding="utf-8")
    return folder / FILE


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("medsyn.evaluate.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("number", "signed", "interval", "count", "p_value", "day", "duration"):
        environment.filters[name] = getattr(numbers, name)
    environment.filters["measure"] = lambda key: _MEASURES.get(key, key.replace("_", " "))
    environment.filters["classifier"] = lambda key: f"{_CLASSIFIERS[key]} ({key})" if key in _CLASSIFIERS else key
    environment.filters["modality"] = lambda key: _MODALITIES.get(key, key)
    environment.filters["setting"] = lambda v: (
        v if isinstance(v, str) else json.dumps(v, ensure_ascii=False, default=str)
    )
    environment.filters["picture"] = picture
    return environment


def _context(report: Report, galleries: Galleries) -> dict[str, Any]:
    style = resources.files("medsyn.evaluate.report").joinpath("style.css").read_text(encoding="utf-8")
    settings = report.model_dump(mode="json")["settings"]
    return {
        "r": report,
        "g": galleries,
        "style": Markup(style),  # our own file; escaping would break its selectors
        "warnings": _warnings(report),
        "forest": figures.forest(report.contrasts, report.verdict.measure),
        "dots": figures.dots(report.arms, "auroc"),
        "classifiers": _by_classifier(report),
        "threshold": _threshold_check(report),
        "fidelity": _by_scope(report.fidelity.rows),
        "splits": _splits(report),
        "split_totals": _split_totals(report),
        "settings": settings,
        "pipeline": _pipeline(report, settings),
        "real_images": bool(galleries.closest) or any(len(images) for images in galleries.real.values()),
        "gallery_classes": _gallery_classes(report, galleries),
    }


@dataclass(frozen=True)
class Warned:
    """One warning under the verdict."""

    text: str
    severe: bool


def _warnings(report: Report) -> list[Warned]:
    """Findings of copying and collapse first and severe, whether or not the verdict repeats them."""
    found = [report.copying.sentence] * report.copying.found + [report.collapse.sentence] * report.collapse.found
    rest = [text for text in report.verdict.warnings if text not in found]
    return [Warned(text, severe=True) for text in found] + [Warned(text, severe=False) for text in rest]


@dataclass(frozen=True)
class TrainedOn:
    """Training images of one class: real ones, and synthetic ones where there are any."""

    total: int
    real: int | None  # None: cannot be told from the total


def _by_classifier(report: Report) -> list[tuple[str, list[tuple[Arm, list[TrainedOn]]]]]:
    """Arms by classifier, the verdict's first, each with its training images in the order of the classes."""
    names = sorted(dict.fromkeys(a.classifier for a in report.arms), key=lambda c: c != report.verdict.classifier)
    tables = []
    for name in names:
        arms = [a for a in report.arms if a.classifier == name]
        controls = [a.training_images for a in arms if a.kind == "control"]
        real = controls[0] if controls and all(c == controls[0] for c in controls) else None
        tables.append((name, [(a, _trained_on(a, real, report.dataset.classes)) for a in arms]))
    return tables


def _trained_on(arm: Arm, real: dict[str, int] | None, classes: list[str]) -> list[TrainedOn]:
    """Split each total into real and synthetic: an arm with a ratio holds every real image of the controls."""
    cells = []
    for name in classes:
        total = arm.training_images.get(name, 0)
        if arm.kind == "control":
            part: int | None = total
        elif arm.ratio is None:
            part = 0
        else:
            part = real.get(name, 0) if real is not None and real.get(name, 0) <= total else None
        cells.append(TrainedOn(total, part))
    return cells


@dataclass(frozen=True)
class Gain:
    """The chosen synthetic arm against the chosen control by one measure."""

    name: str
    control: float
    arm: float

    @property
    def difference(self) -> float:
        return self.arm - self.control


def _threshold_check(report: Report) -> list[Gain]:
    """The same two arms by a measure that has no threshold, one tuned on val, and one left at one half."""
    verdict = report.verdict
    named = {a.name: a for a in report.arms if a.classifier == verdict.classifier}
    if verdict.arm not in named or verdict.control not in named:
        return []
    arm, control = named[verdict.arm], named[verdict.control]
    binary = len(report.dataset.classes) == 2
    views: list[tuple[str, dict[str, Estimate], dict[str, Estimate], str]] = [
        ("AUROC (ranking only, no threshold)", control.test, arm.test, "auroc"),
        ("Balanced accuracy, decision tuned on val", control.test, arm.test, "balanced_accuracy"),
        (
            f"Balanced accuracy, {'threshold 0.5' if binary else 'largest score wins'}",
            control.test_at_half,
            arm.test_at_half,
            "balanced_accuracy",
        ),
    ]
    return [Gain(name, c[key].value, a[key].value) for name, c, a, key in views if key in c and key in a]


def _by_scope(rows: list[FidelityRow]) -> dict[str, list[FidelityRow]]:
    scopes: dict[str, list[FidelityRow]] = {}
    for row in rows:
        scopes.setdefault(row.scope, []).append(row)
    return scopes


def _splits(report: Report) -> list[str]:
    tables = (report.dataset.images_per_class, report.dataset.units_per_class)
    seen = dict.fromkeys(split for table in tables for counts in table.values() for split in counts)
    return [s for s in SPLITS if s in seen] + [s for s in seen if s not in SPLITS]


def _split_totals(report: Report) -> tuple[Counter[str], Counter[str]]:
    images, units = Counter[str](), Counter[str]()
    for counts in report.dataset.images_per_class.values():
        images.update(counts)
    for counts in report.dataset.units_per_class.values():
        units.update(counts)
    return images, units


def _gallery_classes(report: Report, galleries: Galleries) -> list[str]:
    """The dataset's classes in their order, then any other that has pictures."""
    seen = dict.fromkeys([*report.dataset.classes, *galleries.synthetic, *galleries.real])
    return [name for name in seen if name in galleries.synthetic or name in galleries.real]


def _pipeline(report: Report, settings: dict[str, Any]) -> str:
    """The evaluation as a pipeline file, its dataset and synthetic set named."""
    options = {key: value for key, value in settings.items() if key in EvaluateOptions.model_fields}
    options |= {"dataset": report.dataset.name, "synthetic": report.synthetic.name}
    return yaml.safe_dump({"stages": [{"evaluate": options}]}, sort_keys=False, allow_unicode=True)
