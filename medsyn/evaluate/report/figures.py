"""Where the marks of the charts go.

The charts are lists of rows; each row holds an SVG strip whose marks sit at percentages of its width. So a chart
narrows with the window while its text keeps its size, and a screen reader gets every value as text.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from medsyn.evaluate.report.numbers import interval, number, signed
from medsyn.evaluate.results import Arm, Contrast, Estimate

_MARGIN = 3.0  # per cent of the strip kept free on both sides, so that no mark is cut off


@dataclass(frozen=True)
class Row:
    """One estimate in a chart; positions in per cent of the strip's width."""

    label: str
    style: str  # primary, chosen, synthetic, control
    note: str
    value: str
    interval: str
    at: float | None  # None: nothing to draw
    low: float | None
    high: float | None
    seeds: list[float]


@dataclass(frozen=True)
class Group:
    """The rows of one classifier."""

    classifier: str
    rows: list[Row]


@dataclass(frozen=True)
class Chart:
    """Rows on one common scale."""

    groups: list[Group]
    ticks: list[tuple[float, str]]  # position in per cent, label
    zero: float | None = None  # position of "no difference"


@dataclass(frozen=True)
class Scale:
    """A linear scale from data values to per cent of a strip's width."""

    low: float
    high: float
    step: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "step", _nice_step((self.high - self.low) / 6))

    @classmethod
    def over(cls, values: Iterable[float | None]) -> Scale:
        """The scale that just holds all finite values."""
        finite = [v for v in values if v is not None and math.isfinite(v)] or [0.0]
        low, high = min(finite), max(finite)
        if high - low < 1e-3:
            low, high = low - 0.01, high + 0.01
        return cls(low, high)

    def at(self, value: float | None) -> float | None:
        """Position of a value in per cent; None where there is no finite value."""
        if value is None or not math.isfinite(value):
            return None
        return round(_MARGIN + (value - self.low) / (self.high - self.low) * (100 - 2 * _MARGIN), 3)

    def ticks(self, *, difference: bool) -> list[tuple[float, str]]:
        """Round values inside the scale with their positions and labels."""
        digits = max(0, -math.floor(math.log10(self.step) + 1e-9))
        first, last = math.ceil(self.low / self.step - 1e-9), math.floor(self.high / self.step + 1e-9)
        write = signed if difference else number
        return [(self.at(k * self.step) or 0.0, write(k * self.step, digits)) for k in range(first, last + 1)]


def forest(contrasts: list[Contrast], measure: str) -> Chart:
    """Effects against the chosen control, one row each, by classifier; zero is always on the scale."""
    shown = [c for c in contrasts if c.measure == measure]
    scale = Scale.over([0.0, *_extent(c.effect for c in shown)])
    groups: dict[str, list[Row]] = {}
    for c in shown:
        style, note = ("primary", "decides the verdict") if c.primary else ("synthetic", "")
        row = _row(c.arm, style, note, c.effect, scale, difference=True)
        groups.setdefault(c.classifier, []).append(row)
    return Chart(_groups(groups), scale.ticks(difference=True), scale.at(0.0))


def dots(arms: list[Arm], measure: str) -> Chart:
    """Every arm's own value on test, one row each, by classifier."""
    shown = [a for a in arms if measure in a.test]
    scale = Scale.over(_extent(a.test[measure] for a in shown))
    groups: dict[str, list[Row]] = {}
    for a in shown:
        note = "" if not a.chosen else "chosen control" if a.kind == "control" else "chosen synthetic arm"
        row = _row(a.name, a.kind, note, a.test[measure], scale, difference=False)
        groups.setdefault(a.classifier, []).append(row)
    return Chart(_groups(groups), scale.ticks(difference=False))


def _row(label: str, style: str, note: str, estimate: Estimate, scale: Scale, *, difference: bool) -> Row:
    return Row(
        label=label,
        style=style,
        note=note,
        value=signed(estimate.value) if difference else number(estimate.value),
        interval=interval(estimate, difference=difference),
        at=scale.at(estimate.value),
        low=scale.at(estimate.low),
        high=scale.at(estimate.high),
        seeds=[at for v in estimate.per_seed if (at := scale.at(v)) is not None],
    )


def _groups(rows: dict[str, list[Row]]) -> list[Group]:
    return [Group(classifier, found) for classifier, found in rows.items()]


def _extent(estimates: Iterable[Estimate]) -> list[float | None]:
    return [v for e in estimates for v in (e.value, e.low, e.high, *e.per_seed)]


def _nice_step(rough: float) -> float:
    """The smallest of 1, 2 or 5 times a power of ten that is not below ``rough``."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
