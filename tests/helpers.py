"""Small real-format datasets and synthetic sets for tests."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.ndimage import gaussian_filter

from medsyn.data import Dataset, DatasetWriter, ImageRecord
from medsyn.synthetic import MANIFEST, SCHEMA_VERSION
from medsyn.workspace import DATASET, GENERATOR, SYNTHETIC, Workspace

SMALL: dict[str, str | float] = {"width": 0.25, "monitor_images": 32}
"""Knobs of a training that need not be good: narrow networks, few samples a look."""


@contextmanager
def coarse() -> Iterator[None]:
    """Features of images of 32 pixels, by the same network in a ninth of the time: where their numbers do not count."""
    from medsyn.metrics import features

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(features, "SIDE", 32)
        yield


def fresh_workspace(folder: Path, empty_store: Path) -> Workspace:
    """An empty workspace with an empty MLflow store of its own, and always the same split of the same subjects."""
    made = Workspace(folder / "workspace").create()
    shutil.copy(empty_store, made.path / "mlflow.db")
    (made.private / "project.key").write_text("5" * 64)
    return made


def blobs(
    n: int, classes: int = 2, side: int = 32, seed: int = 0, signal: float = 0.6
) -> tuple[np.ndarray, np.ndarray]:
    """Smooth random fields; class c carries stripes of its own frequency, strength ``signal``, at a random phase.

    Returns:
        float32 images ``[n, 1, side, side]`` in [0, 1], labels ``[n]`` in turn.
    """
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    field = np.stack([gaussian_filter(rng.normal(size=(side, side)), side / 10) for _ in range(n)])
    field /= field.std((1, 2), keepdims=True)
    place = np.arange(side) / side
    for i, (label, phase) in enumerate(zip(labels, rng.uniform(0, 2 * np.pi, n), strict=True)):
        field[i] += signal * np.sin(2 * np.pi * (3 + 3 * label) * place + phase)
    return np.clip(0.5 + field[:, None] / 8, 0, 1).astype(np.float32), labels


def shown_as_stored(source: int, side: int, **values: object) -> ImageRecord:
    """The record of a 16-bit picture that is shown from 0 to 65,535."""
    common = {
        "image_key": f"key{source}",
        "modality": "xray",
        "source_digest": f"{source:064d}",
        "source_height": side,
        "source_width": side,
        "slope": 1.0,
        "intercept": 0.0,
        "unit": "relative",
        "display_low": 0.0,
        "display_high": 65535.0,
        "display_source": "dtype",
    }
    return ImageRecord(source=source, **(common | values))  # type: ignore[arg-type]


def make_dataset(
    workspace: Workspace,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    subjects: Sequence[str] | None = None,
    official: Sequence[str] | None = None,
    synthetic: Sequence[bool] | None = None,
    class_names: Sequence[str] = ("no_finding", "pneumonia"),
    modality: str = "xray",
    prefix: str = "",
    view: Sequence[str | None] | None = None,
    sex: Sequence[str | None] | None = None,
) -> Dataset:
    """Commit images ``[n, C, H, W]`` in [0, 1] as a dataset; one subject an image unless given.

    Keys of images and subjects begin with ``prefix``.
    """
    with workspace.build(DATASET, modality) as build:
        writer = DatasetWriter(build.path, size=images.shape[-1], dtype="uint16", channels=images.shape[1])
        for i, (image, label) in enumerate(zip(images, labels, strict=True)):
            record = shown_as_stored(
                i,
                image.shape[-1],
                image_key=f"{prefix}image{i}",
                subject=subjects[i] if subjects is not None else f"{prefix}subject{i}",
                modality=modality,
                source_digest=hashlib.sha256(str(i).encode()).hexdigest(),
                label=class_names[label],
                official_split=official[i] if official is not None else None,
                synthetic=bool(synthetic[i]) if synthetic is not None else False,
                view=view[i] if view is not None else None,
                sex=sex[i] if sex is not None else None,
            )
            writer.add(record, (image * 65535).round().astype(np.uint16))
        written = writer.finish(key=workspace.project_key(), name=modality, modality=modality)
        return Dataset.open(build.commit(written.meta))


def make_generator(workspace: Workspace, dataset: Dataset, subjects: Sequence[str], digest: str = "c" * 64) -> Path:
    """The part of a generator's folder that `evaluate` reads: its digest and its training subjects."""
    with workspace.build(GENERATOR, dataset.modality) as build:
        pq.write_table(pa.table({"subject": pa.array(list(subjects), pa.string())}), build.path / "subjects.parquet")
        return build.commit({"schema": 1, "modality": dataset.modality, "digest": digest})


def make_synthetic(
    workspace: Workspace,
    dataset: Dataset,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    generator: Path | None = None,
    digest: str = "c" * 64,
    **card: object,
) -> Path:
    """Commit images ``[n, C, H, W]`` in [0, 1] with class indices as a synthetic set of ``dataset``."""
    pixels = (images * 255).round().astype(np.uint8)
    with workspace.build(SYNTHETIC, dataset.modality) as build:
        rows = [
            {
                "index": i,
                "label": dataset.classes[label],
                "accepted": True,
                "row": i,
                "seed": 0,
                "checkpoint_digest": digest,
                "pixel_digest": hashlib.sha256(pixels[i].tobytes()).hexdigest(),
                "scores": {},
            }
            for i, label in enumerate(labels)
        ]
        pq.write_table(pa.Table.from_pylist(rows, schema=MANIFEST), build.path / "manifest.parquet")
        arranged = pixels[:, 0] if pixels.shape[1] == 1 else pixels.transpose(0, 2, 3, 1)
        np.savez(build.path / "images.npz", train_images=arranged, train_labels=np.asarray(labels)[:, None])
        content = {
            "schema": SCHEMA_VERSION,
            "modality": dataset.modality,
            "classes": dataset.classes,
            "n": len(labels),
            "seed": 0,
            "checkpoint_digest": digest,
            "generator": generator.name if generator else "xray-999",
            "dataset_digest": dataset.digest,
            "image_shape": list(dataset.image_shape),
            "mlflow_run": None,
            "created": "2026-01-01T00:00:00+00:00",
        }
        return build.commit(content | card)


def read_predictions(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path / "predictions.parquet")


def closed_form_generator(
    workspace: Workspace, dataset: Dataset, *, batch: int = 16, contrast: float = 1.0, name: str = "xray"
) -> Path:
    """A class Gaussian over principal components of a dataset, committed as training would leave a generator.

    ``contrast`` 0 makes it collapse: every image is the mean image.
    """
    from medsyn import generator
    from medsyn.generator import first_stage
    from medsyn.generator.first_stage import Fitting

    train = dataset.rows("train")
    images, labels = dataset.images(train), dataset.labels(train)
    stage = first_stage.fit("pca", images, labels, Fitting(explained=0.98, most=max(8, len(images) // 4)))
    config = {
        "schema": generator.checkpoint.SCHEMA_VERSION,
        "modality": dataset.modality,
        "name": name,
        "classes": dataset.classes,
        "image_shape": list(dataset.image_shape),
        "condition_schema": dataset.condition_schema,
        "network": {"kind": "none"},
        "first_stage": stage.sizes(),
        "batch": batch,
        "dataset": {"content_digest": dataset.digest},
        "training": {
            "images_per_class": {c: int((labels == i).sum()) for i, c in enumerate(dataset.classes)},
        },
    }
    model = generator.Generator(config)
    model.first_stage.load_state_dict(stage.state_dict())
    model.first_stage.components.mul_(contrast)
    with workspace.build(GENERATOR, name) as build:
        subjects = sorted(set(dataset.subjects(train)))
        pq.write_table(pa.table({"subject": pa.array(subjects, pa.string())}), build.path / "subjects.parquet")
        return build.commit({**config, "digest": generator.save(model, build.path)})
