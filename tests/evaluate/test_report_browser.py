"""The report in a real browser: it draws, loads nothing, reads well, prints, and says what report.json says."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import browser as browser_tab
import pytest
from evaluate.report_pictures import make_galleries
from evaluate.report_sample import make_binary, make_report

from medsyn.evaluate.report import write
from medsyn.evaluate.results import Report

pytestmark = pytest.mark.system

REPORTS = {
    "three classes": lambda: make_report(),
    "two classes": lambda: make_binary(),
    "everything found": lambda: make_report(
        verdict__decision="hurts", copying__found=True, collapse__found=True, leakage__found=True, labels__found=True
    ),
    "helps": lambda: make_report(verdict__decision="helps"),
    "equivalent": lambda: make_report(verdict__decision="equivalent"),
}
LONG = ["a class with a very long name indeed " * 2, "x" * 90, "<b>bold</b></script>"]


class Tab(browser_tab.Tab):
    """A report, written and opened."""

    def __init__(self, browser: Any, report: Report, folder: Path, **context: Any) -> None:
        (folder / "report.json").write_text(report.model_dump_json(), encoding="utf-8")
        super().__init__(browser, write(report, make_galleries(report.dataset.classes), folder), **context)

    def drawn(self) -> Tab:
        self.page.wait_for_selector("html.plotted", timeout=60_000)
        return self


@pytest.mark.parametrize("name", REPORTS)
def test_every_figure_is_drawn_and_nothing_is_loaded(browser: Any, tmp_path: Path, name: str) -> None:
    tab = Tab(browser, REPORTS[name](), tmp_path).drawn()
    saved = json.loads((tmp_path / "report.json").read_text())["verdict"]
    assert tab.page.locator("#verdict-sentence").inner_text() == saved["sentence"]
    assert tab.page.locator(".decision").text_content() == saved["decision"]
    assert tab.page.locator("#quick").count() == saved["quick"]
    figures = json.loads(tab.page.locator("#figures").text_content())
    assert len(figures) == (11 if name != "two classes" else 9)
    assert tab.page.locator(".live .main-svg").count() >= len(figures)
    assert tab.page.locator(".live:visible").count() == len(figures)
    assert tab.page.locator(".still:visible").count() == 0
    assert all(tab.page.evaluate("[...document.images].map(i => i.complete && i.naturalWidth > 0)"))
    tab.quiet()


def test_tables_hold_the_numbers_of_the_plots(browser: Any, tmp_path: Path) -> None:
    tab = Tab(browser, make_report(), tmp_path).drawn()
    script = """() => [...document.querySelectorAll(".js-plotly-plot")].map((plot) => ({
        id: plot.id.replace("plot-", ""),
        traces: plot.data.map((t) => ({x: [...t.x], y: [...t.y], error: t.error_x || t.error_y || null})),
        table: plot.closest("figure").querySelector("table").innerText,
    }))"""
    tab.unfold()
    plots = tab.page.evaluate(script)
    assert len(plots) == 11
    for plot in plots:
        told = {
            float(n.replace("−", "-").replace("\u202f", ""))
            for n in re.findall(r"[+−]?\d[\d\u202f]*(?:\.\d+)?", plot["table"])
        }
        digits = {"kid": 4, "diversity": 2}.get(plot["id"], 3)
        lines = plot["id"] in ("calibration", "curve")
        for trace in plot["traces"]:
            values = trace["y"] if lines else trace["x"]
            ends = [v + e for v, e in zip(values, trace["error"]["array"], strict=True) if e] if trace["error"] else []
            for value in [*values, *ends]:
                assert min(abs(value - t) for t in told) <= 0.5001 * 10**-digits, (plot["id"], value)
    tab.quiet()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", REPORTS)
def test_no_serious_barrier(browser: Any, tmp_path: Path, scheme: str, name: str) -> None:
    tab = Tab(browser, REPORTS[name](), tmp_path, color_scheme=scheme).drawn()
    tab.unfold()
    whole = name in ("three classes", "two classes")  # the others differ in the verdict and the findings only
    tab.no_serious_barrier(None if whole else {"include": [["#verdict"], [".finding"]]})
    tab.quiet()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_long_names_fit_every_width(browser: Any, tmp_path: Path, scheme: str) -> None:
    tab = Tab(browser, make_report(LONG, copying__found=True), tmp_path, color_scheme=scheme).drawn()
    for width in (1280, 768, 390):
        tab.page.set_viewport_size({"width": width, "height": 800})
        tab.page.wait_for_timeout(400)  # plotly follows a changed width after a pause
        assert tab.page.evaluate("document.scrollingElement.scrollWidth") <= width
        sizes = tab.page.evaluate("[...document.images].map(i => [i.naturalWidth, i.getBoundingClientRect().width])")
        assert len(sizes) == 88
        assert all(natural > 0 and css >= 96 for natural, css in sizes)
    assert tab.page.locator("section b", has_text="bold").count() == 0
    tab.unfold()
    assert tab.page.evaluate("document.scrollingElement.scrollWidth") <= 390
    tab.quiet()


def test_plots_follow_the_colour_scheme(browser: Any, tmp_path: Path) -> None:
    tab = Tab(browser, make_report(), tmp_path, color_scheme="light").drawn()
    paper = "getComputedStyle(document.querySelector('#plot-effect .main-svg')).backgroundColor"
    light = tab.page.evaluate(paper)
    tab.page.emulate_media(color_scheme="dark")
    deadline = time.monotonic() + 30
    while tab.page.evaluate(paper) == light and time.monotonic() < deadline:
        tab.page.wait_for_timeout(50)
    card = tab.page.evaluate("getComputedStyle(document.querySelector('section#utility')).backgroundColor")
    assert tab.page.evaluate(paper) == card
    tab.quiet()


def test_on_paper_stand_plain_charts_and_every_table(browser: Any, tmp_path: Path) -> None:
    tab = Tab(browser, make_report(), tmp_path, color_scheme="dark").drawn()
    folded = tab.page.locator("#primary-difference")
    assert not folded.is_visible()
    pdf = tab.page.pdf(format="A4")
    assert pdf.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) > 5
    tab.page.emulate_media(media="print")
    assert folded.is_visible()
    assert tab.page.locator(".live:visible").count() == 0
    assert tab.page.locator(".still:visible").count() == 9
    assert tab.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    tab.quiet()


def test_without_scripts_the_plain_charts_and_tables_serve(browser: Any, tmp_path: Path) -> None:
    tab = Tab(browser, make_report(), tmp_path, java_script_enabled=False)
    assert tab.page.locator(".live:visible").count() == 0
    assert tab.page.locator(".still:visible").count() == 9
    assert tab.page.locator("#figure-effect .still .point").count() == 4
    tab.page.locator("#figure-curve summary").click()
    assert tab.page.locator("#figure-curve table").is_visible()
    tab.quiet()


def test_the_keyboard_reaches_the_verdict_and_the_tables(browser: Any, tmp_path: Path) -> None:
    tab = Tab(browser, make_report(), tmp_path).drawn()
    tab.page.keyboard.press("Tab")
    assert tab.page.evaluate("document.activeElement.textContent") == "Skip to the verdict"
    tab.page.keyboard.press("Enter")
    assert tab.page.evaluate("location.hash") == "#verdict"
    tab.page.locator("#figure-effect summary").focus()
    tab.page.keyboard.press("Enter")
    assert tab.page.locator("#figure-effect table").is_visible()
    tab.quiet()
