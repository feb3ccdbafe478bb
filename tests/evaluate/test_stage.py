"""The whole stage on small datasets."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers import blobs, make_dataset, make_generator, make_synthetic, read_predictions
from mlflow import MlflowClient
from sklearn.metrics import roc_auc_score

from medsyn import tracking
from medsyn.config import EvaluateOptions
from medsyn.evaluate.results import Report
from medsyn.evaluate.stage import run
from medsyn.workspace import EVALUATION


def options(**changes):
    base = {"seeds": 2, "steps": 6, "batch": 16, "bootstrap": 100, "ratios": [0.5], "threads": 1}
    return EvaluateOptions(**{**base, **changes})


@pytest.fixture
def dataset(workspace):
    images, labels = blobs(160)
    return make_dataset(workspace, images, labels)


def training_subjects(dataset):
    return dataset.table.loc[dataset.rows("train"), "subject"].tolist()


def test_end_to_end(workspace, dataset):
    generator = make_generator(workspace, dataset, training_subjects(dataset))
    synthetic = make_synthetic(workspace, dataset, *blobs(90, seed=1), generator=generator)
    result = run(options(ratios=[0.5, 1.0]), workspace)

    written = json.loads((result.path / "report.json").read_text())
    assert next(iter(written)) == "verdict"
    report = Report.model_validate(written)
    assert report == result.report
    assert result.html.read_text().count(report.verdict.sentence) >= 1
    assert workspace.latest(EVALUATION) == result.path

    names = [a.name for a in report.arms if a.classifier == "cnn"]
    assert names == [
        "real",
        "real + classical",
        "oversampled + classical",
        "real + synthetic x0.5 + classical",
        "real + synthetic x1 + classical",
        "synthetic only + classical",
    ]
    assert sum(a.chosen for a in report.arms) == 4
    real = len(dataset.rows("train", "tune"))
    assert real > 100
    counts = {a.name: sum(a.training_images.values()) for a in report.arms}
    assert counts["real"] == real
    assert counts["real + synthetic x0.5 + classical"] == real + round(real / 2)
    assert counts["real + synthetic x1 + classical"] == real + 90
    assert counts["synthetic only + classical"] == 90
    assert any("holds 90 images" in w for w in report.verdict.warnings)
    assert report.synthetic.generator_subjects.startswith(f"{len(dataset.rows('train'))} recorded")
    assert synthetic.name == report.synthetic.name

    # The numbers of the report follow from the stored predictions.
    table = read_predictions(result.path)
    for arm in report.arms:
        here = table[(table.classifier == arm.classifier) & (table.arm == arm.name) & (table.split == "test")]
        per_seed = [roc_auc_score(g.label == "pneumonia", g.probability_pneumonia) for _, g in here.groupby("seed")]
        assert arm.test["auroc"].per_seed == pytest.approx(per_seed)
    primary = report.contrasts[0]
    assert primary.primary
    assert primary.effect == report.verdict.effect
    assert not any(c.primary for c in report.contrasts[1:])

    client = MlflowClient(tracking_uri=tracking.uri(workspace))
    parent = client.get_run(result.mlflow_run)
    assert parent.data.tags["medsyn.verdict"] == report.verdict.decision
    children = client.search_runs(
        [parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{result.mlflow_run}'", max_results=100
    )
    assert len(children) == 6 * 2 * 2
    assert all("test_auroc" in c.data.metrics for c in children)
    assert [a.path for a in client.list_artifacts(result.mlflow_run)] == ["report.json"]


def test_second_run_is_equal_and_marked_as_second_look(workspace, dataset):
    make_synthetic(workspace, dataset, *blobs(40, seed=1))
    first, second = (run(options(classifiers=["cnn"]), workspace).report for _ in range(2))
    assert [a.test for a in first.arms] == [a.test for a in second.arms]
    assert first.verdict.effect == second.verdict.effect
    assert [look.number for look in second.looks_at_test] == [1, 2]
    assert not any("look number" in w for w in first.verdict.warnings)
    assert any("look number 2" in w for w in second.verdict.warnings)
    assert any("record of training subjects was not found" in w for w in first.verdict.warnings)


def test_three_classes(workspace):
    names = ("glioma", "meningioma", "pituitary")
    images, labels = blobs(180, classes=3)
    dataset = make_dataset(workspace, images, labels, class_names=names, modality="mri")
    make_synthetic(workspace, dataset, *blobs(60, classes=3, seed=1))
    report = run(options(classifiers=["probe"], primary="probe"), workspace).report
    best = max(a.test["auroc"].value for a in report.arms)
    assert best > 0.7
    assert set(report.collapse.per_class) == set(names)
    assert "slices" in report.verdict.sentence


def test_useful_synthetic_images_help(workspace):
    # Few real images, a hard task, and honest images from the same source: adding them must help.
    images, labels = blobs(430, signal=0.12, seed=5)
    splits = np.array(["train"] * 30 + ["val"] * 100 + ["test"] * 300)
    dataset = make_dataset(workspace, images, labels, official=splits)
    make_synthetic(workspace, dataset, *blobs(400, signal=0.12, seed=6))
    report = run(options(classifiers=["probe"], primary="probe", seeds=5, ratios=[10]), workspace).report
    assert report.verdict.decision == "helps", report.verdict.sentence
    assert report.verdict.effect.low > 0


def test_wrong_labels_do_not_help(workspace):
    images, labels = blobs(300, signal=0.8, seed=5)
    splits = np.array(["train"] * 80 + ["val"] * 70 + ["test"] * 150)
    dataset = make_dataset(workspace, images, labels, official=splits)
    fake, right = blobs(160, signal=0.8, seed=6)
    make_synthetic(workspace, dataset, fake, 1 - right)
    report = run(options(classifiers=["probe"], primary="probe", ratios=[2]), workspace).report
    assert report.verdict.decision == "hurts", report.verdict.sentence
