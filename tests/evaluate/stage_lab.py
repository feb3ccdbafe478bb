"""Small datasets of two and three classes, and whole evaluations of what a test brings."""

from __future__ import annotations

import pytest
from helpers import blobs, fresh_workspace, make_dataset, make_synthetic

from medsyn.config import EvaluateOptions
from medsyn.evaluate.stage import run

TUMOURS = ("glioma", "meningioma", "pituitary")


def options(**changes):
    base = {
        "classifiers": ["probe"], "classical": "without", "ratios": [0.5], "seeds": 5, "screen": 2,
        "steps": 6, "batch": 16, "bootstrap": 100, "threads": 1,
    }  # fmt: skip
    if changes.get("quick"):
        base = {key: value for key, value in base.items() if key not in ("seeds", "screen")}
    return EvaluateOptions(**{**base, **changes})


@pytest.fixture
def dataset(workspace):
    images, labels = blobs(160)
    return make_dataset(workspace, images, labels)


@pytest.fixture(scope="module")
def lab(tmp_path_factory, empty_store):
    """A workspace with one dataset, for tests that bring synthetic sets of their own and name them."""
    workspace = fresh_workspace(tmp_path_factory.mktemp("lab"), empty_store)
    return workspace, make_dataset(workspace, *blobs(160))


def training_subjects(dataset):
    return dataset.table.loc[dataset.rows("train"), "subject"].tolist()


def judged(lab, images, labels, **changes):
    workspace, dataset = lab
    made = make_synthetic(workspace, dataset, images, labels)
    return run(options(synthetic=made.name, **changes), workspace)


@pytest.fixture(scope="module")
def three(tmp_path_factory, empty_store):
    """A workspace with a dataset of three classes."""
    workspace = fresh_workspace(tmp_path_factory.mktemp("three"), empty_store)
    images, labels = blobs(180, classes=3)
    return workspace, make_dataset(workspace, images, labels, class_names=TUMOURS, modality="mri")
