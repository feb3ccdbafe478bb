"""The whole stage on small datasets."""

from __future__ import annotations

import html
import json
import shutil
from collections import Counter

import numpy as np
import pytest
from helpers import blobs, make_dataset, make_generator, make_synthetic, read_predictions
from mlflow import MlflowClient
from sklearn.metrics import roc_auc_score
from torch.optim.optimizer import register_optimizer_step_post_hook

from medsyn import compute, tracking
from medsyn.config import EvaluateOptions
from medsyn.evaluate import arms, comparison
from medsyn.evaluate.classifiers import cnn
from medsyn.evaluate.inputs import resolve
from medsyn.evaluate.results import Report
from medsyn.evaluate.stage import run
from medsyn.metrics.features import FeatureExtractor
from medsyn.progress import SILENT
from medsyn.workspace import DATASET, EVALUATION


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
    assert not any("cross-validate" in w for w in first.verdict.warnings)
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


PROBE = {"classifiers": ["probe"], "primary": "probe"}


def told(result):
    """Warnings of the verdict and the text of the page."""
    return " ".join(result.report.verdict.warnings), html.unescape(result.html.read_text())


def test_a_copier_is_called_out(workspace, dataset):
    images, labels = blobs(120, seed=1)
    rows = dataset.rows("train")[:12]
    images[:12], labels[:12] = dataset.images(rows), dataset.labels(rows)
    make_synthetic(workspace, dataset, images, labels)
    result = run(options(**PROBE), workspace)
    sentence = "12 of 120 synthetic images all but equal a training image"
    for text in told(result):
        assert sentence in text
    assert "Serious finding." in told(result)[1]
    assert "12 of 120</dd>" in told(result)[1]


def test_a_generator_with_one_image_per_class_is_called_out(workspace, dataset):
    images, labels = blobs(120, seed=1)
    one = images[:2][labels] + np.random.default_rng(0).normal(0, 0.004, images.shape)
    make_synthetic(workspace, dataset, np.clip(one, 0, 1), labels)
    result = run(options(**PROBE), workspace)
    for text in told(result):
        assert "The generator repeats itself" in text
    assert "Serious finding." in told(result)[1]


def test_unseen_real_images_are_not_called_out(workspace, dataset):
    make_synthetic(workspace, dataset, *blobs(120, seed=1))
    result = run(options(**PROBE), workspace)
    for text in told(result):
        assert "Copying:" not in text.replace("Copying: not found", "")
        assert "repeats itself" not in text
    assert "Serious finding." not in told(result)[1]


@pytest.mark.parametrize("classes", [2, 3])
def test_a_set_without_some_class(workspace, classes):
    names = ("glioma", "meningioma", "pituitary")[:classes]
    images, labels = blobs(60 * classes, classes=classes)
    dataset = make_dataset(workspace, images, labels, class_names=names, modality="mri")
    fake, fake_labels = blobs(90, classes=classes, seed=1)
    kept = fake_labels > 0
    make_synthetic(workspace, dataset, fake[kept], fake_labels[kept])
    report = run(options(), workspace).report
    assert not any(a.name.startswith("synthetic only") for a in report.arms)
    assert any("has no 'glioma': the arm that trains on synthetic images only is left out" in w
               for w in report.verdict.warnings)  # fmt: skip


def test_copies_are_sought_where_the_generator_learnt(workspace, dataset):
    other = make_dataset(workspace, *blobs(160, seed=4), class_names=("no_finding", "pneumonia"))
    images, labels = blobs(60, seed=1)
    rows = dataset.rows("train")[:9]
    images[:9], labels[:9] = dataset.images(rows), dataset.labels(rows)
    make_synthetic(workspace, dataset, images, labels)
    here = options(**PROBE, dataset=other.path.name)
    assert run(here, workspace).report.copying.copies == 9

    shutil.rmtree(workspace.find(DATASET, dataset.path.name))
    result = run(here, workspace)
    assert not result.report.copying.tested
    assert not result.report.copying.found
    for text in told(result):
        assert "Copying was not tested: the dataset that the generator learnt from is not in this workspace." in text
    assert "Copying: not tested" in told(result)[1]


def test_a_tiny_cohort_is_told_that_nothing_is_cross_validated(workspace):
    make_synthetic(workspace, make_dataset(workspace, *blobs(90)), *blobs(40, seed=1))
    warnings = run(options(**PROBE), workspace).report.verdict.warnings
    assert any("does not cross-validate" in w for w in warnings)


def test_another_order_of_the_classes(workspace, dataset):
    other = make_dataset(workspace, *blobs(160, seed=4), class_names=("pneumonia", "no_finding"))
    make_synthetic(workspace, dataset, *blobs(40, seed=1))
    inputs = resolve(options(dataset=other.path.name), workspace, SILENT)
    names = np.array(inputs.dataset.classes)[inputs.origin["train"].labels]
    assert names.tolist() == dataset.table.loc[inputs.origin["train"].rows, "label"].tolist()


def test_paths_of_the_user_are_not_written_down(workspace, dataset):
    synthetic = make_synthetic(workspace, dataset, *blobs(40, seed=1))
    result = run(options(**PROBE, dataset=str(dataset.path), synthetic=str(synthetic)), workspace)
    assert result.report.settings["dataset"] == dataset.path.name
    params = MlflowClient(tracking_uri=tracking.uri(workspace)).get_run(result.mlflow_run).data.params
    assert (params["dataset"], params["synthetic"]) == (dataset.path.name, synthetic.name)
    for file in ("report.json", "report.html"):
        assert str(workspace.path) not in (result.path / file).read_text()


def test_a_look_counts_before_anything_is_predicted(workspace, dataset):
    make_synthetic(workspace, dataset, *blobs(40, seed=1))

    class Leaving:
        def say(self, text):
            if text == "Computing features":
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(options(**PROBE), workspace, Leaving())
    assert len((workspace.path / "looks.jsonl").read_text().splitlines()) == 1


def test_every_arm_gets_the_same_steps_and_augmentation(workspace, dataset, monkeypatch):
    make_synthetic(workspace, dataset, *blobs(90, seed=1))
    chosen = options(classifiers=["cnn"], ratios=[0.5, 1.0])
    inputs = resolve(chosen, workspace, SILENT)
    optimisers, draws, augment = [], Counter(), cnn.augment

    def counted(images, strength, *key):
        draws[(strength.model_dump_json(), len(images), *key)] += 1
        return augment(images, strength, *key)

    monkeypatch.setattr(cnn, "augment", counted)
    hook = register_optimizer_step_post_hook(lambda o, args, kwargs: optimisers.append(o))
    try:
        device = compute.device("cpu", 1)
        bank = comparison.FeatureBank(FeatureExtractor(device), inputs)
        comparison.run(inputs, chosen, bank, device, lambda done, name: None)
    finally:
        hook.remove()
    plans = arms.plans(chosen.ratios)
    steps = Counter(map(id, optimisers))
    assert list(steps.values()) == [chosen.steps] * (len(plans) * chosen.seeds)
    # Each draw of the augmentation, a function of seed and step, is made once in every arm that has one.
    strength = inputs.preset.augmentation.model_dump_json()
    expected = [(strength, chosen.batch, seed, step) for seed in range(chosen.seeds) for step in range(chosen.steps)]
    assert sorted(draws) == expected
    assert set(draws.values()) == {sum(plan.classical for plan in plans)}
