"""JSON answers, quiet and verbose commands, JSON log lines."""

from __future__ import annotations

import json
import logging
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from helpers import make_dataset
from typer.testing import CliRunner

from medsyn import busy, manner, terminal
from medsyn.cli import app
from medsyn.errors import ExitCode
from medsyn.logs import FACTS, SPOKEN, JsonLines, LogFile
from medsyn.workspace import Workspace


@dataclass
class Told:
    path: Path
    numbers: tuple[float, ...]


def test_everything_becomes_plain_json() -> None:
    value = {
        1: Told(Path("a/b"), (1.5, math.nan, -math.inf)),
        "set": {"b", "a"},
        "numpy": [np.float32(0.5), np.int64(3), np.array([[1, 2]]), np.bool_(True)],
        "code": ExitCode.DATA,
        "none": None,
    }
    assert manner.plain(value) == {
        "1": {"path": "a/b", "numbers": [1.5, None, None]},
        "set": ["a", "b"],
        "numpy": [0.5, 3, [[1, 2]], True],
        "code": 3,
        "none": None,
    }


def test_a_file_name_that_is_no_text_is_still_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(manner, "current", manner.Manner(as_json=True))
    manner.answer({"path": Path("b\udce4r.dcm"), "label": "Lungenödem 肺"})
    out = capsys.readouterr().out
    assert "Lungenödem 肺" in out
    assert json.loads(out)["path"] == "b\udce4r.dcm"
    manner.answer({"another": 1})
    assert capsys.readouterr().out == ""


def logged(text: str = "a line", **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("medsyn.x", logging.INFO, __file__, 1, text, None, None)
    vars(made).update(extra)
    return made


def test_a_log_line_is_one_object() -> None:
    line = JsonLines().format(logged("two\nlines \x1b[1m", **{FACTS: {"task": "reading", "seconds": 1.5}}))
    assert "\n" not in line
    told = json.loads(line)
    assert told["message"] == "two\nlines \x1b[1m"
    assert (told["level"], told["logger"], told["task"], told["seconds"]) == ("info", "medsyn.x", "reading", 1.5)
    assert told["time"].endswith("+00:00")


def test_what_is_said_to_the_user_is_in_no_file(tmp_path: Path) -> None:
    for as_json in (False, True):
        handler = LogFile(tmp_path, as_json=as_json)
        handler.emit(logged("started"))
        handler.emit(logged("fetched to /home/somebody", **{SPOKEN: True}))
    lines = (tmp_path / "medsyn.log").read_text().splitlines()
    assert len(lines) == 2
    assert lines[0].endswith("INFO medsyn.x started")
    assert json.loads(lines[1])["message"] == "started"


@pytest.fixture
def made(workspace: Workspace) -> Workspace:
    rng = np.random.default_rng(0)
    make_dataset(workspace, rng.random((40, 1, 16, 16), np.float32), np.arange(40) % 2)
    return workspace


def typed(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [*map(str, arguments)])
    return done.exit_code, done.stdout, done.stderr


INGEST = ("ingest", "--sample-subjects", 30, "--size", 32, "--workers", 1)


def test_options_stand_before_or_after_the_command(workspace: Workspace) -> None:
    for command in (("--json", *INGEST), (*INGEST, "--json")):
        code, out, err = typed(*command, "-w", workspace.path)
        assert code == 0, err
        told = json.loads(out)
        assert told["command"] == "ingest"
        assert (workspace.path / "datasets" / Path(told["path"]).name / "dataset.json").is_file()
        assert told["images_per_class"]["nodule"]["train"] > 0
        assert "✓" in err  # what people read is there all the same, on the other stream


def test_quiet_says_nothing_when_all_is_well(workspace: Workspace) -> None:
    assert typed("--quiet", *INGEST, "-w", workspace.path)[:2] == (0, "")
    code, out, err = typed(*INGEST, "-q", "-w", workspace.path)
    assert (code, out) == (0, "")
    assert not [line for line in err.splitlines() if not line.startswith("!")], err
    code, out, _ = typed("-q", "status", "-w", workspace.path)
    assert code == 0
    assert "xray" in out, "what was asked for is told all the same"
    code, out, err = typed("-q", "train-gan", "--dataset", "nobody", "-w", workspace.path)
    assert (code, out) == (4, "")
    assert err.startswith("Error: ")


def test_verbose_tells_what_takes_how_long(workspace: Workspace) -> None:
    code, _, err = typed(*INGEST, "--verbose", "-w", workspace.path)
    assert code == 0
    assert "medsyn: ingest started" in err
    assert "medsyn: Reading images: " in err
    _, _, err = typed(*INGEST, "-w", workspace.path)
    assert "medsyn: ingest started" not in err, "a later command is not verbose"


@pytest.mark.parametrize("by", ["option", "environment"])
def test_json_log_lines(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    if by == "environment":
        monkeypatch.setenv("MEDSYN_LOG", "json")
    option = ("--log-format", "json") if by == "option" else ()
    code, out, err = typed(*INGEST, *option, "-w", workspace.path)
    assert (code, out) == (0, "")
    lines = [json.loads(line) for line in err.splitlines()]
    assert {"time", "level", "logger", "message"} <= set.intersection(*map(set, lines))
    tasks = {line["task"]: line["seconds"] for line in lines if "task" in line}
    assert "Reading images" in tasks
    kept = [json.loads(line) for line in (workspace.logs / "medsyn.log").read_text().splitlines()]
    assert next(line["message"] for line in kept) == "ingest started"
    code, out, err = typed(*option, "train-gan", "--dataset", "nobody", "-w", workspace.path)
    assert code == 4
    (line,) = [line for line in map(json.loads, err.splitlines()) if line["level"] == "error"]
    assert line["error"]["kind"] == "MissingError"
    assert line["error"]["exit_code"] == 4


def test_an_error_is_an_answer_too(made: Workspace) -> None:
    code, out, err = typed("--json", "train-gan", "--dataset", "nobody", "-w", made.path)
    assert code == 4
    told = json.loads(out)["error"]
    assert told["kind"] == "MissingError"
    assert told["what"] == "no dataset 'nobody'"
    assert "There are: xray-001" in told["mend"]
    assert told["exit_code"] == 4
    assert err.startswith("Error: ")


def test_work_without_a_bar_is_seen_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(busy.Busy, "AFTER", 0.05)
    monkeypatch.setattr(terminal.err, "_force_terminal", True)
    monkeypatch.setattr(terminal.err, "is_interactive", True)
    with terminal.at_work():
        time.sleep(0.5)
        with terminal.Terminal().task("counting", 10) as task:
            time.sleep(0.5)
            task.update(5)
        time.sleep(0.5)
    seen = capsys.readouterr().err
    assert seen.count("at work") >= 2
    assert seen.index("at work") < seen.index("counting") < seen.rindex("at work")
    assert seen.endswith(("\x1b[?25h", "\x1b[2K", "\x1b[1A\x1b[2K")), repr(seen[-40:])
    monkeypatch.setattr(manner, "current", manner.Manner(quiet=True))
    with terminal.at_work(), terminal.Terminal().task("counting", 10):
        time.sleep(0.3)
    assert capsys.readouterr().err == ""


def test_the_answer_goes_where_it_belongs_while_something_moves(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(busy.Busy, "AFTER", 0.05)
    monkeypatch.setattr(terminal.err, "_force_terminal", True)
    monkeypatch.setattr(terminal.err, "is_interactive", True)
    monkeypatch.setattr(manner, "current", manner.Manner(as_json=True))
    with terminal.at_work():
        time.sleep(0.4)
        manner.answer({"a": 1})
        time.sleep(0.4)
        terminal.out.print("a table")
        time.sleep(0.4)
    seen = capsys.readouterr()
    assert seen.out == '{\n  "a": 1\n}\na table\n'
    assert seen.err.count("\x1b[?25h") == 3, "it gave way twice, and ended"


def test_nothing_moves_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(busy.Busy, "AFTER", 0.05)
    assert not sys.stderr.isatty()
    with terminal.at_work():
        time.sleep(0.3)
        with terminal.Terminal().task("counting", 10) as task:
            task.update(5)
            time.sleep(0.3)
    assert capsys.readouterr().err == ""
