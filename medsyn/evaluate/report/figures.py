"""What the charts of the report hold: rows of estimates, or lines of points.

Each chart is written three times from one structure, so that the three cannot differ: as a table, as plain strips (SVG
marks at percentages of the width, for paper and for readers without scripts), and for plotly (`plots`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from medsyn.evaluate.report.numbers import interval
from medsyn.evaluate.results import Estimate
from medsyn.page.numbers import number, signed

_MARGIN = 3.0  # per cent of the strip kept free on both sides, so that no mark is cut off


@dataclass(frozen=True)
class Mark:
    """One estimate of a row.

    Attributes:
        column: Heading of its column in the table.
        series: How it is drawn: primary, synthetic, control, more-real, val, floor or reference.
        estimate: Value and interval; None draws nothing.
    """

    column: str
    series: str
    estimate: Estimate | None


@dataclass(frozen=True)
class Row:
    """One line of a chart: what is measured, and the estimates of it."""

    label: str
    marks: list[Mark]
    note: str = ""
    style: str = ""  # primary: stands out

    @property
    def main(self) -> Mark | None:
        """The estimate written beside the strip: the last that there is."""
        return next((m for m in reversed(self.marks) if m.estimate is not None), None)


@dataclass(frozen=True)
class Group:
    """Rows under one heading."""

    title: str
    rows: list[Row]


@dataclass(frozen=True)
class Chart:
    """Rows of estimates on one common scale.

    Attributes:
        id: Name within the page.
        title: What is shown, one sentence.
        axis: What the numbers are.
        groups: The rows.
        legend: series -> words, for those that need telling apart.
        note: How to read it.
        difference: Numbers carry their sign, and zero is on the scale.
        band: Values that count as no difference, shaded.
        lines: Values to compare with, each with its name.
        ends: What it means to lie left, and right.
        digits: Decimals.
    """

    id: str
    title: str
    axis: str
    groups: list[Group]
    legend: dict[str, str] = field(default_factory=dict)
    note: str = ""
    difference: bool = False
    band: tuple[float, float] | None = None
    lines: list[tuple[float, str]] = field(default_factory=list)
    ends: tuple[str, str] | None = None
    digits: int = 3

    @property
    def rows(self) -> Iterator[Row]:
        return (row for group in self.groups for row in group.rows)

    @property
    def columns(self) -> list[str]:
        return list(dict.fromkeys(mark.column for row in self.rows for mark in row.marks))

    @property
    def repeated(self) -> bool:
        """Whether any estimate tells its single repeats."""
        return any(row.main.estimate.per_seed for row in self.rows if row.main and row.main.estimate)

    @cached_property
    def scale(self) -> Scale:
        shown = [m.estimate for row in self.rows for m in row.marks if m.estimate is not None]
        values = [v for e in shown for v in (e.value, e.low, e.high, *e.per_seed)]
        values += [0.0] * self.difference + list(self.band or ()) + [at for at, _ in self.lines]
        return Scale.over(values)

    def text(self, value: float | None) -> str:
        return signed(value, self.digits) if self.difference else number(value, self.digits)

    def interval(self, estimate: Estimate) -> str:
        return interval(estimate, self.digits, difference=self.difference)


@dataclass(frozen=True)
class Point:
    x: float
    estimate: Estimate
    label: str  # of its row in the table
    detail: str = ""


@dataclass(frozen=True)
class Line:
    name: str
    series: str
    points: list[Point]


@dataclass(frozen=True)
class Lines:
    """Lines through points; ``diagonal`` draws the line on which both axes agree."""

    id: str
    title: str
    x_axis: str
    y_axis: str
    lines: list[Line]
    note: str = ""
    diagonal: bool = False
    x_digits: int = 0
    head: str = ""  # of the first column of the table
    detail: str = ""  # heading of what is told beside a point


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


def _nice_step(rough: float) -> float:
    """The smallest of 1, 2 or 5 times a power of ten that is not below ``rough``."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
