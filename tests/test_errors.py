"""A message is one line, whatever it quotes."""

from __future__ import annotations

from medsyn.errors import LONGEST, DataError


def test_a_message_neither_runs_on_nor_steers_the_terminal() -> None:
    error = DataError("no column '\x1b[31mred\u202e'\n" + "x" * 20_000, where="labels.csv", mend="Name it.")
    line = error.line()
    assert line.isprintable()
    assert line.startswith("labels.csv: no column '?[31mred?' xxx")
    assert line.endswith("xx. Name it.")
    assert "x…x" in line
    assert len(line) < LONGEST + 50
