"""SIGINT and SIGKILL at random moments of a whole run: the next command works, nothing is half-written."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable

import pytest
from chain import PIPELINE, STAGES, journals
from commands import medsyn, snapshot, start, until

from medsyn.data import Dataset
from medsyn.synthetic import SyntheticSet
from medsyn.workspace import DATASET, EVALUATION, GENERATOR, KINDS, SYNTHETIC, Workspace, read_json

pytestmark = pytest.mark.system

MOMENTS = int(os.environ.get("MEDSYN_TEST_KILLS", "4"))


def begun(stage: int, workspace: Workspace) -> Callable[[], bool]:
    """Whether the run that is about to start has come to this of its stages."""
    if stage == 0:  # its run in MLflow is open
        earlier = set(journals(workspace))
        return lambda: bool(set(journals(workspace)) - earlier)
    before = KINDS[stage - 1]
    n = len(workspace.all(before))
    return lambda: len(workspace.all(before)) > n


def test_ended_at_random_moments_of_every_stage(workspace: Workspace) -> None:
    folder, rng = workspace.path.parent, random.Random(0)
    (folder / "chain.yaml").write_text(PIPELINE)
    command = ("run", "chain.yaml", "-w", workspace.path)
    for number in range(MOMENTS):
        stage, sent = number % len(STAGES), (signal.SIGINT, signal.SIGKILL)[(number + number // len(STAGES)) % 2]
        there, started = begun(stage, workspace), time.monotonic()
        process = start(*command, cwd=folder)
        until(process, there)
        # A share of the time that it took to come there: well before the end, however fast the machine is.
        time.sleep(rng.uniform(0, 0.2) * (time.monotonic() - started))
        os.killpg(process.pid, sent)
        output, _ = process.communicate(timeout=120)
        assert process.returncode == (130 if sent == signal.SIGINT else -signal.SIGKILL), output
        assert "Traceback" not in output, output
        check_whole(workspace)
    last = medsyn(*command, cwd=folder)
    assert last.returncode == 0, last.stdout + last.stderr
    check_whole(workspace)
    assert not {name for name in snapshot(workspace.path) if ".partial-" in name}


def check_whole(workspace: Workspace) -> None:
    """Whatever is visible can be opened and matches its digests."""
    for path in workspace.all(DATASET):
        dataset = Dataset.open(path)
        dataset.verify()
        assert len(dataset.images(dataset.rows()[:5])) == 5
    for path in workspace.all(GENERATOR):
        from medsyn import generator

        generator.load(path)
    for path in workspace.all(SYNTHETIC):
        made = SyntheticSet.open(path)
        assert len(made.images()) == len(made.manifest()) == made.card["n"]
    for path in workspace.all(EVALUATION):
        assert read_json(path / EVALUATION.main_file)["verdict"]["decision"]
        assert (path / "report.html").stat().st_size > 10_000
    for kind in KINDS:
        visible = {p for p in (workspace.path / kind.folder).iterdir() if not p.name.startswith(".")}
        assert visible == set(workspace.all(kind)), "a visible folder without its main file"
