"""Synthetic sets of a real small generator, with candidates that were rejected."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from scipy.stats import norm

from medsyn import generator
from medsyn.data import Dataset
from medsyn.generator.first_stage.components import principal
from medsyn.generator.first_stage.mixture import ClassMixture
from medsyn.generator.first_stage.pca import PCA
from medsyn.synthetic import MANIFEST, SCHEMA_VERSION
from medsyn.workspace import GENERATOR, SYNTHETIC, Workspace

Rule = Callable[[np.ndarray, np.ndarray, np.ndarray], list[str | None]]
"""Candidate numbers, class indices and images ``[n, C, H, W]`` in [0, 1] to the rule that each one fails, or None."""

CODES = 48


def write_generator(workspace: Workspace, dataset: Dataset, wrong: float = 0.0) -> Path:
    """A Gaussian a class over principal components of the training images, as a checkpoint.

    Args:
        workspace: Where it goes.
        dataset: What it learns from.
        wrong: Share of its images that are of another class than the one it is asked for.
    """
    rows = dataset.rows("train", "tune")
    images, labels = dataset.images(rows), dataset.labels(rows)
    classes = len(dataset.classes)
    found = principal(images, explained=1.0, most=CODES)
    sizes = {"kind": "mixture", "classes": classes, "components": classes}
    stage = PCA(dataset.image_shape, len(found.scale), sizes)
    stage.take(found)
    prior: ClassMixture = stage.prior
    for c in range(classes):
        mine = found.codes[labels == c]
        values, vectors = np.linalg.eigh(np.cov(mine.T))
        prior.mean[c] = torch.from_numpy(mine.mean(0))
        prior.factor[c] = torch.from_numpy(vectors * np.sqrt(values.clip(0)))
    prior.share.copy_(torch.from_numpy(shares(classes, wrong)))
    config = {
        "schema": generator.checkpoint.SCHEMA_VERSION,
        "modality": dataset.modality,
        "name": dataset.modality,
        "classes": dataset.classes,
        "image_shape": list(dataset.image_shape),
        "condition_schema": dataset.condition_schema,
        "network": {"kind": "none"},
        "first_stage": stage.sizes(),
        "batch": 16,
        "dataset": {"content_digest": dataset.digest},
    }
    model = generator.Generator(config)
    model.first_stage.load_state_dict(stage.state_dict())
    learnt = dataset.table.loc[dataset.rows("train"), "subject"].tolist()
    with workspace.build(GENERATOR, dataset.modality) as build:
        pq.write_table(pa.table({"subject": pa.array(learnt, pa.string())}), build.path / "subjects.parquet")
        return build.commit({**config, "digest": generator.save(model, build.path)})


def shares(classes: int, wrong: float) -> np.ndarray:
    """Of each class, how much comes from the Gaussian of which class ``[K, K]``."""
    return np.where(np.eye(classes, dtype=bool), 1 - wrong, wrong / max(classes - 1, 1))


def of_another_class(path: Path, wrong: float, seed: int = 0) -> Rule:
    """Reject what a generator of `write_generator` drew from the Gaussian of another class, which its noise tells."""
    model = generator.load(path)

    def rule(index: np.ndarray, labels: np.ndarray, images: np.ndarray) -> list[str | None]:
        ends = shares(len(model.classes), wrong)[labels].cumsum(1)
        drawn_from = (norm.cdf(model.draw(seed, index)[:, :1]) > ends).sum(1)
        return ["label" if c != label else None for c, label in zip(drawn_from, labels, strict=True)]

    return rule


def every(n: int, reason: str = "off_manifold") -> Rule:
    """Reject every ``n``-th candidate of a class."""

    def rule(index: np.ndarray, labels: np.ndarray, images: np.ndarray) -> list[str | None]:
        return [reason if k // 2 % n == 0 else None for k in index]

    return rule


def make_selected(
    workspace: Workspace,
    dataset: Dataset,
    path: Path,
    each: int,
    rule: Rule,
    *,
    bits: int = 8,
    truncation: float = 1.0,
    seed: int = 0,
    **card: object,
) -> Path:
    """Draw candidates of a checkpoint until ``each`` of every class are accepted, and commit them as a set."""
    model, white = generator.load(path), 2**bits - 1
    digest = model.config["digest"]
    kept: Counter[int] = Counter()
    rows, accepted, start = [], [], 0
    while min(kept[c] for c in range(len(model.classes))) < each:
        index = np.arange(start, start + 64)
        labels = index % len(model.classes)
        images = model.sample(labels, seed, index, truncation)
        pixels = np.rint(images * white).astype(f"uint{bits}")
        for k, c, image, reason in zip(index, labels, pixels, rule(index, labels, images), strict=True):
            if kept[c] == each:
                continue
            rows.append(
                {
                    "index": int(k),
                    "label": model.classes[c],
                    "accepted": reason is None,
                    "reason": reason,
                    "row": len(accepted) if reason is None else None,
                    "seed": seed,
                    "checkpoint_digest": digest,
                    "pixel_digest": hashlib.sha256(image.tobytes()).hexdigest(),
                    "scores": {},
                }
            )
            if reason is None:
                accepted.append(image)
                kept[c] += 1
        start += 64
    labels = [[model.classes.index(r["label"])] for r in rows if r["accepted"]]
    with workspace.build(SYNTHETIC, dataset.modality) as build:
        pq.write_table(pa.Table.from_pylist(rows, schema=MANIFEST), build.path / "manifest.parquet")
        np.savez(build.path / "images.npz", train_images=np.stack(accepted)[:, 0], train_labels=labels)
        content = {
            "schema": SCHEMA_VERSION,
            "modality": dataset.modality,
            "classes": model.classes,
            "n": len(accepted),
            "seed": seed,
            "truncation": truncation,
            "bits": bits,
            "checkpoint_digest": digest,
            "generator": path.name,
            "dataset_digest": dataset.digest,
            "image_shape": list(dataset.image_shape),
            "mlflow_run": None,
            "created": "2026-01-01T00:00:00+00:00",
        }
        return build.commit(content | card)
