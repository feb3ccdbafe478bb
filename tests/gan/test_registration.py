"""The model registry: every training a version, the better one the champion, and the model itself complete."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from commands import environment
from helpers import SMALL
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

from medsyn import tracking
from medsyn.config import TrainOptions
from medsyn.errors import EnvironmentFault
from medsyn.gan import TrainResult, registration, run
from medsyn.gan.registration import takes_over
from medsyn.workspace import Workspace, read_json

NAME = "medsyn-xray"
STEPS = (
    "create_logged_model",
    "log_model_artifacts",
    "finalize_logged_model",
    "log_outputs",
    "create_registered_model",
    "create_model_version",
    "set_logged_model_tags",
    "set_registered_model_alias",
)
"""Requests that a registration consists of."""

LOAD = """
import os, sys, mlflow, pandas
model = mlflow.pyfunc.load_model(sys.argv[1])
answer = model.predict(pandas.DataFrame({"label": ["upper"]}), params={"truncation": 0.5})
import medsyn
print(os.path.realpath(medsyn.__file__))
print(len(answer), answer["label"][0])
"""


def client(workspace: Workspace) -> MlflowClient:
    return MlflowClient(tracking_uri=tracking.uri(workspace))


@pytest.fixture
def model(trained: tuple[Workspace, TrainResult]) -> Path:
    """The folder of the registered model."""
    version = client(trained[0]).get_model_version_by_alias(NAME, "champion")
    return Path(version.source.removeprefix("file://"))


def test_a_training_is_a_version_of_its_modality(trained: tuple[Workspace, TrainResult]) -> None:
    workspace, result = trained
    assert result.registered == f"models:/{NAME}@champion"
    version = client(workspace).get_model_version_by_alias(NAME, "champion")
    config = read_json(result.path / "config.json")
    assert version.run_id == result.mlflow_run
    assert version.tags["medsyn.digest"] == config["digest"]
    assert version.tags["medsyn.dataset_digest"] == config["dataset"]["content_digest"]
    assert float(version.tags["medsyn.kid"]) == result.monitor["kid"]
    assert "not for diagnosis" in version.description
    (output,) = client(workspace).get_run(result.mlflow_run).outputs.model_outputs
    logged = client(workspace).get_logged_model(output.model_id)
    assert logged.status == "READY"
    assert logged.artifact_location == version.source
    assert json.loads(logged.tags["mlflow.modelVersions"]) == [{"name": NAME, "version": version.version}]


def test_the_model_is_code_and_plain_files(model: Path) -> None:
    files = {str(p.relative_to(model)) for p in model.rglob("*") if p.is_file()}
    checkpoint = {p for p in files if p.startswith("artifacts/")}
    assert {Path(p).name for p in checkpoint} == {"config.json", "generator.safetensors", "card.json", "card.md"}
    assert not [p for p in files if p.endswith((".pkl", ".pickle", ".pt", ".pth"))]
    described = Model.load(str(model))
    assert described.signature.inputs.input_names() == ["label", "n", "seed", "index"]
    assert described.signature.inputs.required_input_names() == ["label"]
    assert described.load_input_example(str(model)).to_dict("list")["label"] == ["lower", "upper"]
    declared = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    for line in (model / "requirements.txt").read_text().split():
        name = line.split(">")[0].split("<")[0]
        assert f'"{name}>=' in declared, line
        assert "==" not in line
    assert "torch" in (model / "requirements.txt").read_text()


def test_the_model_brings_its_own_code(model: Path, tmp_path: Path) -> None:
    clean = {k: v for k, v in environment(MLFLOW_DISABLE_TELEMETRY="true").items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(model)], env=clean, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == [str((model / "code/medsyn/__init__.py").resolve()), "1 upper"]


def test_the_next_training_is_champion_when_it_is_better(workspace: Workspace, toy: Path) -> None:
    worse = TrainOptions(recipe="dcgan", budget="0.2kimg", threads=1, knobs=SMALL)  # noise still
    first = run(worse, workspace)
    better = run(TrainOptions(budget="0.2kimg", threads=1, knobs=SMALL), workspace)
    again = run(worse.model_copy(update={"seed": 1}), workspace)
    uris = [first.registered, better.registered, again.registered]
    assert uris == [f"models:/{NAME}@champion", f"models:/{NAME}@champion", f"models:/{NAME}/3"]
    champion = client(workspace).get_model_version_by_alias(NAME, "champion")
    assert champion.tags["medsyn.generator"] == better.path.name


def tags(kid: float, coverage: float, **changes: str) -> dict[str, str]:
    check = {"kid": kid, "coverage": coverage, "precision": 0.5, "recall": 0.5}
    return (
        {"medsyn.dataset_digest": "d", "medsyn.monitor": "m"}
        | {f"medsyn.{k}": str(v) for k, v in check.items()}
        | changes
    )


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        (tags(0.1, 0.8), tags(0.2, 0.8), True),
        (tags(0.2, 0.8), tags(0.1, 0.8), False),
        (tags(0.1, 0.9), tags(0.1, 0.8), True),
        (tags(0.1, 0.8), tags(0.1, 0.8), False),
        (tags(-0.01, 0.8), tags(0.0, 0.8), True),
        (tags(0.9, 0.1), tags(0.1, 0.8, **{"medsyn.dataset_digest": "e"}), True),
        (tags(0.1, 0.8), tags(0.9, 0.1, **{"medsyn.monitor": "other"}), False),
        (tags(0.9, 0.1), {"medsyn.dataset_digest": "d", "medsyn.monitor": "m"}, True),
        (tags(0.9, 0.1), {}, True),
    ],
)
def test_who_is_champion(new: dict[str, str], old: dict[str, str], expected: bool) -> None:
    assert takes_over(new, old) is expected


def test_a_registry_that_refuses_ends_nothing(
    workspace: Workspace, toy: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise MlflowException("https://someone:secret@example.org", INVALID_PARAMETER_VALUE)

    monkeypatch.setattr(MlflowClient, "create_model_version", refuse)
    with caplog.at_level(logging.WARNING, "medsyn"):
        result = run(TrainOptions(budget="0.2kimg", threads=1, knobs=SMALL), workspace)
    assert result.registered is None
    assert result.path.is_dir()
    assert client(workspace).get_run(result.mlflow_run).info.status == "FINISHED"
    assert "cannot register" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize("late", [False, True])
def test_a_registration_that_breaks_off_is_finished_later(
    trained: tuple[Workspace, TrainResult], workspace: Workspace, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    """The store goes away at each step, before or after it has done it: one model and one version in the end."""
    path = trained[1].path
    broken = Counter[str]()

    def breaking(name: str) -> Callable[..., Any]:
        method = getattr(MlflowClient, name)

        def once(*given: Any, **named: Any) -> Any:
            broken[name] += 1
            if broken[name] > 1:
                return method(*given, **named)
            if late:
                method(*given, **named)
            raise ConnectionError

        return once

    for name in STEPS:
        monkeypatch.setattr(MlflowClient, name, breaking(name))
    with tracking.start(workspace, "train-gan", "xray") as mlflow:
        assert registration.register(mlflow, path, read_json(path / "config.json")) is None
    for _ in STEPS:
        with suppress(EnvironmentFault):
            tracking.deliver(workspace)
    assert set(broken) == set(STEPS)
    assert not [p for p in (workspace.path / "tracking").iterdir() if p.is_dir()]
    store = client(workspace)
    (version,) = store.search_model_versions()
    assert store.get_model_version_by_alias(NAME, "champion").version == version.version
    (logged,) = store.search_logged_models([store.get_experiment_by_name("medsyn").experiment_id])
    assert logged.status == "READY"
    assert len(store.get_run(version.run_id).outputs.model_outputs) == 1
    assert store.get_run(version.run_id).info.status == "FINISHED"


def test_trainings_within_another_stage_are_not_registered(workspace: Workspace, toy: Path) -> None:
    with tracking.off():
        assert run(TrainOptions(budget="0.2kimg", threads=1, knobs=SMALL), workspace).registered is None
    assert client(workspace).search_registered_models() == []


def test_the_callers_own_store_and_folder_stay_as_they_are(
    workspace: Workspace, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    monkeypatch.chdir(tmp_path)
    before = {p.name for p in tmp_path.iterdir()}
    uri = mlflow.get_tracking_uri()
    run(TrainOptions(budget="0.2kimg", threads=1, knobs=SMALL), workspace)
    assert mlflow.get_tracking_uri() == uri
    assert mlflow.active_run() is None
    assert {p.name for p in tmp_path.iterdir()} == before
