"""The commands of docs/pages/how-to/reader-study.md, run as they stand there, on fewer cases."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import blobs
from typer.testing import CliRunner

from medsyn.cli import app
from medsyn.images import save_png, to_pixels
from medsyn.workspace import Workspace

PAGE = (Path(__file__).parents[2] / "docs" / "pages" / "how-to" / "reader-study.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line, comments=True)[1:]
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("medsyn ")
]


def test_there_are_commands() -> None:
    assert len(COMMANDS) == 4
    assert COMMANDS[-1][:2] == ["reader-study", "--score"]


def test_they_run(lab: Workspace, save: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, file in zip(COMMANDS[-1][2:], (save("R1"), save("R2")), strict=True):
        shutil.copy(file, tmp_path / name)
    images, labels = blobs(16, side=24, seed=3)
    (tmp_path / "made-elsewhere").mkdir()
    rows = ["file,label"]
    for i, (pixels, label) in enumerate(zip(to_pixels(images), labels, strict=True)):
        save_png(pixels[0], tmp_path / "made-elsewhere" / f"{i}.png")
        rows.append(f"{i}.png,{('normal', '<script>alert(1)</script>')[label]}")
    (tmp_path / "made-elsewhere" / "labels.csv").write_text("\n".join(rows) + "\n")
    for command in COMMANDS:
        fewer = ["16" if word == "60" else word for word in command]
        number = [] if "--score" in command or "--n" in command else ["--n", "16"]
        done = CliRunner().invoke(app, [*fewer, *number, "-w", str(lab.path)])
        assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["answers.json"], "are answers to be scored?"),
        (["--score", "--n", "8", "answers.json"], "makes a new study"),
        (["--evaluation", "xray-001"], "goes with --score"),
        (["--score"], "names no file of answers"),
        (["--n", "7"], "multiple of 2"),
    ],
)
def test_options_that_contradict_each_other(
    lab: Workspace, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    done = CliRunner().invoke(app, ["reader-study", *arguments, "-w", str(lab.path)])
    assert done.exit_code == 2
    assert words in " ".join((done.output + capsys.readouterr().err).split())
