"""A workspace whose results hang together, small enough to be made for every test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from helpers import blobs, closed_form_generator, make_dataset, make_synthetic

from medsyn.data import Dataset
from medsyn.evaluate.results import SCHEMA_VERSION
from medsyn.generator.checkpoint import TRAINING, write_tensors
from medsyn.workspace import EVALUATION, GENERATOR, Workspace, read_json, write_json


def dataset(workspace: Workspace, n: int = 40, modality: str = "xray") -> Dataset:
    images, labels = blobs(n, side=16)
    return make_dataset(workspace, images, labels, modality=modality)


def generator(workspace: Workspace, learnt_from: Dataset, contrast: float = 1.0, **more: object) -> Path:
    """A generator that loads and draws, with what a training leaves beside its weights."""
    path = closed_form_generator(workspace, learnt_from, contrast=contrast)
    write_tensors(path / TRAINING, {"trainer.x": torch.full((7,), contrast)})
    config = read_json(path / GENERATOR.main_file)
    config["dataset"]["name"] = learnt_from.path.name
    write_json(path / GENERATOR.main_file, config | {"recipe": "latent-r3gan"} | more)
    return path


def synthetic(workspace: Workspace, of: Dataset, made_by: Path, n: int = 8) -> Path:
    images, labels = blobs(n, side=16, seed=1)
    digest = read_json(made_by / GENERATOR.main_file)["digest"]
    return make_synthetic(workspace, of, images, labels, generator=made_by, digest=digest)


def evaluation(workspace: Workspace, of: Dataset, judged: Path, **told: object) -> Path:
    """What of an evaluation other commands look at."""
    card = read_json(judged / "card.json")
    with workspace.build(EVALUATION, of.modality) as build:
        for name in ("report.html", "report.md"):
            (build.path / name).write_text("x")
        pq.write_table(pa.table({"p": pa.array(np.arange(3.0))}), build.path / "predictions.parquet")
        verdict = {"decision": "helps", "measure": "auroc", "effect": {"value": 0.02, "low": 0.01, "high": 0.03}}
        source = {"name": judged.name, "checkpoint_digest": card["checkpoint_digest"], "foreign": False}
        return build.commit(
            {
                "schema_version": SCHEMA_VERSION,
                "modality": of.modality,
                "verdict": verdict,
                "synthetic": source | told,
                "dataset": {"name": of.path.name, "digest": of.digest},
                "looks_at_test": [{"number": 1}],
                "created": "2030-01-01T00:00:00+00:00",
            }
        )


def chain(workspace: Workspace) -> tuple[Dataset, Path, Path, Path]:
    """One of each kind."""
    data = dataset(workspace)
    made_by = generator(workspace, data)
    made = synthetic(workspace, data, made_by)
    return data, made_by, made, evaluation(workspace, data, made)
