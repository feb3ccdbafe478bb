"""A generator as a version in MLflow's model registry, and the champion among the versions."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import tomllib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medsyn.tracking.store import exists_already, is_final

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion

MODELS = "medsyn-"
"""Of the names of registered models: the modality follows."""

CHAMPION = "champion"
"""MLflow's usual name for the version to use: ``models:/medsyn-xray@champion``; ``models:/medsyn-xray/latest`` is the
newest."""

MODEL_FILES = ("config.json", "generator.safetensors", "card.json", "card.md")
"""Of a checkpoint folder. The rest, discriminator and keys of patients among it, is not needed to generate."""

MODEL_CODE = ("__init__.py", "compute.py", "errors.py", "images.py", "torchrun.py", "workspace.py", "generator")
"""Of medsyn: what `medsyn.generator.served` imports, so that a model is served by the code that made it, anywhere."""

MODEL_PACKAGES = ("filelock", "mlflow", "numpy", "pandas", "pillow", "safetensors", "torch")

TakesOver = Callable[[Mapping[str, str], Mapping[str, str]], bool]
"""Given the tags of a new version and those of the champion, whether the new one becomes champion."""


@dataclass(frozen=True)
class Registered:
    """A version in MLflow's model registry."""

    name: str
    version: int
    champion: bool  # whether the alias points here now

    @property
    def uri(self) -> str:
        return f"models:/{self.name}{f'@{CHAMPION}' if self.champion else f'/{self.version}'}"


def order(
    workspace: Path,
    checkpoint: Path,
    name: str,
    classes: Sequence[str],
    description: str,
    tags: Mapping[str, Any],
    takes_over: TakesOver,
) -> dict[str, Any]:
    """What `register` needs, as JSON: the rule by its name, the checkpoint by its place in the workspace."""
    inside = checkpoint.is_relative_to(workspace)
    return {
        "checkpoint": str(checkpoint.relative_to(workspace) if inside else checkpoint),
        "name": name,
        "classes": list(classes),
        "description": description,
        "tags": {key: str(value) for key, value in tags.items() if value is not None},
        "takes_over": f"{takes_over.__module__}:{takes_over.__qualname__}",
    }


def register(
    client: MlflowClient, experiment: str, run_id: str, workspace: Path, order: Mapping[str, Any], again: bool
) -> Registered:
    """Log a checkpoint as a model that ``mlflow models serve`` can serve, and register it.

    Args:
        client: Of the store.
        experiment: Its id.
        run_id: The run that trained it.
        workspace: Its folder.
        order: See the function `order`.
        again: An earlier attempt may have come some way: what it has made is used.

    Raises:
        FileNotFoundError: The checkpoint is gone.
        Exception: Of MLflow.
    """
    from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

    name = order["name"]
    earlier = client.search_model_versions(f"run_id = '{run_id}' AND name = '{name}'") if again else []
    if earlier:
        # A version does not know its model, though it was made from it.
        made, logged = earlier[0], _logged(client, experiment, run_id, order, again)
    else:
        checkpoint = workspace / order["checkpoint"]
        if not (checkpoint / MODEL_FILES[0]).is_file():
            raise FileNotFoundError(checkpoint)
        with tempfile.TemporaryDirectory(prefix="medsyn-model-") as folder:
            made, logged = _version(client, experiment, run_id, checkpoint, order, Path(folder), again)
    version = str(made.version)
    versions = json.dumps([{"name": name, "version": int(version)}])
    client.set_logged_model_tags(logged.model_id, {MLFLOW_MODEL_VERSIONS: versions})
    champion = _champion(client, name)
    moved = (
        champion is None or str(champion.version) == version or _rule(order["takes_over"])(order["tags"], champion.tags)
    )
    if moved:
        client.set_registered_model_alias(name, CHAMPION, version)
    return Registered(name, int(version), moved)


def _rule(name: str) -> TakesOver:
    """A function of medsyn by its name: journals cannot name any other code."""
    module, _, function = name.partition(":")
    if not re.fullmatch(r"medsyn(\.[a-z_]+)+", module):
        raise ValueError(f"'{name}' is no function of medsyn")
    found: TakesOver = getattr(import_module(module), function)
    return found


def _version(
    client: MlflowClient,
    experiment: str,
    run_id: str,
    checkpoint: Path,
    order: Mapping[str, Any],
    folder: Path,
    again: bool,
) -> tuple[ModelVersion, LoggedModel]:
    """Through the client alone, not `mlflow.pyfunc.log_model`: that would change the caller's own store and run."""
    from mlflow.entities import LoggedModelOutput
    from mlflow.exceptions import MlflowException

    name = order["name"]
    logged = _logged(client, experiment, run_id, order, again)
    if str(logged.status) != "READY":
        _upload(client, run_id, checkpoint, order["classes"], folder, logged)
    outputs = client.get_run(run_id).outputs if again else None
    if outputs is None or logged.model_id not in [o.model_id for o in outputs.model_outputs]:
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    try:
        client.create_registered_model(name, description="Class-conditional generator of medsyn.")
    except MlflowException as error:
        if not exists_already(error):
            raise
    # By place, not as models:/<id>: a database resolves that in the store of the process, whatever the client's is.
    made = client.create_model_version(
        name,
        logged.artifact_location,
        run_id,
        order["tags"],
        description=order["description"],
        model_id=logged.model_id,
    )
    return made, logged


def _logged(client: MlflowClient, experiment: str, run_id: str, order: Mapping[str, Any], again: bool) -> LoggedModel:
    """A model of the run to put files in: the one of an earlier attempt, or a new one."""
    found = client.search_logged_models([experiment], f"name = '{order['name']}'") if again else []
    mine = [model for model in found if model.source_run_id == run_id and str(model.status) != "FAILED"]
    if mine:
        return mine[0]
    return client.create_logged_model(experiment, name=order["name"], source_run_id=run_id, tags=order["tags"])


def _upload(
    client: MlflowClient, run_id: str, checkpoint: Path, classes: Sequence[str], folder: Path, logged: LoggedModel
) -> None:
    from mlflow.models import Model

    try:
        model = Model(run_id=run_id, model_id=logged.model_id, artifact_path=logged.artifact_location)
        _save_model(checkpoint, classes, folder, model)
        client.log_model_artifacts(logged.model_id, str(folder / "model"))
    except Exception as error:
        if is_final(error):
            with suppress(Exception):
                client.finalize_logged_model(logged.model_id, "FAILED")
        raise
    client.finalize_logged_model(logged.model_id, "READY")


def _champion(client: MlflowClient, name: str) -> ModelVersion | None:
    """The version that the alias points to."""
    version = client.get_registered_model(name).aliases.get(CHAMPION)
    return client.get_model_version(name, version) if version else None


def _save_model(checkpoint: Path, classes: Sequence[str], folder: Path, model: Any) -> None:
    """Write ``folder/model``: MLflow's layout of a model from code, without any pickle."""
    import mlflow.pyfunc
    import pandas as pd
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

    package, files, code = Path(__file__).parents[1], folder / "files", folder / "medsyn"
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
        project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
        declared = project["project"]["dependencies"]
    return [r for r in declared if "extra ==" not in r and re.split(r"[^\w.-]", r, maxsplit=1)[0] in packages]
