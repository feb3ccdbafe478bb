"""`medsyn train-gan`: from a dataset to a checkpoint, inside a budget, resumable at any moment."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any, cast

import torch

from medsyn import compute, portable, tracking
from medsyn.config import TrainOptions
from medsyn.data import Dataset
from medsyn.data.lookup import by_digest
from medsyn.errors import DataError, EnvironmentFault, MissingError
from medsyn.gan import card, registration, signals
from medsyn.gan.distributed import World, joined
from medsyn.gan.material import Material
from medsyn.gan.session import Session
from medsyn.gan.unfinished import MEND, Unfinished, damaged, unfinished
from medsyn.generator import checkpoint
from medsyn.generator.grid import save_grid
from medsyn.progress import SILENT, Progress
from medsyn.workspace import DATASET, GENERATOR, Workspace, atomic_file


@dataclass(frozen=True)
class TrainResult:
    """What a training left.

    Attributes:
        path: The checkpoint folder.
        name: Its name.
        modality: Preset name.
        kimg: Thousands of images shown.
        closed_form: Whether what needs no training is kept: a mixture of Gaussians.
        seconds: Wall clock, earlier parts of a resumed training included.
        monitor: KID, coverage, ... of the kept snapshot on tune; empty where tune is too small.
        health: What went wrong and was answered; empty is well.
        grid: PNG, one class a row.
        card: ``card.md``, for people.
        registered: URI in MLflow's model registry, or None.
        mlflow_run: Run id, None without tracking.
        resumed: Whether it went on with an earlier one.
        caveats: What whoever uses the generator must know.
    """

    path: Path
    name: str
    modality: str
    kimg: float
    closed_form: bool
    seconds: float
    monitor: dict[str, float]
    health: list[str]
    grid: Path
    card: Path
    registered: str | None
    mlflow_run: str | None
    resumed: bool
    caveats: list[str] = field(default_factory=list)


def run(options: TrainOptions, workspace: Workspace, progress: Progress = SILENT) -> TrainResult:
    """Train a class-conditional generator on the train split; its tune split picks the snapshot that is kept.

    Args:
        options: With ``resume`` only ``modality``, ``dataset`` and ``device`` count: the plan is the stored one.
        workspace: Where the dataset lies and the checkpoint goes.
        progress: Hears the plan, the losses, and KID.

    Raises:
        MissingError: No dataset, or nothing to resume.
        DataError: Synthetic images, no labels, one class, or too few images.
        KeyboardInterrupt: SIGINT, or SIGTERM (`Preempted`), after a snapshot that ``resume`` continues.
        EnvironmentFault: Of several processes, one has died (`medsyn.gan.distributed.ProcessLost`).
    """
    started = perf_counter()
    device = compute.device(options.device, options.threads)
    with joined(device) as world, nullcontext() if world.main else tracking.off():
        begin = _resume if options.resume else _begin
        return begin(options, workspace, world, progress if world.main else SILENT, started)


def _begin(
    options: TrainOptions, workspace: Workspace, world: World, progress: Progress, started: float
) -> TrainResult:
    path, digest = world.from_main(lambda: _chosen(options, workspace))
    material = _material(path, digest, options.allow_synthetic)
    modality = material.dataset.modality
    if options.modality is not None and options.modality != modality:
        raise DataError(
            f"is of modality '{modality}', not '{options.modality}'", where=path, mend=f"Use --modality {modality}."
        )
    progress.say(f"learning from {path.name}: {len(material.train)} images; {len(material.tune)} more to watch it by")
    for lost in damaged(workspace):
        progress.say(f"{lost}: an unfinished training that is damaged. {MEND}")
    waiting = unfinished(workspace, modality)
    if waiting:
        progress.say(f"{len(waiting)} unfinished training(s) of '{modality}' left alone (--resume continues one)")
    start = world.from_main(lambda: _start(options, workspace))
    with tracking.start(workspace, "train-gan", modality, _lineage(material)) as mlflow:
        session = Session.begin(options, material, world, started, progress, start)
        folder = Unfinished.create(workspace, str(material.dataset.meta["name"])) if world.main else None
        try:
            return _finish(session, folder, workspace, progress, mlflow, resumed=False)
        finally:
            if folder is not None:
                folder.release()


def _chosen(options: TrainOptions, workspace: Workspace) -> tuple[Path, str]:
    """Folder and content digest of the dataset that is asked for."""
    path = workspace.chosen(DATASET, options.dataset, options.modality)
    return path, Dataset.open(path).digest


def _start(options: TrainOptions, workspace: Workspace) -> tuple[str, dict[str, torch.Tensor]] | None:
    """What the weights are taken from, where that is asked for."""
    return checkpoint.load_training(portable.chosen(workspace, options.init_from)) if options.init_from else None


def _material(path: Path, digest: str, allow_synthetic: bool) -> Material:
    material = Material.open(path, allow_synthetic=allow_synthetic)
    if material.dataset.digest != digest:
        raise DataError(
            "is not the same dataset in all processes", where=path, mend="Put the workspace where every node sees it."
        )
    return material


def _resume(
    options: TrainOptions, workspace: Workspace, world: World, progress: Progress, started: float
) -> TrainResult:
    folder = _newest(options, workspace) if world.main else None
    try:
        state, tensors = world.from_main(lambda: folder.read() if folder is not None else ({}, {}))
        world.check(state["plan"]["batch"])
        digest = state["dataset_digest"]
        # Whether synthetic images are allowed was asked when it began.
        material = _material(world.from_main(lambda: _with_digest(digest, workspace)), digest, True)
        processes = f", by {world.size} processes" if world.size > 1 else ""
        progress.say(
            f"resuming {state['name']} at {state['images'] / 1000:g} kimg, with its own plan and budget{processes}"
        )
        device = compute.device(options.device, state["plan"]["threads"])
        if device.type != state["plan"]["device"].split(":")[0]:
            raise EnvironmentFault(
                f"this training began on '{state['plan']['device']}'",
                where="--device",
                mend=f"Resume it with --device {state['plan']['device']}.",
            )
        tags = _lineage(material) | {"medsyn.resumed_run": state["mlflow_run"]}
        with tracking.start(workspace, "train-gan", material.dataset.modality, tags) as mlflow:
            session = Session.restore(state, tensors, material, world, started)
            return _finish(session, folder, workspace, progress, mlflow, resumed=True)
    finally:
        if folder is not None:
            folder.release()


def _newest(options: TrainOptions, workspace: Workspace) -> Unfinished:
    digest = Dataset.open(workspace.find(DATASET, options.dataset)).digest if options.dataset else None
    return Unfinished.newest(workspace, options.modality, digest)


def _with_digest(digest: str, workspace: Workspace) -> Path:
    path = by_digest(workspace, digest)
    if path is None:
        raise MissingError(
            "the dataset that this training began with is gone",
            where=workspace.path,
            mend="Put it back, or run 'medsyn train-gan' without --resume.",
        )
    return path


def _finish(
    session: Session,
    folder: Unfinished | None,
    workspace: Workspace,
    progress: Progress,
    mlflow: tracking.Run,
    *,
    resumed: bool,
) -> TrainResult:
    """Train to the end of the plan, then let rank 0 show the checkpoint."""
    progress.say(session.plan.sentence())
    mlflow.params(session.plan.to_json() | {"dataset": session.material.dataset.digest, "resumed": resumed})
    with signals.held() as received:
        session.train(folder, progress, mlflow, received)
        of_main = cast(Unfinished, folder)
        result = session.world.from_main(lambda: _commit(session, of_main, workspace, mlflow, resumed))
    if received:
        raise signals.interruption(received[0])
    return result


def _commit(
    session: Session, folder: Unfinished, workspace: Workspace, mlflow: tracking.Run, resumed: bool
) -> TrainResult:
    """Write the checkpoint of the chosen generator."""
    dataset, name = session.material.dataset, str(session.material.dataset.meta["name"])
    with workspace.build(GENERATOR, name) as build:
        generator = session.best.generator
        digest = checkpoint.save(generator, build.path)
        session.material.write_subjects(build.path / checkpoint.SUBJECTS)
        state, tensors = session.state(mlflow)
        # Without the codes of the training images: they would be patients in another coat.
        facts = {"state": json.dumps(state)}
        training_digest = checkpoint.write_tensors(build.path / checkpoint.TRAINING, tensors, facts)
        with atomic_file(build.path / "metrics.jsonl") as partial:
            partial.write_text("".join(json.dumps(row, allow_nan=False) + "\n" for row in session.rows))
        save_grid(generator, build.path / "samples" / "chosen.png")
        for png in sorted(folder.path.glob("samples/*.png")):
            (build.path / "samples" / png.name).write_bytes(png.read_bytes())
        monitor = session.best.check.to_json() if session.best.check else {}
        config = generator.config | {
            "schema": checkpoint.SCHEMA_VERSION,
            "modality": dataset.modality,
            "name": name,
            "recipe": session.plan.recipe,
            "plan": session.plan.to_json(),
            "dataset": {"name": dataset.path.name, "content_digest": dataset.digest},
            "training": _training(session),
            "digest": digest,
            "training_digest": training_digest,
            "health": session.recovery.events,
            "monitor": monitor | {"kept_at_kimg": session.best.images / 1000},
            "mlflow_run": mlflow.id,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        card.write(card.describe(session, generator, config), build.path)
        path = build.commit(config)
    folder.remove()
    grid = path / "samples" / "chosen.png"
    mlflow.metrics([{f"best_{k}": v for k, v in monitor.items()} | {"seconds": session.seconds()}])
    for file in (path / GENERATOR.main_file, path / card.JSON, path / card.MARKDOWN, grid):
        mlflow.artifact(file)
    mlflow.tags({"medsyn.generator": path.name, "medsyn.digest": digest})
    registered = registration.register(mlflow, path, config)
    return TrainResult(
        path=path,
        name=path.name,
        modality=dataset.modality,
        kimg=session.trainer.images / 1000,
        closed_form=session.best.closed_form,
        seconds=session.seconds(),
        monitor=monitor,
        health=[event["sentence"] for event in session.recovery.events],
        grid=grid,
        card=path / card.MARKDOWN,
        registered=registered.uri if registered else None,
        mlflow_run=mlflow.id,
        resumed=resumed,
        caveats=session.material.caveats,
    )


def _training(session: Session) -> dict[str, Any]:
    material = session.material
    return {
        "images": len(material.train),
        "synthetic_images": material.synthetic,
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
    synthetic = {"medsyn.synthetic_images": material.synthetic} if material.synthetic else {}
    return synthetic | {
        "medsyn.parent_run": material.dataset.meta.get("mlflow_run"),
        "medsyn.dataset": material.dataset.path.name,
        "medsyn.dataset_digest": material.dataset.digest,
    }
