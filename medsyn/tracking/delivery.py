"""Entries of a journal to requests to MLflow, each of which may be repeated without harm.

Parameters, tags and artifacts overwrite themselves, and a metric with the same step and time is the same metric. What
would come twice, runs and models, is looked for before it is made again.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from medsyn.tracking import registry
from medsyn.tracking.journal import LOCAL, Entry, Journal
from medsyn.tracking.store import Store, is_final

if TYPE_CHECKING:
    from mlflow.entities import Run

log = logging.getLogger(__name__)

RUN = "medsyn.run"
"""Tag with the local id of a run."""

METRICS, OTHERS = 1000, 100
"""That MLflow takes in one request at most; others are parameters and tags."""


def deliver(store: Store, journal: Journal, seconds: float = float("inf")) -> registry.Registered | None:
    """Send what is pending, in order; a request that MLflow refuses for good is told and left out.

    Args:
        store: Where to.
        journal: Of which entries are sent.
        seconds: After which the rest is left for the next time.

    Returns:
        The version, where a model was registered.

    Raises:
        Exception: Of MLflow, where it does not answer; what is pending stays so.
    """
    begun, registered = time.monotonic(), None
    while journal.pending and time.monotonic() - begun < seconds:
        entry = journal.pending[0]
        client, again = store.client, bool(entry.get("tried"))
        entry["tried"] = True
        if entry["do"] != "create" and not journal.runs.get(entry["run"]):
            journal.done(entry)  # of a run that was refused
            continue
        try:
            if entry["do"] == "create":
                run_id, doubtful = _create(store, journal, entry, again)
                journal.done(entry, run_id=run_id, doubtful=doubtful)
                continue
            if entry["do"] == "model":
                place = store.workspace.path
                run_id = journal.runs[entry["run"]]
                registered = registry.register(client, store.experiment, run_id, place, entry, again)
            else:
                _ENTRIES[entry["do"]](store, journal, entry)
        except Exception as error:
            missing_registry = entry["do"] == "model" and getattr(error, "error_code", "") == "ENDPOINT_NOT_FOUND"
            if not is_final(error) and not missing_registry:
                raise
            _tell(entry, error)
            if entry["do"] == "create":
                journal.done(entry, run_id="")
                continue
        journal.done(entry)
    return registered


def _create(store: Store, journal: Journal, entry: Entry, again: bool) -> tuple[str, bool]:
    """The run in MLflow, and whether an earlier attempt may make a second one yet."""
    found = _with_tag(store, entry["run"]) if again else []
    if found:
        return found[0].info.run_id, True
    parent = {"mlflow.parentRunId": journal.runs[entry["parent"]]} if entry.get("parent") else {}
    tags = {key: _known(store, value) for key, value in entry["tags"].items()} | parent | {RUN: entry["run"]}
    created = store.client.create_run(store.experiment, entry["at"], tags, entry["name"])
    return created.info.run_id, again


def _params(store: Store, journal: Journal, entry: Entry) -> None:
    from mlflow.entities import Param

    _batches(store, journal, entry, params=[Param(k, v) for k, v in entry["values"].items()])


def _metrics(store: Store, journal: Journal, entry: Entry) -> None:
    from mlflow.entities import Metric

    rows = [Metric(name, value, entry["at"], step) for name, value, step in entry["values"]]
    _batches(store, journal, entry, size=METRICS, metrics=rows)


def _tags(store: Store, journal: Journal, entry: Entry) -> None:
    from mlflow.entities import RunTag

    _batches(store, journal, entry, tags=[RunTag(k, v) for k, v in entry["values"].items()])


def _batches(store: Store, journal: Journal, entry: Entry, size: int = OTHERS, **given: Any) -> None:
    ((kind, items),) = given.items()
    for start in range(0, len(items), size):
        store.client.log_batch(journal.runs[entry["run"]], **{kind: items[start : start + size]})


def _artifact(store: Store, journal: Journal, entry: Entry) -> None:
    store.client.log_artifact(journal.runs[entry["run"]], str(journal.folder / entry["path"]), entry["folder"])


def _end(store: Store, journal: Journal, entry: Entry) -> None:
    if entry["run"] in journal.doubtful:
        for other in _with_tag(store, entry["run"]):
            if other.info.run_id != journal.runs[entry["run"]]:
                store.client.delete_run(other.info.run_id)
    store.client.set_terminated(journal.runs[entry["run"]], entry["status"], entry["at"])


_ENTRIES = {"params": _params, "metrics": _metrics, "tags": _tags, "artifact": _artifact, "end": _end}


_REFUSALS = {
    "create": "does not take a run",
    "params": "does not take some parameters",
    "metrics": "does not take some metrics",
    "tags": "does not take some tags",
    "artifact": "does not take a file",
    "model": "cannot register the generator",
    "end": "cannot end a run",
}


def _with_tag(store: Store, local: str) -> list[Run]:
    """Runs in MLflow by their local id, oldest first."""
    client = store.client
    return client.search_runs([store.experiment], f"tags.`{RUN}` = '{local}'", order_by=["attributes.start_time ASC"])


def _known(store: Store, value: str) -> str:
    """The id in MLflow of a run that was tracked while MLflow did not answer; anything else as it is."""
    found = _with_tag(store, value) if value.startswith(LOCAL) else []
    return str(found[0].info.run_id) if found else value


def _tell(entry: Entry, error: Exception) -> None:
    # The text of the error may quote the address with its password.
    log.warning("MLflow %s (%s); going on without", _REFUSALS[entry["do"]], type(error).__name__)
