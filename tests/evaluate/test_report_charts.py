"""Charts and numbers of the report: the same values in the table, in the plain strips and for plotly."""

from __future__ import annotations

import json

import pytest
from evaluate.report_sample import make_report

from medsyn.evaluate.report import charts, figures, plots
from medsyn.page import numbers
from medsyn.page.scripts import as_json


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.12345, "+0.123"),
        (0.0131, "+0.013"),
        (-0.009, "−0.009"),
        (-0.0417, "−0.042"),
        (-0.0001, "0.000"),
        (0.0, "0.000"),
        (float("nan"), "–"),
        (1.5, "+1.500"),
    ],
)
def test_signed_numbers(value: float, text: str) -> None:
    assert numbers.signed(value) == text


def test_other_numbers() -> None:
    assert numbers.number(None) == "–"
    assert numbers.number(float("-inf")) == "−∞"
    assert (numbers.count(9999), numbers.count(1234567)) == ("9999", "1\u202f234\u202f567")
    assert (numbers.p_value(0.0004), numbers.p_value(0.271)) == ("< 0.001", "= 0.271")
    assert numbers.day("2026-01-03T10:05:00+01:00") == "2026-01-03 09:05 UTC"
    assert numbers.day("yesterday") == "yesterday"
    assert [numbers.duration(s) for s in (41.2, 724, 7530)] == [
        "41\u202fs",
        "12\u202fmin 4\u202fs",
        "2\u202fh 5\u202fmin",
    ]


def test_the_figure_of_the_verdict_shows_effects_margin_and_zero() -> None:
    report = make_report()
    chart = charts.effect(report)
    effects = [c.effect for c in report.contrasts if c.measure == "auroc"]
    rows = list(chart.rows)
    assert len(rows) == len(effects) == 4
    assert [row.style for row in rows] == ["primary", "", "", ""]
    assert chart.band == (-0.01, 0.01)
    for row, effect in zip(rows, effects, strict=True):
        at = [chart.scale.at(v) for v in (effect.low, effect.value, effect.high)]
        assert 0 < at[0] < at[1] < at[2] < 100
        assert (at[1] > chart.scale.at(0)) == (effect.value > 0)
        assert chart.text(row.main.estimate.value) == numbers.signed(effect.value)
    ticks = chart.scale.ticks(difference=True)
    assert {label: at for at, label in ticks}["0.00"] == pytest.approx(chart.scale.at(0.0), abs=0.01)
    assert 3 <= len(ticks) <= 8
    drawn = plots.rows(chart)
    band, zero = drawn["layout"]["shapes"]
    assert (band["x0"], band["x1"], band["layer"]) == (-0.01, 0.01, "below")
    assert zero["x0"] == zero["x1"] == 0


def test_without_a_recorded_contrast_the_figure_still_shows_the_effect() -> None:
    report = make_report(contrasts=[])
    (row,) = charts.effect(report).rows
    assert row.main.estimate == report.verdict.effect
    assert row.style == "primary"


def test_plotly_gets_the_very_numbers() -> None:
    report = make_report()
    chart = charts.effect(report)
    traces = {t["marker"]["symbol"]: t for t in plots.rows(chart)["data"] if "error_x" in t}
    effect = report.verdict.effect
    primary = traces["diamond"]
    assert primary["x"] == [pytest.approx(effect.value)]
    assert primary["error_x"]["array"] == [pytest.approx(effect.high - effect.value)]
    assert primary["error_x"]["arrayminus"] == [pytest.approx(effect.value - effect.low)]
    curve = plots.lines(charts.curve(report))
    assert [t["x"] for t in curve["data"]] == [[213, 427, 853]] * 2
    assert curve["data"][1]["y"] == [pytest.approx(v) for v in (0.916, 0.935, 0.949)]
    arms = plots.rows(charts.arms(report))
    shown = {t["marker"]["symbol"]: len(t["x"]) for t in arms["data"]}
    assert shown == {"circle-open": 9, "square": 2, "circle": 1}  # every arm on val, opened ones on test


def test_names_cannot_choose_colours_or_break_figures() -> None:
    report = make_report(["--accent", "</script><b>x", "%{x}$y$"])
    text = str(as_json([plots.rows(charts.diversity(report))]))
    assert "<" not in text
    (figure,) = json.loads(text)
    assert figure["labels"] == ["--accent", "&lt;/script&gt;&lt;b&gt;x", "%{x}$y$"]
    assert figure["data"][0]["hoverinfo"] == "text"
    assert "hovertemplate" not in figure["data"][0]


@pytest.mark.parametrize("value", [0.0, 1e-12, 0.5, -3.0])
def test_a_scale_over_one_value_still_has_ticks(value: float) -> None:
    scale = figures.Scale.over([value, None, float("nan")])
    assert scale.at(value) == pytest.approx(50, abs=0.01)
    assert 2 <= len(scale.ticks(difference=False)) <= 7
    assert scale.at(float("nan")) is None
