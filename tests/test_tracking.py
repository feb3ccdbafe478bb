"""MLflow: one run a stage, linked, in few requests; a store that is gone never ends a stage, and misses nothing."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from medsyn import tracking
from medsyn.errors import EnvironmentFault
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
    requests, log_batch = [], MlflowClient.log_batch
    monkeypatch.setattr(MlflowClient, "log_batch", lambda *a, **k: (requests.append(1), log_batch(*a, **k)))
    with tracking.start(workspace, "train-gan", "xray") as run:
        run.metrics([{"loss": float(i), "images": i} for i in range(2500)], step_key="images")
    assert len(requests) == 3
    assert len(client(workspace).get_metric_history(run.id, "loss")) == 2500


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.message for r in caplog.records if r.levelno >= logging.WARNING and "MLflow" in r.message]


def journals(workspace: Workspace) -> list[Path]:
    place = workspace.path / "tracking"
    return sorted(p for p in place.iterdir() if p.is_dir()) if place.is_dir() else []


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a server that is away, with a password."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        uri = f"http://someone:secret@127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return uri


def test_a_server_that_is_away_is_told_once_and_all_is_kept_for_it(
    workspace: Workspace, nowhere: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "medsyn"), tracking.start(workspace, "evaluate", "xray") as run:
        run.params({"a": 1})
        for seed in range(3):
            with run.child(f"seed {seed}") as child:
                child.metrics([{"auroc": 0.5}])
    assert len(warnings(caplog)) == 1
    assert run.id.startswith("local-")
    (journal,) = journals(workspace)
    text = (journal / "journal.jsonl").read_text()
    assert text.count('"auroc"') == 3
    assert "secret" not in caplog.text + text


def test_what_waits_for_another_store_is_left_alone(
    workspace: Workspace, nowhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tracking.start(workspace, "ingest", "xray") as run:
        run.params({"a": 1})
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with tracking.start(workspace, "augment", "xray"):
        pass
    found = tracking.deliver(workspace)
    assert found.delivered == 0
    assert found.elsewhere == [nowhere.replace("someone:secret@", "")]
    assert len(journals(workspace)) == 1
    assert len(client(workspace).search_runs(["1"])) == 1


def test_nobody_answers_is_an_error_of_deliver_alone(workspace: Workspace, nowhere: str) -> None:
    with tracking.start(workspace, "ingest", "xray"):
        pass
    with pytest.raises(EnvironmentFault, match=r"does not answer.*1 journals wait") as error:
        tracking.deliver(workspace)
    assert "secret" not in error.value.line()


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> list[type[Exception]]:
    """Errors that parameters and metrics meet while this is not empty."""
    errors: list[type[Exception]] = []
    log_batch = MlflowClient.log_batch

    def fail(*given: object, **named: object) -> None:
        if errors:
            raise errors[0]
        log_batch(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(MlflowClient, "log_batch", fail)
    return errors


def test_a_store_that_fails_midway_gets_all_of_it_with_the_next_run(
    workspace: Workspace, failing: list[type[Exception]], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    (tmp_path / "card.md").write_text("x")
    with caplog.at_level(logging.WARNING, "medsyn"), tracking.start(workspace, "ingest", "xray") as first:
        failing.append(ConnectionError)
        first.params({"a": 1})
        with first.child("seed 0") as child:
            child.metrics([{"auroc": 0.5}])
        first.artifact(tmp_path / "card.md")
    (tmp_path / "card.md").unlink()
    assert len(warnings(caplog)) == 1
    assert client(workspace).get_run(first.id).data.params == {}
    failing.clear()
    with tracking.start(workspace, "train-gan", "xray"):
        pass
    found = client(workspace).get_run(first.id)
    assert (found.info.status, found.data.params) == ("FINISHED", {"a": "1"})
    assert [a.path for a in client(workspace).list_artifacts(first.id)] == ["card.md"]
    nested = client(workspace).search_runs(["1"], f"tags.`mlflow.parentRunId` = '{first.id}'")
    assert [r.data.metrics for r in nested] == [{"auroc": 0.5}]
    assert journals(workspace) == []


def test_what_is_refused_for_good_is_told_and_stands_in_nobodys_way(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "medsyn"), tracking.start(workspace, "ingest", "xray") as run:
        run.params({"no: such+name": 1})
        run.metrics([{"images": 3}])
    assert len(warnings(caplog)) == 1
    assert client(workspace).get_run(run.id).data.metrics == {"images": 3}
    assert journals(workspace) == []


def test_a_predecessor_that_was_tracked_while_nobody_answered_is_found(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_run = MlflowClient.create_run

    def lost(*given: object, **named: object) -> None:
        create_run(*given, **named)  # type: ignore[arg-type]
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "create_run", lost)
        with tracking.start(workspace, "ingest", "xray") as first:
            written = first.id
    assert written.startswith("local-")
    with tracking.start(workspace, "train-gan", "xray", {"medsyn.parent_run": written}) as second:
        pass
    runs = {r.data.tags["medsyn.stage"]: r for r in client(workspace).search_runs(["1"])}
    assert sorted(runs) == ["ingest", "train-gan"]
    assert len(client(workspace).search_runs(["1"])) == 2
    assert runs["train-gan"].data.tags["medsyn.parent_run"] == runs["ingest"].info.run_id
    assert runs["ingest"].data.tags["medsyn.run"] == written
    assert second.id == runs["train-gan"].info.run_id


KILLED = """
import os, sys
from medsyn import tracking
from medsyn.errors import EnvironmentFault
from medsyn.workspace import Workspace
with tracking.start(Workspace(sys.argv[1]), "train-gan", "xray") as run:
    run.metrics([{"loss": 1.0}])
    with open(sys.argv[1] + "/id", "w") as file:
        file.write(run.id)
    os.kill(os.getpid(), 9)
"""


def test_the_run_of_a_killed_process_is_ended_by_the_next_one(workspace: Workspace) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(workspace.path)], timeout=120)
    assert killed.returncode == -9
    run_id = (workspace.path / "id").read_text()
    assert client(workspace).get_run(run_id).info.status == "RUNNING"
    with (next(workspace.path.glob("tracking/*/journal.jsonl"))).open("a") as file:
        file.write('{"entry": 7, "do": "metr')  # as a power cut leaves it
    assert tracking.deliver(workspace).delivered == 1
    found = client(workspace).get_run(run_id)
    assert (found.info.status, found.data.metrics) == ("KILLED", {"loss": 1.0})
    assert list((workspace.path / "tracking").iterdir()) == []


def test_a_living_process_delivers_its_own_journal(workspace: Workspace) -> None:
    with tracking.start(workspace, "ingest", "xray") as run:
        assert tracking.deliver(workspace).delivered == 0
        assert len(journals(workspace)) == 1
    assert client(workspace).get_run(run.id).info.status == "FINISHED"


def test_a_workspace_that_cannot_be_written_is_tracked_all_the_same(
    workspace: Workspace,
    nowhere: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (workspace.path / "tracking").write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING, "medsyn"), tracking.start(workspace, "ingest", "xray"):
        pass
    assert "is lost" in caplog.text
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{workspace.path}/mlflow.db")
    with tracking.start(workspace, "ingest", "xray") as run:
        run.params({"a": 1})
    assert client(workspace).get_run(run.id).data.params == {"a": "1"}


def test_the_hint_fits_the_store(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tracking.ui_hint(workspace).startswith("mlflow ui --backend-store-uri ")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:pw@mlflow.example.org")
    assert tracking.ui_hint(workspace) == "https://mlflow.example.org"
