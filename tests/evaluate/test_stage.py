"""The whole stage on small datasets."""

from __future__ import annotations

import html
import json
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from evaluate.stage_lab import TUMOURS, dataset, judged, lab, options, three, training_subjects
from helpers import blobs, fresh_workspace, make_dataset, make_generator, make_synthetic, read_predictions
from mlflow import MlflowClient
from sklearn.metrics import roc_auc_score
from torch.optim.optimizer import register_optimizer_step_post_hook

from medsyn import tracking
from medsyn.config import load_preset
from medsyn.evaluate.classifiers import loop
from medsyn.evaluate.inputs.resolve import resolve
from medsyn.evaluate.results import Report
from medsyn.evaluate.stage import run
from medsyn.progress import SILENT, Silent
from medsyn.workspace import EVALUATION

__all__ = ["dataset", "lab", "three"]


# ---- one evaluation that several tests look at


CNN = options(classifiers=["cnn"], ratios=[0.5, 1.0], classical="both")


@pytest.fixture(scope="module")
def first(tmp_path_factory, empty_store):
    """An evaluation of networks, and every optimiser step and draw of augmentation that it made."""
    workspace = fresh_workspace(tmp_path_factory.mktemp("first"), empty_store)
    dataset = make_dataset(workspace, *blobs(160))
    generator = make_generator(workspace, dataset, training_subjects(dataset))
    synthetic = make_synthetic(workspace, dataset, *blobs(90, seed=1), generator=generator)
    optimisers, draws, augment = [], Counter(), loop.augment

    def counted(images, strength, *key):
        draws[(strength.model_dump_json(), len(images), *key)] += 1
        return augment(images, strength, *key)

    hook = register_optimizer_step_post_hook(lambda o, args, kwargs: optimisers.append(o))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "augment", counted)
        result = run(CNN, workspace)
    hook.remove()
    return SimpleNamespace(
        workspace=workspace, dataset=dataset, synthetic=synthetic, result=result, report=result.report,
        steps=Counter(map(id, optimisers)), draws=draws, table=read_predictions(result.path),
    )  # fmt: skip


def test_the_report_is_what_is_written(first):
    written = json.loads((first.result.path / "report.json").read_text())
    assert next(iter(written)) == "verdict"
    assert Report.model_validate(written) == first.report
    for file in (first.result.html, first.result.path / "report.md"):
        assert first.report.verdict.sentence in html.unescape(file.read_text())
    assert first.workspace.latest(EVALUATION) == first.result.path
    assert {"classifiers", "fidelity", "copying", "checks", "tracking"} <= set(first.report.timings)
    assert first.report.seconds > 0


def test_which_arms_there_are_and_what_they_train_on(first):
    real = len(first.dataset.rows("train", "tune"))
    assert real > 100
    most = f"{90 / real:.3g}"
    mine = [a for a in first.report.arms if a.classifier == "cnn"]
    repeated = [a.name for a in mine if a.name.startswith("duplicated")]
    assert [a.name for a in mine if a.name not in repeated] == [
        "real",
        "real + classical",
        "oversampled + classical",
        "class weights + classical",
        "real + synthetic x0.5 + classical",
        f"real + synthetic x{most} + classical",
        "real + synthetic x0.5",
        f"real + synthetic x{most}",
        "synthetic only + classical",
    ]
    chosen = next(a for a in mine if a.chosen and a.kind == "synthetic")
    matched = "real, counts of synthetic only + classical"
    assert repeated == [
        f"duplicated {chosen.name.replace(' + synthetic', '') if chosen.ratio is not None else matched}"
    ]
    counts = {a.name: (sum(a.real_images.values()), sum(a.training_images.values())) for a in mine}
    assert counts["real"] == (real, real)
    assert counts["real + synthetic x0.5 + classical"] == (real, real + round(real / 2))
    assert counts[f"real + synthetic x{most} + classical"] == (real, real + 90)
    assert counts["synthetic only + classical"] == (0, 90)
    assert any("holds 90 images" in w for w in first.report.verdict.warnings)
    assert first.report.synthetic.generator_subjects.startswith(f"{len(first.dataset.rows('train'))} recorded")
    assert first.report.synthetic.name == first.synthetic.name


def test_only_what_was_chosen_on_val_is_opened_on_test(first):
    for classifier in CNN.classifiers:
        mine = [a for a in first.report.arms if a.classifier == classifier]
        for kind in ("control", "synthetic"):
            (chosen,) = (a for a in mine if a.kind == kind and a.chosen)
            assert chosen.val.value == max(a.val.value for a in mine if a.kind == kind)
        for arm in mine:
            assert (arm.test is not None) == arm.chosen
            assert len(arm.val.per_seed) == CNN.screen
    opened = {(a.classifier, a.name) for a in first.report.arms if a.chosen}
    tested = first.table[first.table.split == "test"]
    assert set(zip(tested.classifier, tested.arm, strict=True)) == opened
    assert set(tested.repeat) == set(range(5))
    assert not any("--folds" in w for w in first.report.verdict.warnings)
    assert {c.arm for c in first.report.contrasts} == {a.name for a in first.report.arms if a.chosen} - {
        a.name for a in first.report.arms if a.kind == "control"
    }


def test_the_numbers_follow_from_the_predictions(first):
    table, dataset = first.table, first.dataset
    for arm in first.report.arms:
        here = table[(table.classifier == arm.classifier) & (table.arm == arm.name)]
        for split, found in (("val", arm.val), ("test", (arm.test or {}).get("auroc"))):
            rows = here[here.split == split]
            if split == "val":
                rows = rows[rows.repeat < CNN.screen]
            per_seed = [roc_auc_score(g.label == "pneumonia", g.probability_pneumonia) for _, g in rows.groupby("seed")]
            assert (found.per_seed if found else []) == pytest.approx(per_seed)
        if arm.test:
            rows = here[here.split == "test"]
            right = (rows.probability_pneumonia > 0.5) == (rows.label == "pneumonia")
            assert arm.test_at_half["accuracy"].value == pytest.approx(right.mean())
            assert arm.test["brier"].value == pytest.approx(
                ((rows.probability_pneumonia - (rows.label == "pneumonia")) ** 2).mean()
            )
    for split in ("val", "test"):
        assert set(table[table.split == split].image) == set(dataset.rows(split))
    assert (table.label.to_numpy() == dataset.table.loc[table.image, "label"].to_numpy()).all()

    primary, verdict = first.report.contrasts[0], first.report.verdict
    assert primary.primary
    assert not any(c.primary for c in first.report.contrasts[1:])
    assert primary.effect == verdict.effect
    assert (verdict.classifier, verdict.measure) == ("cnn", "auroc")
    ours, theirs = (
        next(a for a in first.report.arms if a.classifier == "cnn" and a.name == name).test["auroc"]
        for name in (verdict.arm, verdict.control)
    )
    assert verdict.effect.per_seed == pytest.approx(np.subtract(ours.per_seed, theirs.per_seed))
    assert verdict.effect.value == pytest.approx(ours.value - theirs.value)
    assert verdict.effect.low < verdict.effect.value < verdict.effect.high


def test_every_arm_gets_the_same_steps_and_augmentation(first):
    networks = first.table[first.table.classifier == "cnn"][["arm", "repeat"]].drop_duplicates()
    assert list(first.steps.values()) == [CNN.steps] * len(networks)
    # Each draw of the augmentation, a function of seed and step, is made once in every arm that has one.
    strength = load_preset("xray").augmentation.model_dump_json()
    augmented = Counter(repeat for arm, repeat in networks.to_numpy() if "classical" in arm)
    assert first.draws == {
        (strength, CNN.batch, repeat, step): n for repeat, n in augmented.items() for step in range(CNN.steps)
    }
    assert augmented[0] == augmented[1] > 5


def test_every_repeat_of_every_arm_is_a_run_in_mlflow(first):
    client = MlflowClient(tracking_uri=tracking.uri(first.workspace))
    parent = client.get_run(first.result.mlflow_run)
    assert parent.data.tags["medsyn.verdict"] == first.report.verdict.decision
    children = client.search_runs(
        [parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{first.result.mlflow_run}'", max_results=200
    )
    trained = first.table[["classifier", "arm", "repeat"]].drop_duplicates()
    assert len(children) == len(trained)
    names = {(a.classifier, a.name): a for a in first.report.arms}
    for child in children:
        arm = names[child.data.tags["medsyn.classifier"], child.data.tags["medsyn.arm"]]
        repeat = int(child.data.tags["medsyn.repeat"])
        assert ("test_auroc" in child.data.metrics) == arm.chosen
        if arm.chosen:
            assert child.data.metrics["test_auroc"] == pytest.approx(arm.test["auroc"].per_seed[repeat])
    # The page shows patients, and stays here.
    assert sorted(a.path for a in client.list_artifacts(first.result.mlflow_run)) == ["report.json", "report.md"]


def test_second_run_is_equal_costs_nothing_and_is_marked_as_second_look(first):
    steps = []
    hook = register_optimizer_step_post_hook(lambda o, args, kwargs: steps.append(o))
    second = run(CNN, first.workspace).report
    assert steps == []
    varies = {"seconds", "timings", "created", "looks_at_test", "verdict"}
    assert second.model_dump(exclude=varies) == first.report.model_dump(exclude=varies)
    assert second.verdict.model_dump(exclude={"warnings"}) == first.report.verdict.model_dump(exclude={"warnings"})
    assert [look.number for look in first.report.looks_at_test] == [1]
    assert [look.number for look in second.looks_at_test] == [1, 2]
    assert not any("look number" in w for w in first.report.verdict.warnings)
    assert any("look number 2" in w for w in second.verdict.warnings)

    # One more ratio costs only that ratio, in the repeats that choose, and the rest of them where it is chosen.
    more = run(CNN.model_copy(update={"ratios": [0.25, 0.5, 1.0]}), first.workspace)
    hook.remove()
    both = [
        set(t[t.classifier == "cnn"][["arm", "repeat"]].itertuples(index=False, name=None))
        for t in (read_predictions(more.path), first.table)
    ]
    new = both[0] - both[1]
    assert len(set(map(id, steps))) == len(new)
    assert sum(repeat < 2 for _, repeat in new) < 10
    assert {arm for arm, _ in new} >= {"real + synthetic x0.25", "real + synthetic x0.25 + classical"}


# ---- verdicts


def test_three_classes(three):
    result = judged(three, *blobs(60, classes=3, seed=1))
    report = result.report
    best = max((a for a in report.arms if a.chosen), key=lambda a: a.test["auroc"].value)
    assert best.test["auroc"].value > 0.7
    table = read_predictions(result.path)
    here = table[(table.arm == best.name) & (table.split == "test") & (table.repeat == 0)]
    p = here[[f"probability_{name}" for name in TUMOURS]].to_numpy()
    assert best.test["auroc"].per_seed[0] == pytest.approx(roc_auc_score(here.label, p, multi_class="ovr"))
    assert set(report.collapse.per_class) == set(best.per_class) == set(TUMOURS)
    assert "slices" in report.verdict.sentence
    assert report.verdict.delong is None
    assert any("--folds 5 tests every subject once" in w for w in report.verdict.warnings)  # 9 a class in test


def test_useful_synthetic_images_help(workspace):
    # Few real images, a hard task, and honest images from the same source: adding them must help.
    images, labels = blobs(280, signal=0.12, seed=5)
    splits = np.array(["train"] * 30 + ["val"] * 60 + ["test"] * 190)
    dataset = make_dataset(workspace, images, labels, official=splits)
    make_synthetic(workspace, dataset, *blobs(300, signal=0.12, seed=6))
    verdict = run(options(ratios=[10]), workspace).report.verdict
    assert verdict.decision == "helps", verdict.sentence
    assert verdict.effect.low > 0

    quick = run(options(ratios=[10], quick=True), workspace).report
    assert quick.verdict.quick
    assert quick.settings["seeds"] == len(quick.verdict.effect.per_seed) == 2
    assert quick.verdict.decision == "no evidence"
    assert "a quick run decides nothing" in quick.verdict.sentence


def test_wrong_labels_do_not_help(workspace):
    images, labels = blobs(300, signal=0.8, seed=5)
    splits = np.array(["train"] * 80 + ["val"] * 70 + ["test"] * 150)
    dataset = make_dataset(workspace, images, labels, official=splits)
    fake, right = blobs(160, signal=0.8, seed=6)
    make_synthetic(workspace, dataset, fake, 1 - right)
    report = run(options(ratios=[2]), workspace).report
    assert report.verdict.decision == "hurts", report.verdict.sentence
    assert report.verdict.effect.high < 0
    assert report.labels.found
    assert report.labels.sentence in report.verdict.warnings

    # Of an error, less is better: the same images raise it.
    report = run(options(ratios=[2], measure="brier"), workspace).report
    assert report.verdict.decision == "hurts", report.verdict.sentence
    assert report.verdict.effect.low > 0
    assert report.contrasts[0].measure == report.verdict.measure == "brier"
    assert "lower is better" in report.verdict.rule


# ---- what is read, and what is written down


def test_another_order_of_the_classes(lab):
    workspace, dataset = lab
    other = make_dataset(workspace, *blobs(160, seed=4), class_names=("pneumonia", "no_finding"))
    made = make_synthetic(workspace, dataset, *blobs(40, seed=1))
    inputs = resolve(options(synthetic=made.name, dataset=other.path.name), workspace, SILENT)
    assert inputs.classes == other.classes
    for images, table in ((inputs.origin["train"], dataset.table), (inputs.split("test"), other.table)):
        names = np.array(inputs.classes)[images.labels]
        assert names.tolist() == table.loc[images.rows, "label"].tolist()


def test_paths_of_the_user_are_not_written_down(lab):
    workspace, dataset = lab
    synthetic = make_synthetic(workspace, dataset, *blobs(40, seed=1))
    split = workspace.path / "mine.csv"
    dataset.table[["image_key", "split"]].to_csv(split, index=False)
    result = run(options(dataset=str(dataset.path), synthetic=str(synthetic), split=str(split)), workspace)
    assert result.report.settings["dataset"] == dataset.path.name
    assert result.report.settings["split"] == "mine.csv"
    client = MlflowClient(tracking_uri=tracking.uri(workspace))
    params = client.get_run(result.mlflow_run).data.params
    assert (params["dataset"], params["synthetic"]) == (dataset.path.name, synthetic.name)
    assert str(workspace.path) not in str(params)
    for file in ("report.json", "report.html", "report.md"):
        assert str(workspace.path) not in (result.path / file).read_text()


@pytest.mark.parametrize(("at", "looks"), [("training probe", 0), ("Testing for fidelity", 1)])
def test_a_look_counts_from_when_test_is_opened(workspace, dataset, at, looks):
    make_synthetic(workspace, dataset, *blobs(40, seed=1))

    class Leaving(Silent):
        def say(self, text):
            if at in text:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(options(), workspace, Leaving())
    file = workspace.path / "looks.jsonl"
    assert (len(file.read_text().splitlines()) if file.exists() else 0) == looks
    assert workspace.all(EVALUATION) == []
