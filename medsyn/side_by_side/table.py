"""The rows that the terminal and the page show: written once, so that they cannot differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from medsyn.evaluate.report.numbers import classifier_name, interval, measure_name
from medsyn.evaluate.results import Estimate
from medsyn.page.numbers import DASH, count, day, number, signed
from medsyn.readers.scoring import percent
from medsyn.side_by_side.results import Column, Read


@dataclass(frozen=True)
class Cell:
    """A value, and its interval or another small addition."""

    text: str
    small: str = ""


@dataclass(frozen=True)
class Line:
    """One fact of all evaluations."""

    name: str
    cells: list[Cell]

    @property
    def differs(self) -> bool:
        return len(set(self.cells)) > 1


@dataclass(frozen=True)
class Part:
    """Lines under one heading."""

    title: str
    lines: list[Line]


_STATES = {"clear": "none found", "found": "found", "untested": "not tested"}


def parts(columns: Sequence[Column]) -> list[Part]:
    """All rows, in the order in which they are told."""
    asked: dict[str, dict[str, Callable[[Column], Cell]]] = {
        "Verdict": {
            "Verdict": lambda c: Cell(c.decision, "quick look: decides nothing" if c.quick else ""),
            "Measure": lambda c: Cell(measure_name(c.measure), f"margin ±{number(c.margin)}"),
            "Difference on test": lambda c: _estimate(c.effect, difference=True),
            "Smallest difference it could find": lambda c: Cell(number(c.detectable)),
            "With synthetic images": lambda c: _named(c.arm_value, c.arm),
            "Best control without": lambda c: _named(c.control_value, c.control),
            "Setting": lambda c: Cell(c.setting, classifier_name(c.classifier)),
        },
        "Fidelity, over all classes": {
            "KID ↓": lambda c: _estimate(c.fidelity.kid, 4) if c.fidelity else Cell(DASH),
            "KID of real training images": lambda c: Cell(number(c.fidelity.floor_kid, 4) if c.fidelity else DASH),
            "Coverage ↑": lambda c: Cell(number(c.fidelity.coverage) if c.fidelity else DASH),
            "Coverage of real training images": lambda c: Cell(
                number(c.fidelity.floor_coverage) if c.fidelity else DASH
            ),
            "Recall ↑": lambda c: Cell(number(c.fidelity.recall) if c.fidelity else DASH),
        },
        "Copies of patients": {
            "Copying": lambda c: Cell(_state(c.copies.tested, c.copies.found)),
            "All but equal to a training image": lambda c: Cell(
                f"{count(c.copies.copies)} of {count(c.copies.examined)}" if c.copies.tested else DASH
            ),
            "Nearer to training than to unseen images": lambda c: (
                _estimate(c.copies.share) if c.copies.tested else Cell(DASH)
            ),
        },
        "Other checks": {
            name: lambda c, name=name: Cell(_STATES[c.checks[name]])  # type: ignore[misc]
            for name in columns[0].checks
            if name not in ("Copies of patients", "Fidelity")
        },
        "Selection of candidates": {
            "Filtered minus unfiltered set": lambda c: (
                _estimate(c.selection.effect, difference=True) if c.selection.effect else Cell(DASH, "not compared")
            ),
            "Images in which they differ": lambda c: Cell(count(c.selection.replaced) if c.selection.tested else DASH),
        },
        "Readers": {
            "Real or synthetic": lambda c: Cell(c.readers.decision if c.readers else "no reader study"),
            "Told rightly": lambda c: _read(c.readers) if c.readers else Cell(DASH),
        },
        "What was compared": {
            "Dataset": lambda c: Cell(c.origin.dataset, c.origin.dataset_digest[:12]),
            "Test images": lambda c: Cell(
                DASH if c.origin.test_images is None else count(c.origin.test_images), (c.origin.test_digest or "")[:12]
            ),
            "Looks at them": lambda c: Cell(str(c.looks_at_test)),
            "Synthetic set": lambda c: Cell(c.origin.synthetic, f"{count(c.origin.synthetic_images)} images"),
            "Generator": lambda c: Cell(c.origin.generator, c.origin.checkpoint_digest[:12]),
            "Evaluated": lambda c: Cell(day(c.created)),
        },
    }
    return [
        Part(title, [Line(name, [of(c) for c in columns]) for name, of in lines.items()])
        for title, lines in asked.items()
    ]


def _state(tested: bool, found: bool) -> str:
    return "found" if found else "none found" if tested else "not tested"


def _estimate(e: Estimate, digits: int = 3, *, difference: bool = False) -> Cell:
    value = signed(e.value, digits) if difference else number(e.value, digits)
    return Cell(value, interval(e, digits, difference=difference))


def _read(found: Read) -> Cell:
    told = found.told
    return Cell(percent(told.value), f"{percent(told.low)} to {percent(told.high)}; readers: {found.readers}")


def _named(e: Estimate | None, name: str) -> Cell:
    if e is None:
        return Cell(DASH, name)
    ends = interval(e)
    return Cell(number(e.value), f"{ends}; {name}" if ends else name)
