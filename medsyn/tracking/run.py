"""One run of MLflow a stage, with nested ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from medsyn import __version__
from medsyn.tracking import registry
from medsyn.tracking.journal import local_id
from medsyn.tracking.outbox import Outbox
from medsyn.workspace import Workspace

_silent = False


class Run:
    """One MLflow run. What it is told is kept until MLflow has it; a failure is told once and never ends a stage.

    Args:
        outbox: Of the stage; None tracks nothing.
        local: Id of the run until MLflow has given it one.
    """

    def __init__(self, outbox: Outbox | None = None, local: str = "") -> None:
        self._outbox, self._local = outbox, local

    @property
    def id(self) -> str | None:
        """Of MLflow; as long as that has not answered, the local one, which the run will have as tag ``medsyn.run``.

        None where nothing is tracked.
        """
        if self._outbox is None:
            return None
        return self._outbox.journal.runs.get(self._local) or self._local

    def params(self, values: Mapping[str, Any]) -> None:
        """Log parameters; nested values become dotted keys."""
        self._add("params", values={k: str(v)[:500] for k, v in _flatten(values).items()})

    def metrics(self, rows: Sequence[Mapping[str, float]], step_key: str = "step") -> None:
        """Log many metrics in few requests.

        Args:
            rows: Each a mapping of metric names to finite numbers; ``step_key``, where present, is the step (images
                shown, for training).
        """
        values = [
            (name, float(value), int(row.get(step_key, 0)))
            for row in rows
            for name, value in row.items()
            if name != step_key
        ]
        self._add("metrics", values=values)

    def tags(self, values: Mapping[str, Any]) -> None:
        self._add("tags", values={k: str(v) for k, v in values.items()})

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Log one file. Never pass real patient images."""
        self._add("artifact", file=path, folder=folder)

    def register(
        self,
        checkpoint: Path,
        name: str,
        classes: Sequence[str],
        description: str,
        tags: Mapping[str, Any],
        takes_over: registry.TakesOver,
    ) -> registry.Registered | None:
        """Log a checkpoint as a model that ``mlflow models serve`` can serve, and register it.

        Args:
            checkpoint: The folder; `registry.MODEL_FILES` of it are sent.
            name: Of the registered model.
            classes: That can be asked for.
            description: Of the version, at most 5,000 characters.
            tags: Of the version.
            takes_over: Whether the alias of the champion shall move to this version; a function of a module of medsyn.

        Returns:
            The version, None where MLflow cannot take it or not yet: that is told, and ends nothing.
        """
        if self._outbox is None:
            return None
        place = self._outbox.workspace.path
        order = registry.order(place, checkpoint, name, classes, description, tags, takes_over)
        return self._add("model", **order)

    @contextmanager
    def child(self, name: str, tags: Mapping[str, Any] | None = None) -> Iterator[Run]:
        """A nested run, for one arm and seed."""
        if self._outbox is None:
            yield Run()
            return
        with _run(self._outbox, name, tags or {}, parent=self._local) as run:
            yield run

    def _add(self, do: str, file: Path | None = None, **values: Any) -> registry.Registered | None:
        return self._outbox.add(do, self._local, file, **values) if self._outbox is not None else None


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
    when the block ends with an exception. What earlier stages could not deliver is delivered first.

    Args:
        workspace: Where the default store lies.
        stage: ``ingest``, ``train-gan``, ``augment``, ``evaluate`` or ``models promote``.
        modality: Preset name.
        tags: More tags; lineage goes in ``medsyn.parent_run`` (run id of the predecessor).
    """
    if _silent:
        yield Run()
        return
    base = {"medsyn.stage": stage, "medsyn.modality": modality, "medsyn.version": __version__}
    outbox = Outbox(workspace, stage)
    try:
        with _run(outbox, f"{stage} {modality}", {**base, **(tags or {})}) as run:
            yield run
    finally:
        outbox.close()


@contextmanager
def _run(outbox: Outbox, name: str, tags: Mapping[str, Any], parent: str = "") -> Iterator[Run]:
    local = local_id()
    told = {k: str(v) for k, v in tags.items() if v is not None}
    outbox.add("create", local, name=name, tags=told, parent=parent)
    try:
        yield Run(outbox, local)
    except BaseException as error:
        outbox.add("end", local, status="FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    outbox.add("end", local, status="FINISHED")


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
