"""A whole reading in a real browser: by keyboard, with a slip, over a reload, to a file that is scored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from browser import Tab
from commands import medsyn

from medsyn.readers.study import Study
from medsyn.workspace import EVALUATION, Workspace

pytestmark = pytest.mark.system

OTHER = {"real": "synthetic", "synthetic": "real"}
KEY = {"real": "r", "synthetic": "s"}


def page_of(lab: Workspace, study: Study) -> Path:
    return lab.private / "reader-studies" / study.study / "read.html"


def begin(tab: Tab, reader: str = "R1") -> None:
    tab.page.fill("#reader", reader)
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_selector("#reading:not([hidden])")


def place(tab: Tab) -> str:
    return tab.page.locator("#place").inner_text()


def press(tab: Tab, study: Study, at: int, *, right: bool = True) -> None:
    case = study.cases[at]
    assert place(tab) == f"Case {at + 1} of {study.n}"
    tab.page.keyboard.press(KEY[case.truth if right else OTHER[case.truth]])
    tab.page.keyboard.press(str(study.classes.index(case.label) + 1))


def download(tab: Tab, folder: Path, button: str = "#save") -> Path:
    with tab.page.expect_download() as saved:
        tab.page.click(button)
    file = folder / saved.value.suggested_filename
    saved.value.save_as(file)
    return file


def test_a_reading_by_keyboard_is_scored(browser: Any, lab: Workspace, study: Study, tmp_path: Path) -> None:
    tab = Tab(browser, page_of(lab, study))
    begin(tab, "R 1")
    for at in range(5):
        press(tab, study, at, right=at != 2)
    # A slip: the wrong call and the wrong class of the sixth, undone one after the other.
    press(tab, study, 5, right=False)
    assert place(tab) == "Case 7 of 16"
    tab.page.keyboard.press("u")
    assert place(tab) == "Case 6 of 16"
    assert tab.page.locator("#step-label.active").count() == 1
    tab.page.keyboard.press("Backspace")
    assert tab.page.locator("#step-call.active").count() == 1
    # A class before the call, and a shortcut of the browser, answer nothing.
    tab.page.keyboard.press("1")
    tab.page.keyboard.press("Alt+r")
    assert tab.page.locator("#step-call.active").count() == 1
    # Reloaded half-way: case, slip and time are kept.
    tab.page.wait_for_timeout(400)
    tab.page.keyboard.press(KEY[study.cases[5].truth])
    tab.page.reload()
    assert place(tab) == "Case 6 of 16"
    assert tab.page.locator("#step-label.active").count() == 1
    tab.page.keyboard.press(str(study.classes.index(study.cases[5].label) + 1))
    for at in range(6, 16):
        press(tab, study, at)
    tab.page.wait_for_selector("#end:not([hidden])")
    file = download(tab, tmp_path)
    assert file.name == f"answers-{study.study[:6]}-R_1.json"
    saved = json.loads(file.read_text())
    assert [a["undone"] for a in saved["answers"]] == [0] * 5 + [2] + [0] * 10
    assert saved["answers"][5]["call_ms"] >= 400
    assert all(a["call_ms"] < 60_000 for a in saved["answers"])
    tab.quiet()

    done = medsyn("reader-study", "--score", file, "--json", "-w", lab.path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["readers"][0]["reader"] == "R 1"
    assert (found["readers"][0]["told"]["k"], found["readers"][0]["told"]["n"]) == (15, 16)
    assert found["readers"][0]["named_real"]["k"] == found["readers"][0]["named_synthetic"]["k"] == 8
    assert found["evaluation"] == "xray-001"


def test_the_report_shows_what_was_scored(browser: Any, lab: Workspace, study: Study, tmp_path: Path) -> None:
    files = []
    for reader in ("R1", "R2"):
        tab = Tab(browser, page_of(lab, study))
        begin(tab, reader)
        for at in range(16):
            press(tab, study, at, right=at % 5 != 0 or reader == "R1")
        files.append(download(tab, tmp_path))
        tab.quiet()
    done = medsyn("reader-study", "--score", *files, "-w", lab.path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2 readers told real from synthetic rightly in 88 % of 16 cases" in " ".join(done.stdout.split())
    tab = Tab(browser, lab.latest(EVALUATION) / "report.html")
    tab.page.wait_for_selector("html.plotted", timeout=60_000)
    section = tab.page.locator("#readers")
    assert "2 readers told real from synthetic rightly" in section.inner_text()
    assert section.locator(".still:visible").count() == 1
    assert section.locator(".still .point").count() == 3
    assert tab.page.evaluate("document.scrollingElement.scrollWidth") <= 1280
    tab.quiet()


def test_buttons_do_what_keys_do_and_a_part_can_be_saved(
    browser: Any, lab: Workspace, study: Study, tmp_path: Path
) -> None:
    tab = Tab(browser, page_of(lab, study))
    begin(tab)
    assert tab.page.locator("#partial").is_disabled()
    for case in study.cases[:3]:
        tab.page.click(f'[data-call="{case.truth}"]')
        tab.page.click(f'[data-label="{study.classes.index(case.label)}"]')
    tab.page.click("#undo")
    tab.page.click("#undo")
    saved = json.loads(download(tab, tmp_path, "#partial").read_text())
    assert [a["case"] for a in saved["answers"]] == [c.case for c in study.cases[:2]]
    # Going on by Tab and Enter alone.
    tab.page.focus('[data-call="real"]')
    tab.page.keyboard.press("Enter")
    assert tab.page.evaluate("document.activeElement.dataset.label") == "0"
    tab.page.keyboard.press("Enter")
    assert tab.page.evaluate("document.activeElement.dataset.call") == "real"
    assert place(tab) == "Case 4 of 16"
    tab.page.uncheck("#shortcuts")
    tab.page.keyboard.press("r")
    assert tab.page.locator("#step-call.active").count() == 1
    tab.quiet()


def test_the_view_changes_and_comes_back(browser: Any, lab: Workspace, study: Study) -> None:
    tab = Tab(browser, page_of(lab, study))
    begin(tab)
    image = tab.page.locator("#image")
    width = image.bounding_box()["width"]
    for key in ("+", "ArrowUp", "ArrowRight", "ArrowRight"):
        tab.page.keyboard.press(key)
    assert image.bounding_box()["width"] == pytest.approx(1.5 * width, rel=0.02)
    assert image.evaluate("e => e.style.filter") == "brightness(1.1) contrast(1.2)"
    tab.page.keyboard.press("0")
    assert image.bounding_box()["width"] == pytest.approx(width)
    assert image.evaluate("e => e.style.filter") == "brightness(1) contrast(1)"
    tab.page.focus("#contrast")
    tab.page.keyboard.press("ArrowRight")
    assert image.evaluate("e => e.style.filter") == "brightness(1) contrast(1.1)"
    press(tab, study, 0)
    assert image.evaluate("e => e.style.filter") == "brightness(1) contrast(1)"
    tab.quiet()


def test_the_clock_stands_still_while_nobody_looks(browser: Any, lab: Workspace, study: Study, tmp_path: Path) -> None:
    tab = Tab(browser, page_of(lab, study))
    begin(tab)
    hide = """(hidden) => {
        Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    tab.page.wait_for_function("document.getElementById('image').complete")
    tab.page.evaluate(hide, True)
    tab.page.wait_for_timeout(1500)
    before = tab.page.evaluate("JSON.parse(Object.values(localStorage)[0]).now.call_ms")
    tab.page.evaluate(hide, False)
    tab.page.evaluate(hide, True)
    after = tab.page.evaluate("JSON.parse(Object.values(localStorage)[0]).now.call_ms")
    assert after - before < 1000
    tab.quiet()


def test_another_reader_begins_anew(browser: Any, lab: Workspace, study: Study) -> None:
    tab = Tab(browser, page_of(lab, study))
    begin(tab)
    for at in range(16):
        press(tab, study, at)
    tab.page.wait_for_selector("#end:not([hidden])")
    tab.page.once("dialog", lambda dialog: dialog.dismiss())
    tab.page.click("#next")
    assert tab.page.locator("#end").is_visible()
    tab.page.once("dialog", lambda dialog: dialog.accept())
    tab.page.click("#next")
    begin(tab, "R2")
    assert place(tab) == "Case 1 of 16"
    tab.quiet()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_barrier(browser: Any, lab: Workspace, study: Study, scheme: str) -> None:
    tab = Tab(browser, page_of(lab, study), color_scheme=scheme)
    tab.no_serious_barrier()
    begin(tab)
    tab.no_serious_barrier()
    tab.page.keyboard.press("r")
    tab.no_serious_barrier()
    tab.page.keyboard.press("1")
    for at in range(1, 16):
        press(tab, study, at)
    tab.page.wait_for_selector("#end:not([hidden])")
    tab.no_serious_barrier()
    tab.quiet()


@pytest.mark.parametrize("width", [1280, 768, 390])
def test_it_fits_every_width(browser: Any, lab: Workspace, study: Study, width: int) -> None:
    tab = Tab(browser, page_of(lab, study), viewport={"width": width, "height": 800})
    assert tab.page.evaluate("document.scrollingElement.scrollWidth") <= width
    begin(tab, "a reader with a long code of forty letters")
    assert tab.page.evaluate("document.scrollingElement.scrollWidth") <= width
    if width == 1280:  # both questions are in view without scrolling
        assert tab.page.locator("#step-label").bounding_box()["y"] < 700
    tab.quiet()
