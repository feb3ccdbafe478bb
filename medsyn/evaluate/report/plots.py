"""The charts as figures for plotly: data only; `plots.js` paints them in the colours of the page.

A colour is named by a variable of the style sheet ("--accent"), so that a figure follows light and dark.
"""

from __future__ import annotations

import html
import math
import textwrap
from typing import Any

from medsyn.evaluate.report.figures import Chart, Lines, Mark
from medsyn.evaluate.report.numbers import interval
from medsyn.evaluate.results import Estimate
from medsyn.page.numbers import number

_SYMBOLS = {  # colour, symbol, size: told apart without colour
    "primary": ("--accent", "diamond", 15),
    "synthetic": ("--accent", "circle", 11),
    "control": ("--control", "square", 10),
    "more-real": ("--more", "triangle-up", 12),
    "val": ("--soft", "circle-open", 9),
    "floor": ("--control", "square", 10),
    "reference": ("--soft", "triangle-down", 11),
}
_LABEL = 40  # characters of a line of a label


def rows(chart: Chart) -> dict[str, Any]:
    """A chart of rows: one trace a series, rows from the top down."""
    labels: list[str] = []
    placed: dict[str, list[tuple[float, str, Mark]]] = {}
    for group in chart.groups:
        if group.title:
            labels.append(f"<b>{_label(group.title)}</b>")
        for row in group.rows:
            labels.append(_label(row.label) + (f"<br><i>{_safe(row.note)}</i>" if row.note else ""))
            y = len(labels) - 1
            drawn = [m for m in row.marks if m.estimate is not None]
            for k, mark in enumerate(drawn):
                shift = 0.0 if len(drawn) < 2 else 0.34 * (k / (len(drawn) - 1) - 0.5)
                placed.setdefault(mark.series, []).append((y + shift, row.label, mark))
    data = [_row_trace(chart, series, found) for series, found in placed.items()]
    seeds = [(s, y, m.series) for found in placed.values() for y, _, m in found for s in _estimate(m).per_seed]
    if seeds and len(chart.columns) == 1:
        data.insert(0, _seed_trace(seeds))
    lines = [_vertical(at, "dash" if not at else "dot") for at, _ in chart.lines]
    if chart.difference:
        lines.insert(0, _vertical(0.0, "dash"))
    if chart.band:
        lines.insert(0, _band(*chart.band))
    return {
        "id": chart.id,
        "labels": labels,
        "short": "← worse   ·   better →" if chart.ends else "",
        "data": data,
        "layout": {
            "showlegend": bool(chart.legend),
            "shapes": lines,
            "annotations": [_line_name(at, name) for at, name in chart.lines if name],
            "xaxis": {"title": {"text": _axis_title(chart)}, **_range(chart)},
            "yaxis": {
                "range": [len(labels) - 0.5, -0.5],
                "tickvals": list(range(len(labels))),
                "ticktext": labels,
                "automargin": True,
                "fixedrange": True,
                "zeroline": False,
                "showgrid": False,
            },
            "margin": {"l": 8, "r": 16, "t": 8 + 26 * bool(chart.legend) + 18 * bool(chart.lines), "b": 52},
        },
    }


def lines(chart: Lines) -> dict[str, Any]:
    """A chart of lines through points."""
    data = []
    for line in chart.lines:
        colour, symbol, size = _SYMBOLS[line.series]
        estimates = [p.estimate for p in line.points]
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": _label(line.name),
                "x": [_finite(p.x) for p in line.points],
                "y": [_finite(e.value) for e in estimates],
                "error_y": _errors(estimates, colour),
                "line": {"color": colour, "width": 2, "dash": "dot" if line.series == "control" else "solid"},
                "marker": {"color": colour, "symbol": symbol, "size": size},
                "hoverinfo": "text",
                "hovertext": [
                    f"<b>{_safe(line.name)}</b><br>{_safe(chart.x_axis)} {number(p.x, chart.x_digits)}"
                    f"<br>{_told(chart.y_axis, p.estimate)}"
                    + (f"<br>{_safe(chart.detail)}: {_safe(p.detail)}" if p.detail else "")
                    for p in line.points
                ],
            }
        )
    diagonal = {
        "type": "line",
        **{"x0": 0, "y0": 0, "x1": 1, "y1": 1, "layer": "below"},
        "line": {"color": "--soft", "width": 1, "dash": "dot"},
    }
    bounds = {"range": [-0.03, 1.03]} if chart.diagonal else {"automargin": True}
    return {
        "id": chart.id,
        "data": data,
        "layout": {
            "height": 380,
            "showlegend": True,
            "shapes": [diagonal] * chart.diagonal,
            "xaxis": {"title": {"text": _safe(chart.x_axis)}, "zeroline": False, **bounds},
            "yaxis": {"title": {"text": _safe(chart.y_axis)}, "zeroline": False, **bounds},
            "margin": {"l": 56, "r": 16, "t": 40, "b": 52},
        },
    }


def _row_trace(chart: Chart, series: str, found: list[tuple[float, str, Mark]]) -> dict[str, Any]:
    colour, symbol, size = _SYMBOLS[series]
    estimates = [_estimate(mark) for _, _, mark in found]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": _label(chart.legend.get(series, series)),
        "x": [_finite(e.value) for e in estimates],
        "y": [round(y, 3) for y, _, _ in found],
        "error_x": _errors(estimates, colour, thick=series == "primary"),
        "marker": {"color": colour, "symbol": symbol, "size": size, "line": {"color": colour, "width": 2}},
        "hoverinfo": "text",
        "hovertext": [
            f"<b>{_label(label)}</b><br>{_safe(mark.column)}: {chart.text(_estimate(mark).value)}"
            + (f"<br>95 % interval {chart.interval(_estimate(mark))}" if chart.interval(_estimate(mark)) else "")
            for _, label, mark in found
        ],
    }


def _seed_trace(seeds: list[tuple[float, float, str]]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [_finite(s) for s, _, _ in seeds],
        "y": [round(y + 0.3, 3) for _, y, _ in seeds],
        "marker": {"color": _SYMBOLS[seeds[0][2]][0], "size": 5, "opacity": 0.55},
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _errors(estimates: list[Estimate], colour: str, *, thick: bool = False) -> dict[str, Any]:
    """Distances from the value to the ends of the interval; 0 where there is none."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [_distance(e.value, e.high) for e in estimates],
        "arrayminus": [_distance(e.low, e.value) for e in estimates],
        "color": colour,
        "thickness": 4 if thick else 2,
        "width": 0 if thick else 4,
    }


def _distance(low: float | None, high: float | None) -> float:
    if low is None or high is None or not math.isfinite(high - low):
        return 0.0
    return round(max(0.0, high - low), 6)


def _told(name: str, estimate: Estimate) -> str:
    ends = interval(estimate)
    return f"{_safe(name)} {number(estimate.value)}" + (f"<br>95 % interval {ends}" if ends else "")


def _axis_title(chart: Chart) -> str:
    if chart.ends is None:
        return _safe(chart.axis)
    return f"← {_safe(chart.ends[0])}   ·   {_safe(chart.axis)}   ·   {_safe(chart.ends[1])} →"


def _range(chart: Chart) -> dict[str, Any]:
    room = (chart.scale.high - chart.scale.low) * 0.05
    return {"range": [round(chart.scale.low - room, 6), round(chart.scale.high + room, 6)], "zeroline": False}


def _vertical(at: float, dash: str) -> dict[str, Any]:
    place = {"x0": at, "x1": at, "y0": 0, "y1": 1, "yref": "paper"}
    return {"type": "line", **place, "line": {"color": "--ink", "width": 1.5, "dash": dash}}


def _band(low: float, high: float) -> dict[str, Any]:
    place = {"x0": low, "x1": high, "y0": 0, "y1": 1, "yref": "paper", "layer": "below"}
    return {"type": "rect", **place, "fillcolor": "--band", "line": {"width": 0}}


def _line_name(at: float, name: str) -> dict[str, Any]:
    place = {"x": at, "y": 1, "yref": "paper", "yanchor": "bottom", "showarrow": False}
    return {**place, "text": _safe(name), "font": {"size": 11, "color": "--soft"}}


def _estimate(mark: Mark) -> Estimate:
    assert mark.estimate is not None
    return mark.estimate


def _finite(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None


def _label(text: str) -> str:
    """A name broken into lines; plotly reads a little HTML, so that it must not find any."""
    return "<br>".join(_safe(part) for part in textwrap.wrap(text, _LABEL) or [""])


def _safe(text: str) -> str:
    return html.escape(text, quote=False)
