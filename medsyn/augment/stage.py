"""From a checkpoint to a labelled synthetic set."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from medsyn import __version__, compute, generator, tracking
from medsyn.augment import candidates, counts, writers
from medsyn.config import AugmentOptions
from medsyn.data import Dataset
from medsyn.data.lookup import by_digest
from medsyn.errors import DataError, EnvironmentFault
from medsyn.images import contact_sheet, save_png
from medsyn.progress import SILENT, Progress
from medsyn.synthetic import SCHEMA_VERSION
from medsyn.workspace import GENERATOR, SYNTHETIC, Workspace, atomic_file, free_bytes, read_json

MAX_TRIES = 3
SHOWN = 12  # images of a class on the contact sheet
LIMITS = [
    "For research; not for diagnosis.",
    "Synthetic does not mean safe to share: a generator can repeat what it learnt; 'medsyn evaluate' tests for copies.",
    "The label is the class the generator was asked for; nobody has read these images.",
    "Whether these images help a classifier is for 'medsyn evaluate' to say.",
]


@dataclass(frozen=True)
class AugmentResult:
    """What `run` made."""

    path: Path
    name: str
    modality: str
    n: int
    images_per_class: dict[str, int]
    rejected: dict[str, int]
    contact_sheet: Path
    mlflow_run: str | None


def run(options: AugmentOptions, workspace: Workspace, progress: Progress = SILENT) -> AugmentResult:
    """Generate a labelled synthetic set.

    Args:
        options: What to make.
        workspace: Where generators lie and the set goes.
        progress: Listener.

    Raises:
        MissingError: No generator yet.
        DataError: The checkpoint is damaged, or a class yields too few usable images.
        EnvironmentFault: The set would not fit on the disk.
    """
    source = (
        workspace.find(GENERATOR, options.generator)
        if options.generator
        else workspace.latest(GENERATOR, options.modality)
    )
    progress.say(f"Generator: {source.name}" + ("" if options.generator else " (the newest)"))
    device = compute.device(options.device, options.threads)
    model = generator.load(source, device)
    config = read_json(source / GENERATOR.main_file)
    real: dict[str, int] = config["training"]["images_per_class"]
    wanted = counts.per_class(options.n, real, options.balance)
    progress.say("Images: " + ", ".join(f"{c} {n}" for c, n in wanted.items()))
    _check_space(options, model, workspace)
    nearest = _nearest_training(workspace, config, progress)
    _remember_subjects(source, config["digest"], workspace)
    tags = {"medsyn.parent_run": config.get("mlflow_run"), "medsyn.checkpoint_digest": config["digest"]}
    name = config["name"]
    with (
        tracking.start(workspace.create(), "augment", config["modality"], tags) as tracked,
        workspace.build(SYNTHETIC, name) as build,
    ):
        tracked.params(options.model_dump() | {"generator": source.name})
        rows, rejected = _generate(options, model, config["digest"], wanted, nearest, build.path, progress)
        writers.write_tables(build.path, rows)
        accepted = [row for row in rows if row["accepted"]]
        per_class = dict(Counter(row["label"] for row in accepted))
        card = {
            "schema": SCHEMA_VERSION,
            "modality": config["modality"],
            "name": name,
            "synthetic": True,
            "classes": model.classes,
            "n": len(accepted),
            "images_per_class": {c: per_class.get(c, 0) for c in model.classes},
            "image_shape": list(model.image_shape),
            "seed": options.seed,
            "balance": options.balance,
            "truncation": options.truncation,
            "formats": options.formats,
            "candidates": len(rows),
            "rejected": dict(rejected),
            "generator": source.name,
            "checkpoint_digest": config["digest"],
            "dataset_digest": config["dataset"]["content_digest"],
            "mlflow_run": tracked.id,
            "medsyn": __version__,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "limits": LIMITS,
        }
        (build.path / "card.md").write_text(writers.card_text(card), encoding="utf-8")
        tracked.metrics([{"images": len(accepted), "candidates": len(rows)}])
        for file in ("card.md", "contact_sheet.png"):
            tracked.artifact(build.path / file)
        path = build.commit(card)
        tracked.tags({"medsyn.result": path.name})
    return AugmentResult(
        path,
        path.name,
        config["modality"],
        len(accepted),
        card["images_per_class"],
        dict(rejected),
        path / "contact_sheet.png",
        tracked.id,
    )


def _generate(
    options: AugmentOptions,
    model: generator.Generator,
    digest: str,
    wanted: dict[str, int],
    nearest: candidates.NearestTraining | None,
    folder: Path,
    progress: Progress,
) -> tuple[list[dict[str, Any]], Counter[str]]:
    """Draw, judge and write in order of the candidates; returns the manifest rows and the rejections by reason."""
    png = writers.PngWriter(folder, f"medsyn, checkpoint {digest[:16]}, seed {options.seed}")
    npz = writers.NpzWriter(folder, options.n, model.image_shape) if "npz" in options.formats else None
    rows: list[dict[str, Any]] = []
    rejected: Counter[str] = Counter()
    kept: Counter[str] = Counter()
    samples: dict[str, list[np.ndarray]] = {label: [] for label, number in wanted.items() if number}
    with progress.task("generating", options.n) as task:
        for found in candidates.draw(model, wanted, options.seed, MAX_TRIES, options.truncation):
            distances = nearest.of(found) if nearest else [None] * len(found)
            for candidate, distance in zip(found, distances, strict=True):
                entry: dict[str, Any] = {
                    "index": candidate.index,
                    "label": candidate.label,
                    "accepted": candidate.reason is None,
                    "reason": candidate.reason,
                    "file": None,
                    "row": None,
                    "seed": options.seed,
                    "checkpoint_digest": digest,
                    "pixel_digest": hashlib.sha256(candidate.pixels.tobytes()).hexdigest(),
                    "file_digest": None,
                    "scores": {},
                    "nearest_train_distance": distance,
                }
                rows.append(entry)
                if candidate.reason is not None:
                    rejected[candidate.reason] += 1
                    continue
                row = entry["row"] = kept.total()
                if "png" in options.formats:
                    entry["file"] = f"images/{safe_name(candidate.label)}/{candidate.index:08d}.png"
                    entry["file_digest"] = png.write(entry["file"], candidate.pixels)
                if npz:
                    npz.write(row, candidate.pixels)
                kept[candidate.label] += 1
                if len(samples[candidate.label]) < SHOWN:
                    samples[candidate.label].append(candidate.pixels)
            task.update(kept.total())
    short = next((label for label, number in wanted.items() if kept[label] < number), None)
    if short is not None:
        why = ", ".join(f"{n} {reason}" for reason, n in rejected.items())
        raise DataError(
            f"only {kept[short]} of {wanted[short]} usable images of class '{short}' "
            f"in {MAX_TRIES * wanted[short]} tries ({why})",
            where="augment",
            mend="The generator has collapsed for this class: train it longer, or on more images.",
        )
    if npz:
        npz.finish([r["label"] for r in rows if r["accepted"]], model.classes)
    sheet = contact_sheet({label: np.stack(images) for label, images in samples.items()})
    save_png(sheet, folder / "contact_sheet.png")
    return rows, rejected


def _nearest_training(
    workspace: Workspace, config: dict[str, Any], progress: Progress
) -> candidates.NearestTraining | None:
    path = by_digest(workspace, config["dataset"]["content_digest"])
    if path is not None:
        dataset = Dataset.open(path, splits=("train",))
        rows = dataset.rows("train")
        return candidates.NearestTraining(dataset.images(rows), dataset.table.loc[rows, "label"].to_numpy(str))
    progress.say("The training images are not in this workspace: nearest_train_distance stays empty.")
    return None


def _remember_subjects(source: Path, digest: str, workspace: Workspace) -> None:
    """Keep the keys of whom the generator learnt from, where `evaluate` finds them when the generator is gone.

    Not in the set itself: that is made to be shared.
    """
    file = source / "subjects.parquet"
    if file.is_file():
        with atomic_file(workspace.create().private / f"subjects-{digest[:16]}.parquet", mode=0o600) as partial:
            shutil.copyfile(file, partial)


def _check_space(options: AugmentOptions, model: generator.Generator, workspace: Workspace) -> None:
    """Refuse before the first image what cannot fit: pixels once per format, with room for headers and tables."""
    pixels = int(np.prod(model.image_shape))
    need = options.n * ((pixels + 600) * len(options.formats) + pixels + 600)
    free = free_bytes(workspace.path)
    if need > free:
        raise EnvironmentFault(
            f"{options.n} images need about {need / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free",
            where=workspace.path,
            mend="Ask for fewer with --n, or name another --workspace.",
        )


def safe_name(label: str) -> str:
    """A label as a folder name: other characters than letters, digits, ``_``, ``-`` and ``.`` become their code."""
    name = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else f"%{ord(c):02x}" for c in label)
    return name or "%"
