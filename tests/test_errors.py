"""A message is one line, whatever it quotes; the page of exit codes has those that there are."""

from __future__ import annotations

import re

from docs.pages import PAGES, read
from medsyn.errors import LONGEST, DataError, ExitCode


def test_a_message_neither_runs_on_nor_steers_the_terminal() -> None:
    error = DataError("no column '\x1b[31mred\u202e'\n" + "x" * 20_000, where="labels.csv", mend="Name it.")
    line = error.line()
    assert line.isprintable()
    assert line.startswith("labels.csv: no column '?[31mred?' xxx")
    assert line.endswith("xx. Name it.")
    assert "x…x" in line
    assert len(line) < LONGEST + 50


def test_the_page_has_every_exit_code() -> None:
    section = read(PAGES / "reference" / "workspace.md").partition("## Exit codes")[2].partition("\n## ")[0]
    told = dict(re.findall(r"^\| (\d+) \| ([^|]+) \|", section, re.MULTILINE))
    words = {
        ExitCode.OK: "done",
        ExitCode.BUG: "a bug in medsyn",
        ExitCode.USAGE: "wrong option",
        ExitCode.DATA: "input that cannot be used",
        ExitCode.MISSING: "an earlier stage",
        ExitCode.ENVIRONMENT: "the machine",
        ExitCode.INTERRUPTED: "interrupted",
    }
    assert list(words) == list(ExitCode)
    assert list(told) == [str(code.value) for code in ExitCode]
    assert [code for code, word in words.items() if not told[str(code.value)].startswith(word)] == []
