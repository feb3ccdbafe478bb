"""A small dataset with covariates and a synthetic set, and evaluations of it."""

from __future__ import annotations

import pytest
from helpers import blobs, fresh_workspace, make_dataset, make_synthetic
from sklearn.metrics import roc_auc_score

from medsyn.config import EvaluateOptions
from medsyn.errors import DataError
from medsyn.evaluate.stage import run
from medsyn.progress import SILENT
from medsyn.workspace import EVALUATION

N = 240
SEX, VIEW = ["F", "F", "M", "M"] * (N // 4), [None, "PA"] * (N // 2)


def options(**changes):
    base = {
        "classifiers": ["probe"], "classical": "without", "ratios": [0.5], "seeds": 2, "screen": 1, "batch": 16,
        "steps": 4, "bootstrap": 100, "threads": 1, "generator_budget": "0.2kimg",
    }  # fmt: skip
    return EvaluateOptions(**{**base, **changes})


@pytest.fixture(scope="module")
def lab(tmp_path_factory, empty_store):
    """A workspace with a dataset of 240 subjects and a synthetic set, and the dataset."""
    workspace = fresh_workspace(tmp_path_factory.mktemp("lab"), empty_store)
    dataset = make_dataset(workspace, *blobs(N, side=16), sex=SEX, view=VIEW)
    make_synthetic(workspace, dataset, *blobs(80, side=16, seed=1))
    return workspace, dataset


def evaluate(lab, progress=SILENT, **changes):
    workspace, dataset = lab
    # Tests add datasets: the newest is not always the one.
    return run(options(dataset=dataset.path.name, **changes), workspace, progress)


def refused(workspace, match, error=DataError, **changes):
    evaluations, looks = workspace.all(EVALUATION), looked(workspace)
    with pytest.raises(error, match=match):
        run(options(**changes), workspace)
    assert (workspace.all(EVALUATION), looked(workspace)) == (evaluations, looks)


def looked(workspace):
    file = workspace.path / "looks.jsonl"
    return file.read_text() if file.exists() else ""


def subjects(dataset, *splits):
    return dataset.table.loc[dataset.rows(*splits), "label"].value_counts().to_dict()


def auroc(rows):
    return roc_auc_score(rows.label == "pneumonia", rows.probability_pneumonia)
