"""What the tables of the report hold, beyond the results themselves."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from medsyn.data.schema import SPLITS
from medsyn.evaluate.report.charts import by_comparison, chosen_pair
from medsyn.evaluate.results import Arm, DatasetFacts, Estimate, FidelityRow, Report, Selection


@dataclass(frozen=True)
class Warned:
    """One warning under the verdict."""

    text: str
    severe: bool


def warnings(report: Report) -> list[Warned]:
    """Findings of the checks first and severe, whether or not the verdict repeats them."""
    checked = (report.leakage, report.copying, report.collapse, report.labels)
    found = [check.sentence for check in checked if check.found]
    milder = [check.sentence for check in (report.shortcut, report.fidelity) if check.found and check.sentence]
    rest = dict.fromkeys([*milder, *report.verdict.warnings])
    return [Warned(text, severe=True) for text in found] + [
        Warned(text, severe=False) for text in rest if text not in found
    ]


@dataclass(frozen=True)
class Check:
    """One check at a glance."""

    name: str
    state: str  # clear, found or untested
    words: str
    section: str
    severe: bool  # when found


def checks(report: Report) -> list[Check]:
    """Every check with its outcome in two words; what was not made is not called clear."""
    asked = [
        ("Leakage between splits", report.leakage.found, report.leakage.examined, ("none found", "found"), "data"),
        ("Copies of patients", report.copying.found, report.copying.tested, ("none found", "found"), "privacy"),
        ("Collapse of a class", report.collapse.found, report.collapse.per_class, ("none found", "found"), "diversity"),
        ("Labels", report.labels.found, report.labels.tested, ("match", "do not match"), "labels"),
        ("Shortcut in the data", report.shortcut.found, report.shortcut.tested, ("none found", "likely"), "shortcut"),
        ("Fidelity", report.fidelity.found, report.fidelity.rows, ("not far from real", "far from real"), "fidelity"),
    ]
    return [
        Check(
            name,
            "found" if found else "clear" if tested else "untested",
            _outcome(found, bool(tested), words),
            section,
            severe=section not in ("shortcut", "fidelity"),
        )
        for name, found, tested, words, section in asked
    ]


def _outcome(found: bool, tested: bool, words: tuple[str, str]) -> str:
    return words[1] if found else words[0] if tested else "not tested"


@dataclass(frozen=True)
class TrainedOn:
    """Distinct training images of one class."""

    real: int
    synthetic: int


@dataclass(frozen=True)
class Comparison:
    """Arms that were compared with each other: of one setting and classifier."""

    setting: str
    classifier: str
    arms: list[tuple[Arm, list[TrainedOn]]]

    @property
    def opened(self) -> list[Arm]:
        """Arms measured on test."""
        return [arm for arm, _ in self.arms if arm.test is not None]

    @property
    def external(self) -> list[Arm]:
        return [arm for arm, _ in self.arms if arm.external]


def comparisons(report: Report) -> list[Comparison]:
    """The verdict's comparison first."""
    return [
        Comparison(setting, classifier, [(a, _trained_on(a, report.dataset.classes)) for a in found])
        for (setting, classifier), found in by_comparison(report).items()
    ]


def _trained_on(arm: Arm, classes: list[str]) -> list[TrainedOn]:
    real = [arm.real_images.get(name, 0) for name in classes]
    return [TrainedOn(r, arm.training_images.get(name, 0) - r) for name, r in zip(classes, real, strict=True)]


@dataclass(frozen=True)
class Gain:
    """The chosen synthetic arm against the chosen control by one measure."""

    name: str
    control: float
    arm: float

    @property
    def difference(self) -> float:
        return self.arm - self.control


def threshold_check(report: Report) -> list[Gain]:
    """The same two arms by a measure that has no threshold, one tuned on val, and one left at one half."""
    pair = chosen_pair(report)
    if pair is None:
        return []
    control, arm = pair
    half = "threshold 0.5" if len(report.dataset.classes) == 2 else "largest score wins"
    views: list[tuple[str, dict[str, Estimate] | None, dict[str, Estimate] | None, str]] = [
        ("AUROC (ranking only, no threshold)", control.test, arm.test, "auroc"),
        ("Balanced accuracy, decision tuned on val", control.test, arm.test, "balanced_accuracy"),
        (f"Balanced accuracy, {half}", control.test_at_half, arm.test_at_half, "balanced_accuracy"),
    ]
    return [Gain(name, c[key].value, a[key].value) for name, c, a, key in views if c and a and key in c and key in a]


def by_scope(rows: list[FidelityRow]) -> dict[str, list[FidelityRow]]:
    """All classes first."""
    scopes: dict[str, list[FidelityRow]] = {}
    for row in sorted(rows, key=lambda r: r.scope != "all"):
        scopes.setdefault(row.scope, []).append(row)
    return scopes


def splits(dataset: DatasetFacts) -> list[str]:
    """The splits that have a count, in their order."""
    tables = (dataset.images_per_class, dataset.units_per_class)
    seen = dict.fromkeys(split for table in tables for counts in table.values() for split in counts)
    return [s for s in SPLITS if s in seen] + [s for s in seen if s not in SPLITS]


def split_totals(dataset: DatasetFacts) -> tuple[Counter[str], Counter[str]]:
    """Images and subjects of each split."""
    images, units = Counter[str](), Counter[str]()
    for counts in dataset.images_per_class.values():
        images.update(counts)
    for counts in dataset.units_per_class.values():
        units.update(counts)
    return images, units


@dataclass(frozen=True)
class JudgedRow:
    """Candidates of one class, or of all; ``rejected`` in the order of the rules."""

    name: str
    judged: int
    rejected: list[int]
    accepted: int


@dataclass(frozen=True)
class Judged:
    """Candidates by class and by the rule that they failed first."""

    rules: list[str]
    rows: list[JudgedRow]

    @classmethod
    def of(cls, selection: Selection) -> Judged:
        """The rule that rejected most comes first."""
        counts = Counter[str]()
        for of_class in selection.rejected.values():
            counts.update(of_class)
        rules = [rule for rule, _ in counts.most_common()]
        rows = [
            JudgedRow(name, n, [selection.rejected[name].get(rule, 0) for rule in rules], selection.accepted[name])
            for name, n in selection.judged.items()
        ]
        return cls(rules, rows)

    @property
    def total(self) -> JudgedRow:
        rejected = [sum(column) for column in zip(*(row.rejected for row in self.rows), strict=True)]
        return JudgedRow("Sum", sum(r.judged for r in self.rows), rejected, sum(r.accepted for r in self.rows))


def filter_rows(report: Report) -> tuple[FidelityRow, FidelityRow] | None:
    """Fidelity of the filtered and the unfiltered set over all classes, where both were measured."""
    found = {row.kind: row for row in report.fidelity.rows if row.scope == "all"}
    return (found["synthetic"], found["unfiltered"]) if {"synthetic", "unfiltered"} <= set(found) else None


@dataclass(frozen=True)
class Words:
    """Words that depend on the settings."""

    half: str  # of a decision without a tuned threshold
    sensitivity_at: str
    specificity_at: str
    prevalence: str

    @classmethod
    def of(cls, report: Report) -> Words:
        settings = report.settings
        prevalence = settings.get("prevalence")
        return cls(
            half="at 0.5" if len(report.dataset.classes) == 2 else "largest score wins",
            sensitivity_at=f"Sensitivity at specificity {settings.get('specificity', 'as set')}",
            specificity_at=f"Specificity at sensitivity {settings.get('sensitivity', 'as set')}",
            prevalence="that of the test split" if prevalence is None else f"{prevalence}",
        )
