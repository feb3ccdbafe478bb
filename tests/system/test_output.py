"""Whole commands in processes of their own: what goes to which stream, colours, completion."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import MINI, NARROW, environment, medsyn

pytestmark = pytest.mark.system

COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-8]|4[0-8]|9[0-7])(?:;\d+)*m")
UNTOUCHED = "untouched"


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A pipeline that was asked for JSON, and where it ran; in `UNTOUCHED` beside the workspace, what it left."""
    folder = tmp_path_factory.mktemp("ran")
    (folder / "mini.yaml").write_text(MINI.replace("n: 40,", "n: 40, keep_all: true,"))
    done = medsyn("--json", "run", "mini.yaml", cwd=folder)
    shutil.copytree(folder / "medsyn-workspace", folder / UNTOUCHED)
    return folder, done


def test_a_pipeline_answers_with_one_object(ran: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    _folder, done = ran
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [stage["command"] for stage in told["stages"]] == ["ingest", "train-gan", "augment", "evaluate"]
    for stage in told["stages"]:
        assert Path(stage["path"]).is_dir()
    ingested, trained, made, judged = told["stages"]
    assert sum(sum(splits.values()) for splits in ingested["images_per_class"].values()) == ingested["images"]
    assert trained["registered"] == "models:/medsyn-xray@champion"
    assert made["n"] == 40
    assert judged["verdict"]["decision"] in ("helps", "hurts", "equivalent", "no evidence")
    assert judged["verdict"] == json.loads(Path(judged["report"]).read_text())["verdict"]
    assert "Verdict: " in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert not [line for line in done.stderr.splitlines() if "%" in line and "━" in line], "a bar without a terminal"


def test_status_of_a_real_workspace(ran: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, _ = ran
    done = medsyn("status", "--check", "--json", "--workspace", UNTOUCHED, cwd=folder)
    assert done.returncode == 0, done.stderr
    told, kinds = json.loads(done.stdout), []
    below = told["results"]
    while below:
        (item,) = below
        assert not item["stale"] + item["damaged"] + item["notes"], item
        kinds.append(item["kind"])
        below = item["derived"]
    assert kinds == ["dataset", "generator", "synthetic set", "evaluation"]
    assert told["unfinished"] == []


@pytest.mark.parametrize(
    ("command", "key"),
    [
        (("inspect",), "images"),
        (("explore", "--columns", 2, "--frames", 2), "files"),
        (("verify",), "ok"),
        (("doctor",), "packages"),
        (("models", "list"), "models"),
        (("gc", "--dry-run"), "removed"),
        (("deliver",), "delivered"),
        (("reader-study", "--n", 8), "page"),
        (("compare", "mini-001", f"{UNTOUCHED}/evaluations/mini-001"), "comparable"),
        (("augment", "-n", 8, "--keep-all"), "images_per_class"),
        (("train-gan", "--budget", "0.2kimg", *NARROW), "monitor"),
        (("evaluate", "--seeds", 2, "--steps", 2, "--ratio", 0.5, "--bootstrap", 100), "verdict"),
        (("augment", "-n", 8, "--generator", "nobody"), "error"),
        (("augment", "--nonsense"), "error"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else value,
)
def test_every_command_answers_with_one_object(
    ran: tuple[Path, subprocess.CompletedProcess[str]], command: tuple[object, ...], key: str
) -> None:
    folder, _ = ran
    done = medsyn(*command, "--json", cwd=folder)
    told = json.loads(done.stdout)
    assert key in told, done.stderr
    if key == "error":
        assert done.returncode == told["error"]["exit_code"] != 0
    else:
        assert done.returncode == 0, done.stderr


def test_status_and_gc_import_nothing_heavy(ran: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, _ = ran
    code = """
import sys
from typer.testing import CliRunner
from medsyn.cli import app
for command in (["status"], ["status", "--check"], ["gc", "--dry-run"]):
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
heavy = {"torch", "monai", "mlflow", "sklearn", "pandas", "numpy", "matplotlib", "requests"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def on_a_terminal(*arguments: object, cwd: Path, **extra: str) -> str:
    """What a command writes to a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    env = {k: v for k, v in environment(COLUMNS="80", TERM="xterm-256color").items() if k != "NO_COLOR"} | extra
    command = [sys.executable, "-m", "medsyn", *map(str, arguments)]
    process = subprocess.Popen(command, cwd=cwd, env=env, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen = b""
    while True:
        ready, _, _ = select.select([ours], [], [], 300)
        assert ready, "the command hangs"
        try:
            more = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not more:
            break
        seen += more
    assert process.wait() == 0, seen.decode()
    os.close(ours)
    return seen.decode()


def test_colours_unless_they_are_unwanted(ran: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, _ = ran
    command = ("augment", "-n", 8, "--keep-all", "--seed", 9)
    coloured = on_a_terminal(*command, cwd=folder)
    assert COLOUR.search(coloured)
    assert "generating" in coloured, "a bar on a terminal"
    plain = on_a_terminal(*command, cwd=folder, NO_COLOR="1")
    assert not COLOUR.search(plain)
    assert "synthetic set" in plain
    assert not COLOUR.search(on_a_terminal("--help", cwd=folder, NO_COLOR="1"))


def completed(folder: Path, *words: str) -> list[str]:
    """What bash offers after these words, the last of which is begun."""
    env = environment(_MEDSYN_COMPLETE="complete_bash", COMP_WORDS=" ".join(words), COMP_CWORD=str(len(words) - 1))
    code = "import sys; sys.argv[0] = 'medsyn'; from medsyn.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=env, capture_output=True, text=True)
    return done.stdout.split()


def test_a_shell_completes_commands_options_and_names(ran: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, _ = ran
    assert completed(folder, "medsyn", "tr") == ["train-gan"]
    assert completed(folder, "medsyn", "models", "") == ["list", "promote", "export"]
    assert "--balance" in completed(folder, "medsyn", "augment", "--b")
    assert "mini-001" in completed(folder, "medsyn", "train-gan", "--dataset", "")
    assert "mini-001" in completed(folder, "medsyn", "verify", "m")
    assert "synthetic/mini-001" in completed(folder, "medsyn", "gc", "synthetic/")
    assert completed(folder, "medsyn", "verify", "-w", "nowhere", "m") == []
    assert not (folder / "nowhere").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_can_be_installed(tmp_path: Path, shell: str) -> None:
    env = environment(_MEDSYN_COMPLETE=f"source_{shell}")
    code = "import sys; sys.argv[0] = 'medsyn'; from medsyn.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert "_MEDSYN_COMPLETE" in done.stdout, done.stderr


def test_a_reader_that_has_seen_enough_is_no_bug(ran: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, _ = ran
    command = f"set -o pipefail; {sys.executable} -m medsyn doctor --json | true"
    done = subprocess.run(["bash", "-c", command], cwd=folder, env=environment(), capture_output=True, text=True)
    assert "bug" not in done.stderr
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
