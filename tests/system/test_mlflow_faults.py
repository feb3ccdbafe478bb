"""A real MLflow server that is killed, frozen, away, or whose answers are lost, in every stage.

A stage ends with what it ends with undisturbed, and the server has every run, parameter, metric, file and model once.
"""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chain import STAGES, Listener, Undisturbed, journals, results
from commands import medsyn
from mlflow import MlflowClient
from mlflow_server import MlflowServer
from orthanc import Proxy, Request

from medsyn import stages, tracking
from medsyn.tracking import outbox
from medsyn.workspace import Workspace

pytestmark = pytest.mark.system

MEASURED = ("seconds", "images_per_second")
"""Metrics that are never the same twice."""


def contents(url: str) -> dict[str, Any]:
    """All that a server has, by stage: names and steps of metrics with how often each is there, and so on."""
    client = MlflowClient(tracking_uri=url)
    experiment = client.get_experiment_by_name("medsyn")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    stage_of = {r.info.run_id: r.data.tags["medsyn.stage"] for r in runs if "medsyn.stage" in r.data.tags}
    found: dict[str, Any] = {}
    for run in runs:
        tags = run.data.tags
        parent = tags.get("mlflow.parentRunId")
        name = f"{stage_of[parent or run.info.run_id]}: {run.info.run_name}"
        assert name not in found, f"{name} is there twice"
        history = [m for key in run.data.metrics for m in client.get_metric_history(run.info.run_id, key)]
        learnt_from = tags.get("medsyn.parent_run")
        found[name] = {
            "status": run.info.status,
            "params": run.data.params,
            "metrics": Counter((m.key, m.step, None if m.key in MEASURED else m.value) for m in history),
            "artifacts": sorted(a.path for a in client.list_artifacts(run.info.run_id)),
            "made from": stage_of[learnt_from] if learnt_from else None,
            "tags": {k: v for k, v in tags.items() if k not in ("medsyn.parent_run", "medsyn.run", *_IDS)},
            "models": len(run.outputs.model_outputs) if run.outputs else 0,
        }
    found["models"] = [
        (m.name, str(m.status), stage_of[m.source_run_id])
        for m in client.search_logged_models([experiment.experiment_id])
    ]
    found["versions"] = [
        (v.name, int(v.version), v.tags["medsyn.digest"], stage_of[v.run_id]) for v in client.search_model_versions()
    ]
    found["champion"] = int(client.get_model_version_by_alias("medsyn-xray", "champion").version)
    return found


_IDS = ("mlflow.parentRunId", "mlflow.user", "mlflow.source.name", "mlflow.source.type")


@pytest.fixture(scope="module")
def told(undisturbed: Undisturbed) -> dict[str, Any]:
    """What MLflow has when nothing happens."""
    return contents(tracking.uri(undisturbed.workspace))


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[Callable[[], MlflowServer]]:
    """Servers that run, each with a store of its own; none stays."""
    started: list[MlflowServer] = []

    def start() -> MlflowServer:
        for server in started:
            server.kill()
        started.append(MlflowServer(tmp_path_factory.mktemp("mlflow") / "server", empty_store))
        started[-1].start()
        return started[-1]

    yield start
    for server in started:
        server.kill()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the pauses between attempts, which take longer than these stages do."""
    monkeypatch.setattr(outbox, "PAUSE", 0.0)
    monkeypatch.setattr(outbox, "SHARE", 0.0)


def test_killed_and_started_again_in_each_stage(
    undisturbed: Undisturbed,
    told: dict[str, Any],
    servers: Callable[[], MlflowServer],
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    events = undisturbed.events
    server = servers()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
    for stage, options in STAGES.items():
        caplog.clear()
        acts = {events[stage] // 3: server.kill, 2 * events[stage] // 3: server.start}
        listener = Listener(acts)
        stages.run(stage, options, workspace, listener)
        assert not listener.acts, "it was never killed, or not started again"
        assert journals(workspace) == [], stage
        assert len([r for r in caplog.records if r.levelno >= logging.WARNING and "MLflow" in r.message]) <= 1
    assert results(workspace) == undisturbed.results
    assert contents(server.url) == told


def test_away_for_whole_stages(
    undisturbed: Undisturbed,
    told: dict[str, Any],
    servers: Callable[[], MlflowServer],
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events = undisturbed.events
    server = servers()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
    stages.run("ingest", STAGES["ingest"], workspace, Listener({events["ingest"] // 2: server.kill}))
    assert stages.run("train-gan", STAGES["train-gan"], workspace).registered is None
    assert len([p for p in journals(workspace) if p.is_dir()]) == 2
    server.start()
    stages.run("augment", STAGES["augment"], workspace)
    assert journals(workspace) == []
    stages.run("evaluate", STAGES["evaluate"], workspace, Listener({events["evaluate"] // 2: server.kill}))
    away = medsyn("deliver", "-w", workspace.path, cwd=workspace.path, MLFLOW_TRACKING_URI=server.url)
    assert away.returncode == 5
    assert len([line for line in away.stderr.splitlines() if line.startswith("Error: ")]) == 1
    assert "Traceback" not in away.stderr
    server.start()
    back = medsyn("deliver", "-w", workspace.path, cwd=workspace.path, MLFLOW_TRACKING_URI=server.url)
    assert back.returncode == 0, back.stderr
    assert journals(workspace) == []
    assert results(workspace) == undisturbed.results
    assert contents(server.url) == told


def test_answers_that_are_lost_and_a_server_that_hangs(
    undisturbed: Undisturbed,
    told: dict[str, Any],
    servers: Callable[[], MlflowServer],
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    quick: None,
) -> None:
    """A third of the requests fail, half of them after the server has done what was asked."""
    events = undisturbed.events
    server = servers()
    proxy, rng, failed = Proxy(server), random.Random(0), Counter[str]()

    def rule(request: Request) -> None:
        if rng.random() < 1 / 3:
            request.drop = rng.random() < 0.5
            request.answer = None if request.drop else (503, {}, b"")
            failed["lost" if request.drop else "refused"] += 1

    proxy.rule = rule
    monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy.address)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    for stage, options in STAGES.items():
        acts = {events[stage] // 3: server.freeze, events[stage] // 2: server.thaw}
        listener = Listener(acts)
        stages.run(stage, options, workspace, listener)
        assert not listener.acts, "it was never frozen, or not thawed"
    proxy.rule = lambda request: None
    tracking.deliver(workspace)
    proxy.close()
    assert min(failed["lost"], failed["refused"]) > 10
    assert journals(workspace) == []
    assert results(workspace) == undisturbed.results
    assert contents(server.url) == told
