"""The comparison in a real browser: written by the command, drawn, reachable, printable, at every width."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser import Tab
from commands import medsyn
from evaluate.report_sample import make_report

pytestmark = pytest.mark.system

LONG = "an arm with a very long name indeed " * 3 + "x" * 90


@pytest.fixture
def page(evaluated: Callable[..., Path], tmp_path: Path) -> Path:
    """Three evaluations, one of another dataset, with long names."""
    first = evaluated()
    evaluated(verdict__decision="helps", verdict__control=LONG, settings={"ratios": [0.25] * 40})
    evaluated(report=make_report(dataset__digest="77" * 32, verdict__decision="hurts", verdict__quick=True))
    out = tmp_path / "page.html"
    names = [f"xray-00{k}" for k in (1, 2, 3)]
    done = medsyn("compare", *names, "--html", out, "-w", first.parents[1], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("NOT COMPARABLE")
    return out


def test_it_says_first_that_they_are_not_comparable_and_shows_all(browser: Any, page: Path) -> None:
    tab = Tab(browser, page)
    assert tab.page.locator("#doubts-title").inner_text() == "Not comparable"
    assert tab.page.locator("#doubts .severe").count() == 1
    first = tab.page.locator("#doubts-title").bounding_box()["y"]
    assert first < tab.page.locator("#verdicts").bounding_box()["y"]
    told = tab.page.locator("article.verdict .decision").all_inner_texts()
    assert [text.lower() for text in told] == ["no evidence", "helps", "hurts"]
    assert tab.page.locator("#figure-effect .still .strip .point").count() == 3
    assert tab.page.locator("#figure-kid .still .strip .point").count() == 6
    assert tab.page.locator("#facts tbody th[scope=row]").count() == tab.page.locator("#facts tbody td").count() / 3
    tab.quiet()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_barrier(browser: Any, page: Path, scheme: str) -> None:
    tab = Tab(browser, page, color_scheme=scheme)
    tab.unfold()
    tab.no_serious_barrier()
    tab.quiet()


@pytest.mark.parametrize("width", [1280, 768, 390])
def test_it_fits_every_width(browser: Any, page: Path, width: int) -> None:
    tab = Tab(browser, page, viewport={"width": width, "height": 800})
    tab.unfold()
    assert tab.page.evaluate("document.scrollingElement.scrollWidth") <= width
    tab.quiet()


def test_keyboard_and_paper(browser: Any, page: Path) -> None:
    tab = Tab(browser, page)
    tab.page.keyboard.press("Tab")
    assert tab.page.evaluate("document.activeElement.textContent") == "Skip to the verdicts"
    tab.page.keyboard.press("Enter")
    assert tab.page.evaluate("location.hash") == "#verdicts"
    assert tab.page.pdf(format="A4").startswith(b"%PDF")
    tab.quiet()
