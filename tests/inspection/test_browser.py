"""The page in a real browser: nothing loaded, no barrier, no page that scrolls sideways."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from browser import Tab
from helpers import blobs, fresh_workspace, make_dataset

from medsyn.inspection import page, stage

pytestmark = pytest.mark.system

LONG = ["a class with a very long name indeed " * 2, "x" * 90, "no_finding"]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    """A page with long names, three classes, confounders and every kind of odd image."""
    images, labels = blobs(120, classes=3, side=24)
    images[3], images[6, :, 1:], images[9, :, 1:] = 0.4, 0.0, 1.0
    view = ["AP" if label == 1 else "PA" for label in labels]
    subjects = [f"{i // 3:032x}" for i in range(120)]
    workspace = fresh_workspace(tmp_path_factory.mktemp("browser"), empty_store)
    dataset = make_dataset(workspace, images, labels, class_names=LONG, view=view, subjects=subjects)
    report, gallery = stage.inspect(dataset.path)
    out = workspace.path / "page.html"
    page.write(report, gallery, out)
    return out


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_barrier(browser: Any, file: Path, scheme: str) -> None:
    tab = Tab(browser, file, color_scheme=scheme)
    tab.unfold()
    tab.no_serious_barrier()
    tab.quiet()


@pytest.mark.parametrize("width", [1280, 768, 390])
def test_it_fits_every_width(browser: Any, file: Path, width: int) -> None:
    tab = Tab(browser, file, viewport={"width": width, "height": 800})
    assert tab.page.evaluate("document.scrollingElement.scrollWidth") <= width
    tab.unfold()
    assert tab.page.evaluate("document.scrollingElement.scrollWidth") <= width
    assert tab.page.evaluate("[...document.images].length") > 24
    assert tab.page.evaluate("[...document.images].every((i) => i.complete && i.naturalWidth > 0)")
    tab.quiet()


@pytest.mark.parametrize("width", [1280, 900])
def test_the_counts_need_no_scrolling(browser: Any, file: Path, width: int) -> None:
    tab = Tab(browser, file, viewport={"width": width, "height": 800})
    table = tab.page.locator("#counts .scroll").first
    assert table.evaluate("e => e.scrollWidth - e.clientWidth") == 0
    tab.quiet()


def test_charts_have_their_tables_and_print_unfolds_them(browser: Any, file: Path) -> None:
    tab = Tab(browser, file)
    assert tab.page.locator(".histogram").count() == tab.page.locator("details.numbers table").count() == 1
    assert not tab.page.locator("details.numbers table").is_visible()
    tab.page.emulate_media(media="print")
    assert tab.page.locator("details.numbers table").is_visible()
    assert tab.page.pdf(format="A4").startswith(b"%PDF")
    tab.quiet()


def test_the_keyboard_reaches_findings_and_tables(browser: Any, file: Path) -> None:
    tab = Tab(browser, file)
    tab.page.keyboard.press("Tab")
    assert tab.page.evaluate("document.activeElement.textContent") == "Skip to the findings"
    tab.page.keyboard.press("Enter")
    assert tab.page.evaluate("location.hash") == "#findings"
    tab.page.locator("details.numbers summary").focus()
    tab.page.keyboard.press("Enter")
    assert tab.page.locator("details.numbers table").is_visible()
    tab.quiet()
