"""SIGKILL, SIGTERM and SIGINT at random moments of a training in a process of its own: it goes on bit for bit."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from commands import NARROW, environment, until
from gan.toy import toy_images, write_dataset
from helpers import fresh_workspace
from safetensors.numpy import load_file

from medsyn.gan.unfinished import unfinished
from medsyn.workspace import GENERATOR, Workspace, read_json

pytestmark = pytest.mark.system

KILLS = int(os.environ.get("MEDSYN_TEST_KILLS", "4"))
EACH = 600
"""Images that the training learns from for each kill, and for what comes after the last."""
BUDGET = f"{(max(4, KILLS) + 1) * EACH / 1000:g}kimg"
OFTEN = """
import sys
from medsyn.gan import session
session.SNAPSHOT_SECONDS = float(sys.argv.pop(1))
from medsyn.cli import main
main()
"""
"""The command, with snapshots so often that a short training has some."""


def train(workspace: Workspace, *options: str, snapshots: float = 0.3) -> subprocess.Popen[str]:
    given = ["train-gan", "--workspace", workspace.path, "--threads", "1", *NARROW, *options]
    return subprocess.Popen(
        [sys.executable, "-c", OFTEN, str(snapshots), *map(str, given)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def until_it_trains(process: subprocess.Popen[str], workspace: Workspace, images: int = 1) -> None:
    until(process, lambda: any(read_json(p / "state.json")["images"] >= images for p in unfinished(workspace)))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> tuple[Workspace, Path]:
    """A workspace with the toy, and what an unbroken training of 600 images a kill makes of it."""
    workspace = fresh_workspace(tmp_path_factory.mktemp("resume"), empty_store)
    write_dataset(workspace, *toy_images(20))
    process = train(workspace, "--budget", BUDGET)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return workspace, workspace.latest(GENERATOR)


def assert_same(one: Path, other: Path) -> None:
    for name in ("generator.safetensors", "training.safetensors"):
        first, second = load_file(one / name), load_file(other / name)
        assert first.keys() == second.keys()
        assert all(np.array_equal(first[key], second[key]) for key in first)
    assert (one / "metrics.jsonl").read_bytes() == (other / "metrics.jsonl").read_bytes()


def test_killed_again_and_again_the_weights_are_those_of_an_unbroken_training(whole: tuple[Workspace, Path]) -> None:
    workspace, unbroken = whole
    rng, resumed_at = random.Random(5), [0]
    process = train(workspace, "--budget", BUDGET, snapshots=0.0)
    for number in range(KILLS):
        # Each has learnt more than the one before it, and the last is not through, however fast the machine is.
        moment = int(rng.uniform(number, number + 0.8) * EACH)
        until_it_trains(process, workspace, max(moment, resumed_at[-1] + 1))
        time.sleep(rng.uniform(0, 0.1))
        process.kill()
        output, _ = process.communicate()
        assert process.returncode == -signal.SIGKILL, output
        (left,) = unfinished(workspace)
        resumed_at.append(read_json(left / "state.json")["images"])
        process = train(workspace, "--resume", snapshots=0.0)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert len(workspace.all(GENERATOR)) == 2, output
    assert not unfinished(workspace)
    assert_same(unbroken, workspace.latest(GENERATOR))


@pytest.mark.parametrize(
    ("sent", "code", "says"), [(signal.SIGTERM, 0, "SIGTERM"), (signal.SIGINT, 130, "interrupted")]
)
def test_a_signal_leaves_a_snapshot_of_that_moment(
    whole: tuple[Workspace, Path], sent: signal.Signals, code: int, says: str
) -> None:
    workspace, unbroken = whole
    before = workspace.all(GENERATOR)
    process = train(workspace, "--budget", BUDGET, snapshots=1000)
    until_it_trains(process, workspace, 0)
    time.sleep(0.5)
    process.send_signal(sent)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == code, output
    assert says in output
    assert "--resume" in output
    assert "Traceback" not in output
    (left,) = unfinished(workspace)
    assert read_json(left / "state.json")["images"] > 0
    assert workspace.all(GENERATOR) == before
    process = train(workspace, "--resume")
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert_same(unbroken, workspace.latest(GENERATOR))


def test_a_pipeline_that_sigterm_ends_is_not_done(whole: tuple[Workspace, Path], tmp_path: Path) -> None:
    workspace, _ = whole
    (tmp_path / "train.yaml").write_text(
        "name: train\nstages:\n  - train-gan: {modality: xray, budget: 40kimg, threads: 1}\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "medsyn", "run", "train.yaml", "--workspace", workspace.path],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    until_it_trains(process, workspace, 0)
    process.terminate()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
