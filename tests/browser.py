"""A real browser for tests of pages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any


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
