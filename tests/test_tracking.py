"""MLflow: one run a stage, linked, in few requests; a store that is gone never ends a stage."""

from __future__ import annotations

import logging
import socket

import pytest
from mlflow import MlflowClient

from medsyn import tracking
from medsyn.workspace import Workspace


def client(workspace: Workspace) -> MlflowClient:
    return MlflowClient(tracking_uri=tracking.uri(workspace))


def test_a_run_is_tagged_and_finished(workspace: Workspace, tmp_path) -> None:
    (tmp_path / "card.md").write_text("x")
    with tracking.start(workspace, "augment", "xray", {"medsyn.parent_run": "abc"}) as run:
        run.params({"a": 1, "nested": {"b": [1, 2]}})
        run.metrics([{"kid": 0.5, "images": 64}, {"kid": 0.25, "images": 128}], step_key="images")
        run.artifact(tmp_path / "card.md")
        with run.child("arm, seed 0") as child:
            child.metrics([{"auroc": 0.9}])
    found = client(workspace).get_run(run.id)
    assert found.info.status == "FINISHED"
    assert found.data.tags["medsyn.stage"] == "augment"
    assert found.data.tags["medsyn.parent_run"] == "abc"
    assert found.data.params == {"a": "1", "nested.b": "[1, 2]"}
    history = client(workspace).get_metric_history(run.id, "kid")
    assert [(m.step, m.value) for m in history] == [(64, 0.5), (128, 0.25)]
    assert client(workspace).get_run(child.id).data.tags["mlflow.parentRunId"] == run.id
    assert list((workspace.path / "mlartifacts").rglob("card.md")), "artifacts lie in the workspace"


@pytest.mark.parametrize(("error", "status"), [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")])
def test_an_error_marks_the_run(workspace: Workspace, error: type[BaseException], status: str) -> None:
    with pytest.raises(error), tracking.start(workspace, "ingest", "xray") as run:
        raise error
    assert client(workspace).get_run(run.id).info.status == status


def test_many_metrics_take_few_requests(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    with tracking.start(workspace, "train-gan", "xray") as run:
        requests = []
        log_batch = run._client.log_batch
        monkeypatch.setattr(run._client, "log_batch", lambda *a, **k: (requests.append(1), log_batch(*a, **k)))
        run.metrics([{"loss": float(i), "images": i} for i in range(2500)], step_key="images")
    assert len(requests) == 3
    assert len(client(workspace).get_metric_history(run.id, "loss")) == 2500


def test_a_server_that_does_not_answer_is_told_once(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://someone:secret@127.0.0.1:{port}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with caplog.at_level(logging.WARNING, "medsyn"), tracking.start(workspace, "evaluate", "xray") as run:
        run.params({"a": 1})
        for seed in range(3):
            with run.child(f"seed {seed}") as child:
                child.metrics([{"auroc": 0.5}])
    told = [r for r in caplog.records if "MLflow" in r.message]
    assert len(told) == 1
    assert "secret" not in caplog.text
    assert run.id is None


def test_a_store_that_fails_midway_is_told_once(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls = []

    def fail(*_: object, **__: object) -> None:
        calls.append(1)
        raise ConnectionError

    with caplog.at_level(logging.WARNING, "medsyn"), tracking.start(workspace, "evaluate", "xray") as run:
        monkeypatch.setattr(run._client, "log_batch", fail)
        run.params({"a": 1})
        for seed in range(3):
            with run.child(f"seed {seed}") as child:
                child.metrics([{"auroc": 0.5}])
    assert len(calls) == 1
    assert len([r for r in caplog.records if "MLflow" in r.message]) == 1


def test_the_hint_fits_the_store(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tracking.ui_hint(workspace).startswith("mlflow ui --backend-store-uri ")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:pw@mlflow.example.org")
    assert tracking.ui_hint(workspace) == "https://mlflow.example.org"
