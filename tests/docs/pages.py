"""README and the pages of the documentation, and the snippets in them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "pages"
ALL = [*(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG")), *sorted(PAGES.rglob("*.md"))]
NOT_RUN = re.compile(r"<!-- not run: .{10,} -->\n+$")
"""What stands before a block that no test can run: why not."""


class Block(NamedTuple):
    """A fenced block of a page."""

    page: Path
    language: str
    text: str
    not_run: bool

    @property
    def lines(self) -> list[str]:
        """Its commands, those of several lines as one."""
        return self.text.replace("\\\n", " ").splitlines()


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def name(page: Path) -> str:
    return str(page.relative_to(PAGES if page.is_relative_to(PAGES) else ROOT))


def blocks(page: Path, *languages: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found, text = [], read(page)
    for match in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        if not languages or match[1] in languages:
            found.append(Block(page, match[1], match[2], bool(NOT_RUN.search(text[: match.start()]))))
    return found


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", read(page), flags=re.DOTALL | re.MULTILINE)


def arguments(line: str) -> list[list[str]]:
    """What follows `medsyn` in a line of shell, for each time that it is called, by torchrun and in `$(...)` too."""
    while inner := re.search(r"\$\(([^()]*)\)", line):
        before, after = line[: inner.start()], line[inner.end() :]
        line = f"{inner[1]}; {before}$RESULT{after}"
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;")
    lexer.whitespace_split = True
    calls: list[list[str]] = []
    here: list[str] = []
    for token in [*lexer, ";"]:
        if not set(token) <= set("|&;"):
            here.append(token)
            continue
        words = [i for i, word in enumerate(here) if word == "medsyn"]
        if words and (here[words[0] - 1] == "-m" or all("=" in word for word in here[: words[0]])):
            calls.append([word for word in here[words[0] + 1 :] if word not in (">", "2>")])
        here = []
    return calls
