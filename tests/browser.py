"""A real browser for tests of pages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest


class Tab:
    """A page that keeps what it complained about and asked for."""

    def __init__(self, browser: Any, file: Path, **context: Any) -> None:
        self.problems: list[str] = []
        self.requests: list[str] = []
        self.page = browser.new_page(**{"viewport": {"width": 1280, "height": 900}} | context)
        self.page.on("console", lambda message: self.problems.append(message.text))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.route(re.compile("^(?!file:|data:)"), lambda route: route.abort())
        self.page.goto(file.as_uri())

    def unfold(self) -> None:
        """Open everything that is folded."""
        self.page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")

    def quiet(self) -> None:
        """Nothing was complained about, nothing asked of a network."""
        assert self.problems == []
        assert [url for url in self.requests if not url.startswith(("file:", "data:"))] == []
        self.page.close()

    def no_serious_barrier(self, parts: dict[str, list[list[str]]] | None = None) -> None:
        """Axe finds nothing serious or critical in what is shown, or in parts of it; skips without axe."""
        axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
        found = axe.Axe().run(self.page, context=parts).response["violations"]
        serious = [v for v in found if v["impact"] in ("serious", "critical")]
        assert serious == [], [(v["id"], [n["html"][:160] for n in v["nodes"][:3]]) for v in serious]
