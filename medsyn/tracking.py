"""Runs, metrics and lineage in MLflow; the only module that imports it."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import tempfile
import time
import tomllib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medsyn import __version__
from medsyn.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

BATCH = 1000  # metrics in one MLflow request at most
CHAMPION = "champion"
"""MLflow's usual name for the version to use: ``models:/medsyn-xray@champion``; ``models:/medsyn-xray/latest`` is the
newest."""

MODEL_FILES = ("config.json", "generator.safetensors", "card.json", "card.md")
"""Of a checkpoint folder. The rest, discriminator and keys of patients among it, is not needed to generate."""

MODEL_CODE = ("__init__.py", "compute.py", "errors.py", "images.py", "workspace.py", "generator")
"""Of medsyn: what `medsyn.generator.served` imports, so that a model is served by the code that made it, anywhere."""

MODEL_PACKAGES = ("filelock", "mlflow", "numpy", "pandas", "pillow", "safetensors", "torch")
_silent = False


@dataclass(frozen=True)
class Registered:
    """A version in MLflow's model registry."""

    name: str
    version: int
    champion: bool  # whether the alias points here now

    @property
    def uri(self) -> str:
        return f"models:/{self.name}{f'@{CHAMPION}' if self.champion else f'/{self.version}'}"


class Run:
    """One MLflow run. A failure of tracking is told once and never ends a stage."""

    def __init__(self, client: MlflowClient | None, experiment: str, run_id: str | None) -> None:
        self._client, self._experiment, self.id = client, experiment, run_id
        self._failed = client is None

    def params(self, values: Mapping[str, Any]) -> None:
        """Log parameters; nested values become dotted keys."""
        if self._failed:
            return
        from mlflow.entities import Param

        flat = {k: str(v)[:500] for k, v in _flatten(values).items()}
        items = [Param(k, v) for k, v in flat.items()]
        for start in range(0, len(items), 100):
            self._try(lambda c, i=start: c.log_batch(self.id, params=items[i : i + 100]))

    def metrics(self, rows: Sequence[Mapping[str, float]], step_key: str = "step") -> None:
        """Log many metrics in few requests.

        Args:
            rows: Each a mapping of metric names to finite numbers; ``step_key``, where present, is the step (images
                shown, for training).
        """
        if self._failed:
            return
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        items = [
            Metric(name, float(value), now, int(row.get(step_key, 0)))
            for row in rows
            for name, value in row.items()
            if name != step_key
        ]
        for start in range(0, len(items), BATCH):
            self._try(lambda c, i=start: c.log_batch(self.id, metrics=items[i : i + BATCH]))

    def tags(self, values: Mapping[str, Any]) -> None:
        if self._failed:
            return
        from mlflow.entities import RunTag

        self._try(lambda c: c.log_batch(self.id, tags=[RunTag(k, str(v)) for k, v in values.items()]))

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Log one file. Never pass real patient images."""
        self._try(lambda c: c.log_artifact(self.id, str(path), folder))

    def register(
        self,
        checkpoint: Path,
        name: str,
        classes: Sequence[str],
        description: str,
        tags: Mapping[str, Any],
        takes_over: Callable[[Mapping[str, str]], bool],
    ) -> Registered | None:
        """Log a checkpoint as a model that ``mlflow models serve`` can serve, and register it.

        Args:
            checkpoint: The folder; `MODEL_FILES` of it are sent.
            name: Of the registered model.
            classes: That can be asked for.
            description: Of the version, at most 5,000 characters.
            tags: Of the version.
            takes_over: Given the tags of the present champion, whether the alias shall move to this version.

        Returns:
            The version, None where MLflow cannot take it: that is told, and ends nothing.
        """
        if self._failed or self._client is None or self.id is None:
            return None
        try:
            with tempfile.TemporaryDirectory(prefix="medsyn-model-") as folder:
                version = _register(
                    self._client, self._experiment, self.id, checkpoint, name, classes, Path(folder), description, tags
                )
            champion = _champion(self._client, name)
            moved = champion is None or takes_over(champion)
            if moved:
                self._client.set_registered_model_alias(name, CHAMPION, version)
            return Registered(name, int(version), moved)
        except Exception as error:
            log.warning("MLflow cannot register the generator (%s); going on without", type(error).__name__)
            return None

    @contextmanager
    def child(self, name: str, tags: Mapping[str, Any] | None = None) -> Iterator[Run]:
        """A nested run, for one arm and seed."""
        with _run(
            None if self._failed else self._client,
            self._experiment,
            name,
            {"mlflow.parentRunId": self.id, **(tags or {})},
        ) as run:
            yield run

    def _try(self, action: Any) -> Any:
        if self._failed:
            return None
        try:
            return action(self._client)
        except Exception as error:
            self._failed = True
            _tell(error)
            return None


@contextmanager
def off() -> Iterator[None]:
    """No run is opened within the block: for stages that are a means of another one's."""
    global _silent
    before, _silent = _silent, True
    try:
        yield
    finally:
        _silent = before


@contextmanager
def start(workspace: Workspace, stage: str, modality: str, tags: Mapping[str, Any] | None = None) -> Iterator[Run]:
    """Open the run of one stage, in experiment ``medsyn``.

    The store is SQLite in the workspace, or whatever ``MLFLOW_TRACKING_URI`` says. The run is marked failed or killed
    when the block ends with an exception.

    Args:
        workspace: Where the default store lies.
        stage: ``ingest``, ``train-gan``, ``augment`` or ``evaluate``.
        modality: Preset name.
        tags: More tags; lineage goes in ``medsyn.parent_run`` (run id of the predecessor).
    """
    connected, experiment = (None, "") if _silent else _connect(workspace)
    base = {"medsyn.stage": stage, "medsyn.modality": modality, "medsyn.version": __version__}
    with _run(connected, experiment, f"{stage} {modality}", {**base, **(tags or {})}) as run:
        yield run


def uri(workspace: Workspace) -> str:
    """The tracking URI in force."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{workspace.path / 'mlflow.db'}"


def shown_uri(workspace: Workspace) -> str:
    """The tracking URI as it may be printed: without user and password."""
    return re.sub(r"//[^/@]*@", "//", uri(workspace))


def ui_hint(workspace: Workspace) -> str:
    """How to look at the runs: the address of a server, or the command that opens a database."""
    shown = shown_uri(workspace)
    return shown if shown.startswith("http") else f'mlflow ui --backend-store-uri "{shown}"'


def client(workspace: Workspace) -> MlflowClient:
    """MLflow's client of the store in force; what goes wrong it raises, in whatever form."""
    # Telemetry off unless the user says otherwise: hospital networks.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    warnings.filterwarnings("ignore", module=r"mlflow.*")
    from mlflow import MlflowClient

    # What goes wrong is told by `_tell`, in one line; MLflow and SQLAlchemy would print tracebacks.
    for name in ("mlflow", "mlflow.store.db.utils", "mlflow.utils.rest_utils", "alembic", "sqlalchemy"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return MlflowClient(tracking_uri=uri(workspace))


def _connect(workspace: Workspace) -> tuple[MlflowClient | None, str]:
    try:
        connected = client(workspace)
        found = connected.get_experiment_by_name("medsyn")
        if found is not None:
            return connected, found.experiment_id
        # With a database, artifacts would go to ./mlruns, wherever the command was run; a server has its own place.
        location = (workspace.path / "mlartifacts").as_uri() if uri(workspace).startswith("sqlite:") else None
        return connected, connected.create_experiment("medsyn", artifact_location=location)
    except Exception as error:
        _tell(error)
        return None, ""


@contextmanager
def _run(client: MlflowClient | None, experiment: str, name: str, tags: Mapping[str, Any]) -> Iterator[Run]:
    run = Run(client, experiment, None)
    created = run._try(
        lambda c: c.create_run(experiment, run_name=name, tags={k: str(v) for k, v in tags.items() if v is not None})
    )
    run.id = created.info.run_id if created else None
    try:
        yield run
    except BaseException as error:
        status = "FAILED" if isinstance(error, Exception) else "KILLED"
        run._try(lambda c: c.set_terminated(run.id, status))
        raise
    run._try(lambda c: c.set_terminated(run.id))


def _tell(error: Exception) -> None:
    # The text of the error may quote the address with its password.
    log.warning("MLflow does not answer (%s); going on without tracking", type(error).__name__)


def _register(
    client: MlflowClient,
    experiment: str,
    run_id: str,
    checkpoint: Path,
    name: str,
    classes: Sequence[str],
    folder: Path,
    description: str,
    tags: Mapping[str, Any],
) -> str:
    """Through the client alone, not `mlflow.pyfunc.log_model`: that would change the caller's own store and run."""
    from mlflow.entities import LoggedModelOutput
    from mlflow.exceptions import MlflowException
    from mlflow.models import Model
    from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

    texts = {key: str(value) for key, value in tags.items() if value is not None}
    logged = client.create_logged_model(experiment, name=name, source_run_id=run_id, tags=texts)
    try:
        model = Model(run_id=run_id, model_id=logged.model_id, artifact_path=logged.artifact_location)
        _save_model(checkpoint, classes, folder, model)
        client.log_model_artifacts(logged.model_id, str(folder / "model"))
    except BaseException:
        client.finalize_logged_model(logged.model_id, "FAILED")
        raise
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    try:
        client.create_registered_model(name, description="Class-conditional generator of medsyn.")
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS"):  # of MLflow, of Databricks
            raise
    # By place, not as models:/<id>: a database resolves that in the store of the process, whatever the client's is.
    made = client.create_model_version(
        name, logged.artifact_location, run_id, texts, description=description, model_id=logged.model_id
    )
    versions = json.dumps([{"name": name, "version": made.version}])
    client.set_logged_model_tags(logged.model_id, {MLFLOW_MODEL_VERSIONS: versions})
    return str(made.version)


def _save_model(checkpoint: Path, classes: Sequence[str], folder: Path, model: Any) -> None:
    """Write ``folder/model``: MLflow's layout of a model from code, without any pickle."""
    import mlflow.pyfunc
    import pandas as pd
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

    package, files, code = Path(__file__).parent, folder / "files", folder / "medsyn"
    files.mkdir()
    for file in MODEL_FILES:
        if (checkpoint / file).is_file():
            shutil.copyfile(checkpoint / file, files / file)
    code.mkdir()
    for part in MODEL_CODE:
        if (package / part).is_dir():
            shutil.copytree(package / part, code / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(package / part, code / part)
    mlflow.pyfunc.save_model(
        str(folder / "model"),
        python_model=str(code / "generator" / "served.py"),
        artifacts={"checkpoint": str(files)},
        code_paths=[str(code)],
        pip_requirements=_requirements(MODEL_PACKAGES),
        signature=ModelSignature(
            Schema([ColSpec("string", "label"), *(ColSpec("long", c, required=False) for c in ("n", "seed", "index"))]),
            Schema([ColSpec("string", "label"), *(ColSpec(t, c) for c, t in _ANSWER.items())]),
            ParamSchema([ParamSpec("truncation", "double", 1.0)]),
        ),
        input_example=(
            pd.DataFrame({"label": list(classes), "n": 2, "seed": 0, "index": 0}),
            {"truncation": 1.0},
        ),
        mlflow_model=model,
    )


_ANSWER = {"seed": "long", "index": "long", "image": "string"}


def _requirements(packages: Sequence[str]) -> list[str]:
    """The ranges of medsyn's own requirements for some packages, not what happens to be installed."""
    try:
        declared = metadata.requires("medsyn") or []
    except metadata.PackageNotFoundError:  # a checkout that is not installed
        project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))
        declared = project["project"]["dependencies"]
    return [r for r in declared if "extra ==" not in r and re.split(r"[^\w.-]", r, maxsplit=1)[0] in packages]


def _champion(client: MlflowClient, name: str) -> Mapping[str, str] | None:
    """Tags of the version that the alias points to."""
    version = client.get_registered_model(name).aliases.get(CHAMPION)
    return client.get_model_version(name, version).tags if version else None


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
