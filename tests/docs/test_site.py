"""The documentation as a site: built without a warning, opened in a browser, never in need of a network."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from browser import Tab
from commands import environment

import medsyn
from docs.pages import PAGES, ROOT
from medsyn import api

pytestmark = pytest.mark.system
GENERATED = ("index", "changelog", "contributing", "reference/commands", "reference/options")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole site; a broken link or anchor, or a page that is in no menu, ends the build."""
    pytest.importorskip("mkdocs", reason="the site needs the extra 'docs'")
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", "docs/mkdocs.yml"]
    done = subprocess.run([*build, "--site-dir", folder], cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_is_there(site: Path):
    for page in [*(p.relative_to(PAGES).with_suffix("") for p in PAGES.rglob("*.md")), *map(Path, GENERATED)]:
        assert (site / f"{page}.html").is_file(), page


def test_commands_and_names_of_python_are_found_by_the_search(site: Path):
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    titles = {re.sub(r"<.*?>", "", entry["title"]) for entry in index["docs"]}
    assert {"medsyn train-gan", "medsyn verify"} <= titles
    text = (site / "reference" / "python.html").read_text(encoding="utf-8")
    functions = [f for name, f in vars(api).items() if name in medsyn.__all__ and inspect.isfunction(f)]
    returned = {inspect.signature(function).return_annotation for function in functions}
    assert len(returned) > 10
    for name in ("SyntheticStream", "load_synthetic", "MedsynError", *(f.__name__ for f in functions), *returned):
        assert f'id="medsyn.{name}"' in text or re.search(rf'id="medsyn[\w.]*\.{name}"', text), name


def test_help_is_told_without_markup_of_the_terminal(site: Path):
    text = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    assert "Example:" in text
    assert not re.search(r"\[/?bold\]|\[/\]", text)


@pytest.mark.parametrize("page", ["index.html", "tutorial.html", "reference/python.html", "concepts/verdict.html"])
def test_nothing_is_fetched(browser: Any, site: Path, page: str):
    tab = Tab(browser, site / page)
    assert tab.page.evaluate("document.querySelectorAll('article h1').length") == 1
    broken = "[...document.images].filter((i) => i.complete && !i.naturalWidth).map((i) => i.src)"
    assert tab.page.evaluate(broken) == []
    tab.quiet()


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("page", ["index.html", "benchmarks.html", "reference/python.html"])
def test_a_page_fits_its_window(browser: Any, site: Path, page: str, width: int):
    tab = Tab(browser, site / page, viewport={"width": width, "height": 800})
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= width
    tab.quiet()


def test_the_search_works_from_a_folder(browser: Any, site: Path):
    tab = Tab(browser, site / "index.html")
    tab.page.fill("input.md-search__input", "near-duplicates")
    tab.page.wait_for_selector(".md-search-result__item", state="attached")
    tab.quiet()
