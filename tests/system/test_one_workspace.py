"""A workspace that cannot be written, and one that two processes use at once."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from augment.sets import augment, contents, copied, hidden, prepare
from commands import NARROW, start
from mlflow import MlflowClient
from typer.testing import CliRunner

from medsyn import tracking
from medsyn.cli import app
from medsyn.data import Dataset
from medsyn.workspace import DATASET, SYNTHETIC, Workspace

pytestmark = pytest.mark.system

SAMPLE = ("--sample-subjects", 40, "--size", 32, "--workers", 1)


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Workspace:
    return prepare(tmp_path_factory.mktemp("ready"), empty_store)


@pytest.fixture
def read_only(ready: Workspace, tmp_path: Path) -> Iterator[Workspace]:
    """A workspace with a dataset, a generator and a set, on a disk that is mounted read-only."""
    workspace = copied(ready, tmp_path)
    augment(workspace)
    mounted = subprocess.run(["mount", "--bind", workspace.path, workspace.path], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting needs more rights than this machine gives")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", workspace.path], check=True)
        yield workspace
    finally:
        subprocess.run(["umount", "-l", workspace.path], check=True)


@pytest.mark.parametrize(
    "command",
    [
        ("ingest", *SAMPLE),
        ("train-gan", "--budget", "0.2kimg", "--threads", 1, *NARROW),
        ("augment", "--n", 8, "--threads", 1, "--workers", 1),
        ("evaluate", "--seeds", 2, "--steps", 2, "--ratio", 0.5, "--bootstrap", 100, "--threads", 1),
        ("deliver",),
    ],
    ids=lambda command: command[0],
)
def test_a_read_only_workspace(read_only: Workspace, command: tuple[object, ...]) -> None:
    typed, before = [*map(str, command), "-w", str(read_only.path)], contents(read_only.path)
    done = CliRunner().invoke(app, typed)
    told = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    if command[0] == "deliver":  # nothing waits
        assert (done.exit_code, told) == (0, [])
    else:
        assert done.exit_code == 5, done.stderr
        assert len(told) == 1
        assert "read-only" in told[0]
        assert "Traceback" not in done.stderr
    assert contents(read_only.path) == before
    subprocess.run(["mount", "-o", "remount,rw,bind", read_only.path], check=True)
    done = CliRunner().invoke(app, typed)
    assert done.exit_code == 0, done.stderr


def ended(process: subprocess.Popen[str]) -> None:
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert "Traceback" not in output
    assert "MLflow does not" not in output


def test_two_first_ingests_at_once(workspace: Workspace, tmp_path: Path) -> None:
    """They make the database of MLflow at once, too."""
    (workspace.path / "mlflow.db").unlink()
    both = [start("ingest", *SAMPLE, "--name", name, "-w", workspace.path, cwd=tmp_path) for name in ("a", "b")]
    for process in both:
        ended(process)
    made = workspace.all(DATASET)
    assert sorted(path.name.split("-")[0] for path in made) == ["a", "b"]
    assert len({path.name.split("-")[1] for path in made}) == 2
    for path in made:
        Dataset.open(path).verify()
    assert len({Dataset.open(path).digest for path in made}) == 1
    store = MlflowClient(tracking_uri=tracking.uri(workspace))
    runs = store.search_runs([store.get_experiment_by_name("medsyn").experiment_id])
    assert [r.info.status for r in runs] == ["FINISHED"] * 2
    assert sorted(r.info.run_id for r in runs) == sorted(Dataset.open(path).meta["mlflow_run"] for path in made)


def test_an_ingest_while_a_set_is_made(ready: Workspace, tmp_path: Path) -> None:
    workspace = copied(ready, tmp_path)
    shutil.rmtree(workspace.path / "synthetic")
    workspace.create()
    making = start("augment", "--n", 40, "--format", "png", "--workers", 1, "-w", workspace.path, cwd=tmp_path)
    end = time.monotonic() + 120
    while not hidden(workspace):
        assert making.poll() is None, making.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.01)
    os.killpg(making.pid, signal.SIGSTOP)  # or it might be through before the other has begun
    ended(start("ingest", *SAMPLE, "-w", workspace.path, cwd=tmp_path))
    os.killpg(making.pid, signal.SIGCONT)
    ended(making)
    Dataset.open(workspace.latest(DATASET)).verify()
    assert len(workspace.all(DATASET)) == 2
    (made,) = workspace.all(SYNTHETIC)
    assert contents(made) == contents(augment(ready, n=40, balance="match"))
    assert hidden(workspace) == []
