"""`medsyn models list` and `promote`: the workspace's generators beside MLflow's registry."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from gan.toy import toy, trained  # noqa: F401
from helpers import SMALL
from mlflow import MlflowClient
from typer.testing import CliRunner

import medsyn
from medsyn import terminal, tracking
from medsyn.cli import app
from medsyn.config import TrainOptions
from medsyn.errors import EnvironmentFault, MissingError
from medsyn.gan import TrainResult, run
from medsyn.operations.models import models, promote
from medsyn.workspace import GENERATOR, Workspace, read_json
from operations import shelves

NAME = "medsyn-xray"


def champion(workspace: Workspace) -> str:
    client = MlflowClient(tracking_uri=tracking.uri(workspace))
    return str(client.get_model_version_by_alias(NAME, "champion").tags["medsyn.generator"])


@pytest.fixture
def two(workspace: Workspace, toy: Path) -> Workspace:  # noqa: F811
    """Two trainings, of which the first is champion, whichever was the better one."""
    for seed in (0, 1):
        run(TrainOptions(budget="0.2kimg", threads=1, knobs=SMALL, seed=seed), workspace)
    MlflowClient(tracking_uri=tracking.uri(workspace)).set_registered_model_alias(NAME, "champion", "1")
    return workspace


def test_generators_with_their_figures_and_the_champion(two: Workspace) -> None:
    listed = models(two)
    assert [m.generator for m in listed.models] == ["toy-002", "toy-001"]
    assert [m.version for m in listed.models] == [f"{NAME}/2", f"{NAME}/1"]
    assert [m.champion for m in listed.models] == [False, True]
    assert listed.registry == tracking.shown_uri(two)
    for model in listed.models:
        assert model.path is not None
        config = read_json(model.path / "config.json")
        assert (model.kid, model.coverage) == (config["monitor"]["kid"], config["monitor"]["coverage"])
        assert (model.dataset, model.digest) == ("toy-001", config["digest"])
    assert not models(two, "ct").models


def test_another_one_is_made_champion_and_back(two: Workspace) -> None:
    done = promote(two, "toy-002")
    assert (done.version, done.before, done.registered) == (f"{NAME}/2", f"{NAME}/1", False)
    assert done.uri == f"models:/{NAME}@champion"
    assert champion(two) == "toy-002"
    assert [m.champion for m in models(two).models] == [True, False]
    again = promote(two, f"{NAME}/1")
    assert (again.generator, again.before) == ("toy-001", f"{NAME}/2")
    assert promote(two, "toy-001").before is None
    assert champion(two) == "toy-001"


def test_one_that_only_the_registry_has(two: Workspace) -> None:
    shutil.rmtree(two.path / "generators" / "toy-001")
    here, gone = models(two).models
    assert (here.generator, here.champion) == ("toy-002", False)
    assert (gone.generator, gone.path, gone.version, gone.champion) == ("toy-001", None, f"{NAME}/1", True)
    assert gone.kid is not None
    with pytest.raises(MissingError, match=rf"no generator 'toy-001'.*There are: toy-002.*{NAME}/2, {NAME}/1"):
        promote(two, "toy-001")


def test_one_that_was_trained_without_tracking_is_registered_first(workspace: Workspace, toy: Path) -> None:  # noqa: F811
    with tracking.off():
        made = run(TrainOptions(budget="0.2kimg", threads=1, knobs=SMALL), workspace)
    assert made.registered is None
    assert models(workspace).models[0].version is None
    done = promote(workspace, made.name)
    assert (done.version, done.before, done.registered) == (f"{NAME}/1", None, True)
    assert champion(workspace) == made.name
    version = MlflowClient(tracking_uri=tracking.uri(workspace)).get_model_version_by_alias(NAME, "champion")
    held = Path(version.source.removeprefix("file://")).rglob("generator.safetensors")
    assert next(held).read_bytes() == (made.path / "generator.safetensors").read_bytes()


def test_a_registry_that_is_not_there_is_not_made(workspace: Workspace) -> None:
    (workspace.path / "mlflow.db").unlink()
    shelves.generator(workspace, shelves.dataset(workspace))
    listed = models(workspace)
    assert (len(listed.models), listed.registry) == (1, None)
    assert not (workspace.path / "mlflow.db").exists()


def test_a_registry_that_does_not_answer(two: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:CANARY@127.0.0.1:9")
    listed = models(two)
    assert (len(listed.models), listed.registry) == (2, None)
    with pytest.raises(EnvironmentFault) as refused:
        promote(two, "toy-002")
    assert "CANARY" not in refused.value.line()
    assert "MLFLOW_TRACKING_URI" in refused.value.line()


def test_as_typed(
    trained: tuple[Workspace, TrainResult],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(terminal.out, "_width", 80)
    monkeypatch.setattr(terminal.out, "no_color", True)
    workspace, result = trained
    at = ["-w", str(workspace.path)]
    shown = CliRunner().invoke(app, ["models", "list", *at])
    assert shown.exit_code == 0
    row = next(line for line in shown.stdout.splitlines() if line.startswith(result.name))
    assert f"{result.monitor['kid']:.3f}" in row
    assert f"{NAME}/1" in row
    assert "champion" in shown.stdout
    told = json.loads(CliRunner().invoke(app, ["--json", "models", "list", *at]).stdout)
    assert [m["generator"] for m in told["models"]] == [result.name]
    assert told["models"][0]["champion"] is True
    done = json.loads(CliRunner().invoke(app, ["models", "promote", result.name, "--json", *at]).stdout)
    assert done["version"] == f"{NAME}/1"
    assert medsyn.list_models(workspace=workspace.path).models[0].path == workspace.all(GENERATOR)[0]
    assert CliRunner().invoke(app, ["models", "promote", "nobody", *at]).exit_code == 4
