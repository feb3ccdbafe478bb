"""`medsyn train-gan`: from a dataset to a checkpoint, inside a budget, resumable at any moment."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from medsyn import compute, tracking
from medsyn.config import TrainOptions
from medsyn.data import Dataset
from medsyn.data.lookup import by_digest
from medsyn.errors import DataError, EnvironmentFault, MissingError
from medsyn.gan.material import Material
from medsyn.gan.session import Session
from medsyn.gan.unfinished import Unfinished, unfinished
from medsyn.generator import checkpoint
from medsyn.generator.grid import save_grid
from medsyn.progress import SILENT, Progress
from medsyn.workspace import DATASET, GENERATOR, Workspace, atomic_file


@dataclass(frozen=True)
class TrainResult:
    """What a training left."""

    path: Path  # the checkpoint folder
    name: str
    modality: str
    kimg: float  # thousands of images shown
    seconds: float  # wall clock, earlier parts of a resumed training included
    monitor: dict[str, float]  # KID, coverage, ... of the kept snapshot on tune; empty where tune is too small
    health: list[str]  # what went wrong and was answered; empty is well
    grid: Path  # PNG, one class a row
    mlflow_run: str | None
    resumed: bool


def run(options: TrainOptions, workspace: Workspace, progress: Progress = SILENT) -> TrainResult:
    """Train a class-conditional generator on the train split; its tune split picks the snapshot that is kept.

    Args:
        options: With ``resume`` only ``modality``, ``dataset`` and ``device`` count: the plan is the stored one.
        workspace: Where the dataset lies and the checkpoint goes.
        progress: Hears the plan, the losses, and KID.

    Raises:
        MissingError: No dataset, or nothing to resume.
        DataError: Synthetic images, no labels, one class, or too few images.
        KeyboardInterrupt: SIGINT or SIGTERM, after a snapshot that ``resume`` continues.
    """
    started = perf_counter()
    if options.resume:
        digest = Dataset.open(workspace.find(DATASET, options.dataset)).digest if options.dataset else None
        folder = Unfinished.newest(workspace, options.modality, digest)
        try:
            return _resume(folder, options, workspace, progress, started)
        finally:
            folder.release()
    path = workspace.find(DATASET, options.dataset) if options.dataset else workspace.latest(DATASET, options.modality)
    material = Material.open(path)
    modality = material.dataset.modality
    if options.modality is not None and options.modality != modality:
        raise DataError(
            f"is of modality '{modality}', not '{options.modality}'", where=path, mend=f"Use --modality {modality}."
        )
    progress.say(f"learning from {path.name}: {len(material.train)} images; {len(material.tune)} more to watch it by")
    waiting = unfinished(workspace, modality)
    if waiting:
        progress.say(f"{len(waiting)} unfinished training(s) of '{modality}' left alone (--resume continues one)")
    device = compute.device(options.device, options.threads)
    with tracking.start(workspace, "train-gan", modality, _lineage(material)) as mlflow:
        session = Session.begin(options, material, device, started, progress)
        folder = Unfinished.create(workspace, str(material.dataset.meta["name"]))
        try:
            return _finish(session, folder, workspace, progress, mlflow, resumed=False)
        finally:
            folder.release()


def _resume(
    folder: Unfinished, options: TrainOptions, workspace: Workspace, progress: Progress, started: float
) -> TrainResult:
    state, tensors = folder.read()
    path = by_digest(workspace, state["dataset_digest"])
    if path is None:
        raise MissingError(
            "the dataset that this training began with is gone",
            where=workspace.path,
            mend="Put it back, or run 'medsyn train-gan' without --resume.",
        )
    material = Material.open(path)
    progress.say(f"resuming {state['name']} at {state['images'] / 1000:g} kimg, with its own plan and budget")
    device = compute.device(options.device, state["plan"]["threads"])
    if device.type != state["plan"]["device"].split(":")[0]:
        raise EnvironmentFault(
            f"this training began on '{state['plan']['device']}'",
            where="--device",
            mend=f"Resume it with --device {state['plan']['device']}.",
        )
    tags = _lineage(material) | {"medsyn.resumed_run": state["mlflow_run"]}
    with tracking.start(workspace, "train-gan", material.dataset.modality, tags) as mlflow:
        session = Session.restore(state, tensors, material, device, started)
        return _finish(session, folder, workspace, progress, mlflow, resumed=True)


def _finish(
    session: Session,
    folder: Unfinished,
    workspace: Workspace,
    progress: Progress,
    mlflow: tracking.Run,
    *,
    resumed: bool,
) -> TrainResult:
    """Train to the end of the plan, then show the checkpoint."""
    progress.say(session.plan.sentence())
    mlflow.params(session.plan.to_json() | {"dataset": session.material.dataset.digest, "resumed": resumed})
    session.train(folder, progress, mlflow)
    dataset, name = session.material.dataset, str(session.material.dataset.meta["name"])
    with workspace.build(GENERATOR, name) as build:
        generator = session.chosen()
        digest = checkpoint.save(generator, build.path)
        session.material.write_subjects(build.path / checkpoint.SUBJECTS)
        state, tensors = session.state(mlflow)
        # Without the codes of the training images: they would be patients in another coat.
        checkpoint.write_tensors(build.path / checkpoint.TRAINING, tensors, {"state": json.dumps(state)})
        with atomic_file(build.path / "metrics.jsonl") as partial:
            partial.write_text("".join(json.dumps(row, allow_nan=False) + "\n" for row in session.rows))
        save_grid(generator, build.path / "samples" / "chosen.png")
        for png in sorted(folder.path.glob("samples/*.png")):
            (build.path / "samples" / png.name).write_bytes(png.read_bytes())
        monitor = session.best_check.to_json() if session.best_check else {}
        path = build.commit(
            generator.config
            | {
                "schema": checkpoint.SCHEMA_VERSION,
                "modality": dataset.modality,
                "name": name,
                "recipe": session.plan.recipe,
                "plan": session.plan.to_json(),
                "dataset": {"name": dataset.path.name, "content_digest": dataset.digest},
                "training": _training(session),
                "digest": digest,
                "health": session.recovery.events,
                "monitor": monitor | {"kept_at_kimg": session.best_images / 1000},
                "mlflow_run": mlflow.id,
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
            }
        )
    folder.remove()
    grid = path / "samples" / "chosen.png"
    mlflow.metrics([{f"best_{k}": v for k, v in monitor.items()} | {"seconds": session.seconds()}])
    for file in (path / GENERATOR.main_file, path / checkpoint.WEIGHTS, grid):
        mlflow.artifact(file)
    mlflow.tags({"medsyn.generator": path.name, "medsyn.digest": digest})
    return TrainResult(
        path=path,
        name=path.name,
        modality=dataset.modality,
        kimg=session.trainer.images / 1000,
        seconds=session.seconds(),
        monitor=monitor,
        health=[event["sentence"] for event in session.recovery.events],
        grid=grid,
        mlflow_run=mlflow.id,
        resumed=resumed,
    )


def _training(session: Session) -> dict[str, Any]:
    material = session.material
    return {
        "images": len(material.train),
        "images_per_class": {
            name: int((material.train_labels == c).sum()) for c, name in enumerate(material.dataset.classes)
        },
        "subjects": int(material.subjects()["subject"].nunique()),
        "kimg": session.trainer.images / 1000,
        "seconds": round(session.seconds(), 1),
        "device": session.plan.device,
        "threads": session.plan.threads,
    }


def _lineage(material: Material) -> dict[str, Any]:
    return {
        "medsyn.parent_run": material.dataset.meta.get("mlflow_run"),
        "medsyn.dataset": material.dataset.path.name,
        "medsyn.dataset_digest": material.dataset.digest,
    }
