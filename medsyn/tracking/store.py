"""Which MLflow store is meant, and what its refusals mean."""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from filelock import FileLock

from medsyn.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "medsyn"
TIMEOUT = 20
"""Seconds that a request waits for an answer."""

_ALREADY = ("RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS")  # of MLflow, of Databricks
_FINAL = (
    *_ALREADY,
    "BAD_REQUEST",
    "FEATURE_DISABLED",
    "INVALID_PARAMETER_VALUE",
    "INVALID_STATE",
    "NOT_FOUND",
    "NOT_IMPLEMENTED",
    "RESOURCE_CONFLICT",
    "RESOURCE_DOES_NOT_EXIST",
)


class Store:
    """The store of a workspace, connected to when it is first needed."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._client: MlflowClient | None = None
        self.experiment = ""

    @property
    def client(self) -> MlflowClient:
        """Connects at first.

        Raises:
            Exception: Of MLflow, where the store does not answer; the next call tries again.
        """
        if self._client is None:
            self._client, self.experiment = _connect(self.workspace)
        return self._client


def uri(workspace: Workspace) -> str:
    """The tracking URI in force."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{workspace.path / 'mlflow.db'}"


def shown_uri(workspace: Workspace) -> str:
    """The tracking URI as it may be printed: without user and password."""
    return re.sub(r"//[^/@]*@", "//", uri(workspace))


def address(workspace: Workspace) -> str:
    """The store by a name that may be written down; empty for the workspace's own, which moves with it."""
    return shown_uri(workspace) if os.environ.get("MLFLOW_TRACKING_URI") else ""


def ui_hint(workspace: Workspace) -> str:
    """How to look at the runs: the address of a server, or the command that opens a database."""
    shown = shown_uri(workspace)
    return shown if shown.startswith("http") else f'mlflow ui --backend-store-uri "{shown}"'


def is_final(error: Exception) -> bool:
    """Whether the same request would fail again, however often it is repeated.

    A server that is away, overloaded or wants other credentials may take it later; a request that it has understood
    and refused, and one that cannot even be put together, never.
    """
    from mlflow.exceptions import MlflowException

    if isinstance(error, MlflowException):
        return error.error_code in _FINAL
    if isinstance(error, FileNotFoundError):
        return True
    status = getattr(getattr(error, "response", None), "status_code", 0)
    if 400 <= status < 500:
        return status not in (401, 403, 404, 408, 429)
    return not isinstance(error, OSError)  # which all errors of requests are


def exists_already(error: Exception) -> bool:
    """Whether what was to be made is there."""
    return getattr(error, "error_code", "") in _ALREADY


def client(workspace: Workspace) -> MlflowClient:
    """MLflow's client of the store in force, not yet asked; what goes wrong it raises, in whatever form."""
    # Telemetry off unless the user says otherwise: hospital networks.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # MLflow itself would repeat a request for minutes, and a creation that was answered too late would come twice.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(TIMEOUT))
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    warnings.filterwarnings("ignore", module=r"mlflow.*")
    from mlflow import MlflowClient

    # What goes wrong is told in one line; MLflow and SQLAlchemy would print tracebacks.
    for name in ("mlflow", "mlflow.store.db.utils", "mlflow.utils.rest_utils", "alembic", "sqlalchemy"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return MlflowClient(tracking_uri=uri(workspace))


@contextmanager
def _alone(workspace: Workspace) -> Iterator[None]:
    """Two processes that make one database at once spoil it for one of them."""
    if uri(workspace).startswith("sqlite:"):
        with FileLock(workspace.private / ".mlflow.lock", timeout=TIMEOUT):
            yield
    else:
        yield


def _connect(workspace: Workspace) -> tuple[MlflowClient, str]:
    from mlflow.exceptions import MlflowException

    with _alone(workspace):
        connected = client(workspace)
    found = connected.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        return connected, found.experiment_id
    # With a database, artifacts would go to ./mlruns, wherever the command was run; a server has its own place.
    location = (workspace.path / "mlartifacts").as_uri() if uri(workspace).startswith("sqlite:") else None
    try:
        return connected, connected.create_experiment(EXPERIMENT, artifact_location=location)
    except MlflowException as error:
        found = connected.get_experiment_by_name(EXPERIMENT) if exists_already(error) else None
        if found is None:
            raise
        return connected, found.experiment_id  # another process was quicker
