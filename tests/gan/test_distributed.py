"""Several processes under torchrun, with Gloo."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import NARROW, until
from helpers import SMALL, fresh_workspace
from mlflow import MlflowClient
from safetensors.torch import load_file

from gan.shared_steps import steps
from gan.toy import Listener, toy_images, write_dataset
from medsyn import compute, generator, stages
from medsyn.config import AugmentOptions, TrainOptions
from medsyn.errors import EnvironmentFault, UsageError
from medsyn.gan import run
from medsyn.gan.distributed import World
from medsyn.gan.unfinished import unfinished
from medsyn.workspace import GENERATOR, Workspace, read_json

pytestmark = pytest.mark.crowded

TESTS = Path(__file__).parent.parent
LOST = "another process of this training has died or does not answer"
LONG = "40kimg"
"""So long that no test sees its end."""


def torchrun(*command: object) -> subprocess.Popen[str]:
    head = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.Popen(
        [*head, *map(str, command)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def train(workspace: Workspace, *options: str) -> subprocess.Popen[str]:
    return torchrun("-m", "medsyn", "train-gan", "--workspace", workspace.path, *NARROW, *options)


def ended(process: subprocess.Popen[str], seconds: float = 150) -> str:
    try:
        return process.communicate(timeout=seconds)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        pytest.fail("the processes hang: " + process.communicate()[0])


def pid_of_rank(process: subprocess.Popen[str], rank: int) -> int:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return next(int(c) for c in children if f"\0RANK={rank}\0" in Path(f"/proc/{c}/environ").read_text())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Workspace:
    """A workspace with the toy."""
    workspace = fresh_workspace(tmp_path_factory.mktemp("together"), empty_store)
    write_dataset(workspace, *toy_images(20))
    return workspace


@pytest.fixture
def here(place: Workspace, tmp_path: Path) -> Workspace:
    """A copy of it."""
    return Workspace(shutil.copytree(place.path, tmp_path / "workspace"))


def test_gradients_of_two_processes_are_those_of_one(tmp_path: Path) -> None:
    process = torchrun(TESTS / "gan" / "shared_steps.py", TESTS, tmp_path / "steps.safetensors")
    said = ended(process)
    assert process.returncode == 0, said
    together, alone = load_file(tmp_path / "steps.safetensors"), steps(World())
    assert together.keys() == alone.keys()
    for key, value in alone.items():
        if "weight" not in key:
            assert torch.allclose(value, together[key], rtol=1e-3, atol=1e-5), key


def test_two_processes_make_what_one_makes(here: Workspace) -> None:
    options = TrainOptions(
        budget="1.3kimg", batch=32, threads=1, seed=3, precision="float32", knobs={**SMALL, "prior_steps": 500}
    )
    alone = run(options, here)
    given = ("--budget=1.3kimg", "--batch=32", "--seed=3", "--precision=float32", "--set=prior_steps=500")
    process = train(here, *given)
    said = ended(process)
    assert process.returncode == 0, said
    assert said.count("plan: ") == said.count("✓ generator") == 1
    made = here.all(GENERATOR)
    assert len(made) == 2
    assert not unfinished(here)
    assert read_json(made[1] / "config.json")["plan"] == read_json(made[0] / "config.json")["plan"]
    runs = MlflowClient(tracking_uri=f"sqlite:///{here.path / 'mlflow.db'}")
    assert len(runs.search_runs([runs.get_experiment_by_name("medsyn").experiment_id])) == 2
    one, two = (generator.load(path).sample(np.arange(20) % 2, 0, np.arange(20)) for path in (alone.path, made[1]))
    assert np.abs(one - two).mean() < 0.01


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_all_with_one_line_and_can_be_resumed(here: Workspace, rank: int) -> None:
    process = train(here, "--budget", LONG)
    until(process, lambda: unfinished(here))
    time.sleep(1)
    os.kill(pid_of_rank(process, rank), signal.SIGKILL)
    begun = time.monotonic()
    said = ended(process)
    assert time.monotonic() - begun < 35, "torchrun had to kill the others"
    assert process.returncode != 0
    assert said.count(LOST) == 1, said
    assert "--resume" in said
    assert "bug in medsyn" not in said
    assert here.all(GENERATOR) == []
    (left,) = unfinished(here)
    state = read_json(left / "state.json")
    with pytest.raises(KeyboardInterrupt):
        run(TrainOptions(resume=True), here, Listener(interrupt_after=2))
    assert read_json(left / "state.json")["images"] == state["images"] + 2 * state["plan"]["batch"]


def test_sigterm_to_torchrun_leaves_a_snapshot_that_one_process_can_finish(here: Workspace) -> None:
    process = train(here, "--budget", "3kimg")
    until(process, lambda: unfinished(here))
    process.send_signal(signal.SIGTERM)
    said = ended(process)
    assert said.count("ended by SIGTERM") == 1, said
    assert LOST not in said
    (left,) = unfinished(here)
    assert read_json(left / "state.json")["images"] > 0
    result = run(TrainOptions(resume=True), here)
    assert result.kimg == pytest.approx(3, abs=0.032)


def test_a_batch_that_cannot_be_shared_is_told_once(here: Workspace) -> None:
    process = train(here, "--budget", "1kimg", "--batch", "9")
    said = ended(process)
    assert len(re.findall("9 images a step cannot be shared evenly by 2 processes", said)) == 1, said
    assert "Traceback" not in said.split("ChildFailedError")[0].split("torch/distributed")[0]


def test_only_training_is_shared(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"MASTER_ADDR": "localhost", "RANK": "1", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match="2 processes for 'augment'"):
        stages.run("augment", AugmentOptions(), workspace)


def test_threads_of_the_processes_of_a_node_fit_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    monkeypatch.setattr(compute, "cores", lambda: 8)
    for name in ("MASTER_ADDR", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    try:
        compute.device("cpu", 6)
        assert torch.get_num_threads() == 6
        for name, value in {"MASTER_ADDR": "host", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"}.items():
            monkeypatch.setenv(name, value)
        for asked, given in ((6, 2), (None, 2), (1, 1)):
            compute.device("cpu", asked)
            assert torch.get_num_threads() == given
    finally:
        torch.set_num_threads(before)


def test_each_process_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    environment = {"MASTER_ADDR": "host", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2", "LOCAL_RANK": "1"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert str(compute.device("auto", 1)) == str(compute.device("cuda", 1)) == "cuda:1"
    with pytest.raises(EnvironmentFault, match="cannot share"):
        compute.device("cuda:0", 1)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(EnvironmentFault, match="no device"):
        compute.device("auto", 1)
