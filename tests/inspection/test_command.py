"""`medsyn inspect` as a user types it, and from a notebook."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

import medsyn
from inspection.conftest import make_trap
from medsyn import terminal
from medsyn.cli import app
from medsyn.data import Dataset
from medsyn.errors import ExitCode
from medsyn.workspace import Workspace


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run ``medsyn inspect`` on a terminal of 80 columns without colours; exit code, output, errors."""
    for console in (terminal.out, terminal.err):
        monkeypatch.setattr(console, "_width", 80)
        monkeypatch.setattr(console, "no_color", True)

    def run(*arguments: object) -> tuple[int, str, str]:
        done = CliRunner().invoke(app, ["inspect", *map(str, arguments)])
        return done.exit_code, done.stdout, done.stderr

    return run


def test_the_newest_dataset_is_shown_in_80_columns(
    trap: tuple[Workspace, Dataset], typed: Callable[..., tuple[int, str, str]]
) -> None:
    workspace, dataset = trap
    code, out, err = typed("-w", workspace.path)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert max(len(line.rstrip()) for line in lines if not line.startswith("Page:")) <= 80
    assert "\x1b" not in out
    assert lines[0] == f"{dataset.path.name}: 120 X-ray images of 60 subjects, 2 classes, 16 × 16 grey"
    assert "none of 60 subjects, 60 split units, 120 pixel digests" in out
    assert "! View: 83 % of no_finding but 33 % of pneumonia are PA: a classifier can learn" in out
    assert (workspace.path / "inspections" / f"{dataset.path.name}.html").is_file()
    assert lines[-1].endswith(f"{dataset.path.name}.html")


def test_json_is_all_there_is_on_stdout(
    trap: tuple[Workspace, Dataset], typed: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    workspace, dataset = trap
    code, out, _ = typed(dataset.path, "--json", "-w", tmp_path / "other")
    found = json.loads(out)
    assert code == 0
    assert not (tmp_path / "other").exists()
    assert found["images"] == 120
    assert found["content_digest"] == dataset.digest
    assert {c["label"]: sum(c["images"].values()) for c in found["counts"]} == {"no_finding": 60, "pneumonia": 60}
    assert [c["confounded"] for c in found["covariates"]] == [True, False]
    code, out, _ = typed("xray", "--json", "--html", tmp_path, "-w", workspace.path)
    assert code == 0
    assert json.loads(out) == found
    assert (tmp_path / f"{dataset.path.name}.html").is_file()


def test_the_dataset_stays_as_it_was(
    trap: tuple[Workspace, Dataset], typed: Callable[..., tuple[int, str, str]]
) -> None:
    workspace, dataset = trap
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in sorted(dataset.path.iterdir())}
    assert typed("-w", workspace.path)[0] == 0
    assert {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in sorted(dataset.path.iterdir())} == before


def test_errors_are_one_line_with_the_documented_code(
    workspace: Workspace, typed: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    def fails(code: ExitCode, *arguments: object) -> str:
        found, out, err = typed(*arguments)
        assert (found, out) == (code, "")
        assert err.startswith("Error: ")
        return " ".join(err.split())

    assert "no dataset yet" in fails(ExitCode.MISSING, "-w", workspace.path)
    dataset = make_trap(workspace)
    assert "no dataset 'other'" in fails(ExitCode.MISSING, "other", "-w", workspace.path)
    assert "no dataset yet for modality 'ct'" in fails(ExitCode.MISSING, "--modality", "ct", "-w", workspace.path)
    file = tmp_path / "file"
    file.touch()
    assert "Name another --html" in fails(ExitCode.USAGE, "--html", file / "x.html", "-w", workspace.path)
    assert "Name another --html" in fails(ExitCode.ENVIRONMENT, "--html", file / "y" / "x.html", "-w", workspace.path)
    (dataset.path / "splits.parquet").unlink()
    assert "splits.parquet: is missing" in fails(ExitCode.DATA, "-w", workspace.path)


def test_from_a_notebook(trap: tuple[Workspace, Dataset], tmp_path: Path) -> None:
    workspace, dataset = trap
    found = medsyn.inspect_dataset("xray", html=tmp_path / "seen.html", workspace=workspace.path)
    assert found.html == tmp_path / "seen.html"
    assert found.html.is_file()
    assert found.report.name == dataset.path.name
    assert found.report.covariates[0].confounded
