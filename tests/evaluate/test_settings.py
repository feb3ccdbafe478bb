"""The options of an evaluation, each through the whole stage on small datasets."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from evaluate.settings_lab import N, auroc, evaluate, lab, options, refused, subjects
from helpers import blobs, make_dataset, make_generator, make_synthetic, read_predictions
from PIL import Image
from torch.optim.optimizer import register_optimizer_step_post_hook

from medsyn.errors import UsageError
from medsyn.evaluate.comparison import regenerate
from medsyn.evaluate.stage import run
from medsyn.progress import Silent
from medsyn.workspace import EVALUATION

__all__ = ["lab"]


# ---- less data


def test_rare_class(lab):
    _, dataset = lab
    result = evaluate(lab, rare={"pneumonia": 12})
    (setting,) = result.report.compared
    have = subjects(dataset, "train", "tune")
    assert setting.train_subjects == {"no_finding": have["no_finding"], "pneumonia": 12}
    assert setting.val_subjects["pneumonia"] == 3
    assert setting.test_subjects == subjects(dataset, "test")
    assert setting.regenerated
    verdict, arms = result.report.verdict, result.report.arms
    assert verdict.setting == setting.name
    assert verdict.estimand.startswith("The procedure, 2 times: drawing the training and val subjects")
    real = next(a for a in arms if a.name == "real")
    assert real.training_images == setting.train_subjects

    # What is left out is the scale: the same control with more real patients.
    scale = [a for a in arms if a.kind == "more real"]
    assert max(sum(a.real_images.values()) for a in scale) == sum(have.values())
    assert all(a.test is not None and a.val is None for a in scale)
    assert verdict.worth is None  # nothing is read off from two repeats
    assert not any(c.arm == a.name for c in result.report.contrasts for a in scale)

    table = read_predictions(result.path)
    drawn = [set(table[(table.split == "val") & (table.repeat == r)].image) for r in range(2)]
    assert drawn[0] != drawn[1]
    assert set(table[table.split == "test"].image) == set(dataset.rows("test"))
    assert result.report.synthetic.name.startswith("generators of the repeats")
    assert len(result.report.synthetic.checkpoint_digest) == 64


def test_few_subjects_in_training(lab):
    report = evaluate(lab, train_subjects=40, rare={"pneumonia": 8}).report
    assert report.compared[0].train_subjects == {"no_finding": 32, "pneumonia": 8}
    assert report.compared[0].val_subjects == {"no_finding": 6, "pneumonia": 3}


def test_learning_curve(lab):
    _, dataset = lab
    report = evaluate(lab, fractions=[1.0, 0.4]).report
    assert [s.name for s in report.compared] == ["40 % of the subjects", "100 % of the subjects"]
    have, small = subjects(dataset, "train", "tune"), report.compared[0]
    assert small.train_subjects == {c: round(0.4 * n) for c, n in have.items()}
    assert small.val_subjects == {c: round(0.4 * n) for c, n in subjects(dataset, "val").items()}
    assert [p.subjects for p in report.curve] == [sum(s.train_subjects.values()) for s in report.compared]
    assert report.verdict.setting == "100 % of the subjects"
    for point in report.curve:
        chosen = {a.kind: a for a in report.arms if a.chosen and a.setting == point.setting}
        assert point.control == chosen["control"].test["auroc"]
        assert point.synthetic == chosen["synthetic"].test["auroc"]
        assert point.effect.value == pytest.approx(point.synthetic.value - point.control.value)
    assert [c.setting for c in report.contrasts if c.primary] == ["100 % of the subjects"]
    assert {c.setting for c in report.contrasts} == {s.name for s in report.compared}


def test_folds(lab):
    _, dataset = lab
    result = evaluate(lab, folds=3)
    table, report = read_predictions(result.path), result.report
    tested = table[table.split == "test"]
    for _, rows in tested.groupby(["arm", "repeat"]):
        assert sorted(rows.image) == sorted(dataset.rows())
    for (_, fold), rows in table.groupby(["repeat", "fold"]):
        val, test = (set(rows[rows.split == split].image) for split in ("val", "test"))
        assert not val & test
        assert val == set(tested[tested.fold == (fold + 1) % 3].image)
    # Scores of different networks are not on one scale: pairs of images are compared within a fold alone.
    for arm in (a for a in report.arms if a.test):
        for repeat, value in enumerate(arm.test["auroc"].per_seed):
            here = [rows for _, rows in tested[(tested.arm == arm.name) & (tested.repeat == repeat)].groupby("fold")]
            pairs = [(r.label == "pneumonia").sum() * (r.label != "pneumonia").sum() for r in here]
            assert value == pytest.approx(np.average([auroc(r) for r in here], weights=pairs))
    assert report.verdict.delong is None
    assert not any("--folds" in w for w in report.verdict.warnings)
    assert sum(s.images for s in report.subgroups if s.covariate == "sex") == N


def test_a_generator_for_every_repeat(lab, monkeypatch):
    workspace, dataset = lab
    asked = []

    def heard(name, given, *rest, run=regenerate.stages.run):
        asked.append((name, given.seed))
        return run(name, given, *rest)

    monkeypatch.setattr(regenerate.stages, "run", heard)
    before = {p for kind in ("generators", "datasets", "synthetic") for p in (workspace.path / kind).glob("*")}
    first = evaluate(lab, regenerate=True, seed=3).report
    assert asked == [("train-gan", 3000), ("augment", 3000), ("train-gan", 3001), ("augment", 3001)]
    assert (first.compared[0].name, first.compared[0].regenerated) == ("all data", True)
    assert first.compared[0].train_subjects == subjects(dataset, "train", "tune")
    assert first.verdict.estimand.startswith("The procedure, 2 times: training a generator")
    assert first.verdict.worth is None
    assert "never val or test" in first.synthetic.generator_subjects
    assert "generators" in first.timings
    second = evaluate(lab, regenerate=True, seed=3).report
    assert len(asked) == 4  # their images are kept
    assert [a.test for a in second.arms] == [a.test for a in first.arms]
    after = {p for kind in ("generators", "datasets", "synthetic") for p in (workspace.path / kind).glob("*")}
    assert {p for p in after - before if not p.name.startswith(".")} == set()


# ---- what the user brings


def test_external_test_set(lab):
    workspace, dataset = lab
    elsewhere = make_dataset(workspace, *blobs(60, side=16, seed=9, signal=0.2), prefix="other")
    result = evaluate(lab, external=elsewhere.path.name)
    table, report = read_predictions(result.path), result.report
    assert report.external.name == elsewhere.path.name
    for arm in report.arms:
        assert (arm.external is not None) == (arm.test is not None)
        if arm.external:
            rows = table[(table.arm == arm.name) & (table.split == "external")]
            assert sorted(set(rows.image)) == list(range(60))
            assert (rows.label.to_numpy() == elsewhere.table.loc[rows.image, "label"].to_numpy()).all()
            per_seed = [auroc(r) for _, r in rows.groupby("repeat")]
            assert arm.external["auroc"].per_seed == pytest.approx(per_seed)
    (there,) = (c for c in report.contrasts if c.test_set != "test" and c.measure == "auroc")
    external = {a.kind: a.external["auroc"].value for a in report.arms if a.chosen}
    assert there.effect.value == pytest.approx(external["synthetic"] - external["control"])
    assert not there.primary
    assert there.p_holm is not None

    same = make_dataset(workspace, *blobs(60, side=16, seed=10))
    refused(workspace, "shares 60 subjects", dataset=dataset.path.name, external=same.path.name)
    wide = make_dataset(workspace, *blobs(60, side=20, seed=10), prefix="wide")
    refused(workspace, r"images \[1, 20, 20\]", dataset=dataset.path.name, external=wide.path.name)


@pytest.fixture
def mine(tmp_path, lab):
    """A split of the user's own, without tune, of 200 of the 240 images."""
    table = lab[1].table.iloc[:200]
    place = np.arange(200) // 2 % 5
    path = tmp_path / "mine.csv"
    pd.DataFrame(
        {"image_key": table["image_key"], "split": np.array(["train", "train", "train", "val", "test"])[place]}
    ).to_csv(path, index=False)
    return path, {name: table.index[np.isin(place, i)] for name, i in (("train", [0, 1, 2]), ("val", 3), ("test", 4))}


def test_a_split_of_the_users_own(lab, mine):
    path, rows = mine
    said = []

    class Heard(Silent):
        def say(self, text):
            said.append(text)

    result = evaluate(lab, progress=Heard(), split=str(path))
    table, setting = read_predictions(result.path), result.report.compared[0]
    for name in ("val", "test"):
        assert set(table[table.split == name].image) == set(rows[name])
    assert (setting.train_subjects, setting.test_subjects) == (
        {"no_finding": 60, "pneumonia": 60},
        {"no_finding": 20, "pneumonia": 20},
    )
    assert "40 of 240 images are not named in mine.csv and are left out" in said


def test_a_generator_that_learnt_from_the_users_own_test_subjects(lab, mine):
    workspace, dataset = lab
    path, rows = mine
    learnt = dataset.table.loc[rows["train"], "subject"].tolist()
    leaked = dataset.table.loc[rows["test"][:3], "subject"].tolist()
    for subjects_of_it, digest in ((learnt, "d" * 64), (learnt + leaked, "e" * 64)):
        generator = make_generator(workspace, dataset, subjects_of_it, digest=digest)
        made = make_synthetic(workspace, dataset, *blobs(80, side=16, seed=1), generator=generator, digest=digest)
        given = {"dataset": dataset.path.name, "split": str(path), "synthetic": made.name}
        if subjects_of_it is learnt:
            assert "120 recorded subjects" in run(options(**given), workspace).report.synthetic.generator_subjects
        else:
            refused(workspace, "learnt from 3 subjects that are in test", **given)


def test_copies_of_images_that_the_users_split_leaves_out(lab, mine):
    workspace, dataset = lab
    path, rows = mine
    left_out = [r for r in dataset.rows("train") if r >= 200][:7]
    assert not set(left_out) & set(np.concatenate(list(rows.values())))
    images, labels = blobs(80, side=16, seed=1)
    images[:7], labels[:7] = dataset.images(np.array(left_out)), dataset.labels(np.array(left_out))
    made = make_synthetic(workspace, dataset, images, labels)
    assert evaluate(lab, split=str(path), synthetic=made.name).report.copying.copies == 7


@pytest.fixture
def foreign(tmp_path):
    """What another tool made: PNGs and a CSV with names of its own."""
    images, labels = blobs(80, side=16, seed=1)
    folder = tmp_path / "theirs"
    folder.mkdir()
    for i, image in enumerate(images):
        Image.fromarray((image[0] * 255).round().astype(np.uint8)).save(folder / f"{i}.png")
    names = np.array(["no_finding", "pneumonia"])[labels]
    table = tmp_path / "truth.csv"
    pd.DataFrame({"file": [f"{i}.png" for i in range(80)], "label": names}).to_csv(table, index=False)
    return folder, table, images, labels


def test_a_foreign_synthetic_set(lab, foreign):
    workspace, dataset = lab
    folder, table, images, labels = foreign
    result = evaluate(lab, synthetic=str(folder), synthetic_labels=str(table))
    report = result.report
    assert (report.synthetic.name, report.synthetic.foreign, report.synthetic.n) == ("theirs", True, 80)
    assert report.synthetic.images_per_class == {"no_finding": 40, "pneumonia": 40}
    assert any("comes from another tool" in w for w in report.verdict.warnings)
    assert any("learnt from test subjects" in c for c in report.leakage.checks)
    assert report.copying.tested
    assert (report.settings["synthetic"], report.settings["synthetic_labels"]) == ("theirs", "truth.csv")
    assert str(folder.parent) not in (result.path / "report.json").read_text()

    # The same images as a set of our own give the same numbers: nothing is lost on the way in.
    own = evaluate(lab, synthetic=make_synthetic(workspace, dataset, images, labels).name).report
    assert [a.test for a in own.arms] == [a.test for a in report.arms]
    assert own.fidelity.rows == report.fidelity.rows


CODE = """
import numpy as np

class NearestMean:
    def fit(self, images, labels):
        self.means = np.stack([np.abs(np.fft.rfft(images[labels == c, 0])).mean((0, 1)) for c in np.unique(labels)])

    def predict_proba(self, images):
        seen = np.abs(np.fft.rfft(images[:, 0])).mean(1)
        near = np.exp(-((seen[:, None] - self.means) ** 2).sum(2))
        return near / near.sum(1, keepdims=True)

def classifier(channels, classes, side):
    assert (channels, classes, side) == (1, 2, 16)
    return NearestMean()

def features(device):
    def spectrum(images):
        return np.abs(np.fft.rfft2(images[:, 0])).reshape(len(images), -1)[:, 1:65]
    return spectrum
"""


def test_classifier_and_extractor_of_the_users_own(lab, tmp_path, monkeypatch):
    (tmp_path / "my_models.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    own = "my_models:classifier"
    result = evaluate(lab, classifiers=[own, "probe"], extractor="my_models:features", primary=own)
    report, table = result.report, read_predictions(result.path)
    assert report.verdict.classifier == own
    assert "my_models:features" in report.fidelity.extractor
    for name in (own, "probe"):
        chosen = [a for a in report.arms if a.classifier == name and a.chosen]
        assert {a.kind for a in chosen} == {"control", "synthetic"}
        assert max(a.test["auroc"].value for a in chosen) > 0.9  # both see the stripes
        for arm in chosen:
            here = table[(table.classifier == name) & (table.arm == arm.name) & (table.split == "test")]
            assert arm.test["auroc"].per_seed == pytest.approx([auroc(r) for _, r in here.groupby("repeat")])
    assert [c.classifier for c in report.contrasts if c.primary] == [own]
    refused(lab[0], "has no 'clasifier'", UsageError, dataset=lab[1].path.name, classifiers=["my_models:clasifier"])


def test_other_code_under_the_same_name_gives_other_features(lab, tmp_path, monkeypatch):
    workspace, _ = lab
    monkeypatch.chdir(tmp_path)
    kept = []
    for module, factor in (("first_model", "1"), ("second_model", "images.std()")):
        code = f"""
def features(device):
    def made(images):
        return images[:, 0].reshape(len(images), -1) * {factor}
    made.name = "our:features"
    return made
"""
        (tmp_path / f"{module}.py").write_text(code)
        report = evaluate(lab, extractor=f"{module}:features").report
        assert report.fidelity.extractor == "our:features"
        kept.append(len(list((workspace.path / "cache" / "features").rglob("*.npz"))))
    assert kept[1] > kept[0]


# ---- what is opened, and what is told of parts


def test_all_arms_opened_on_test(lab):
    report = evaluate(lab, test_arms="all").report
    assert all(a.test is not None and len(a.val.per_seed) == 2 for a in report.arms)
    synthetic = {a.name for a in report.arms if a.kind == "synthetic"}
    assert {c.arm for c in report.contrasts} == synthetic
    assert sum(c.primary for c in report.contrasts) == 1
    assert all(c.p_holm is not None and c.p_holm >= c.effect.p_value for c in report.contrasts if not c.primary)


def test_subgroups(lab):
    _, dataset = lab
    result = evaluate(lab)
    table, report = read_predictions(result.path), result.report
    assert {s.covariate for s in report.subgroups} == {"sex"}  # of the view only one value is known
    assert [g.covariate for g in report.gaps] == ["sex"]
    chosen = {a.kind: a.name for a in report.arms if a.chosen}
    for part in report.subgroups:
        rows = table[(table.split == "test") & (dataset.table.loc[table.image, "sex"].to_numpy() == part.value)]
        assert part.images == part.subjects == rows.image.nunique()
        for found, kind in ((part.control, "control"), (part.synthetic, "synthetic")):
            here = rows[rows.arm == chosen[kind]]
            assert found.per_seed == pytest.approx([auroc(r) for _, r in here.groupby("repeat")])
        assert part.effect.value == pytest.approx(part.synthetic.value - part.control.value)


# ---- broken off


def test_what_was_trained_before_an_interruption_is_not_trained_again(lab):
    workspace, dataset = lab
    evaluations = workspace.all(EVALUATION)
    given = options(dataset=dataset.path.name, classifiers=["cnn"])
    steps = []

    def leave_in_the_fourth(optimiser, args, kwargs):
        steps.append(id(optimiser))
        if len(steps) == 3 * given.steps + 2:
            raise KeyboardInterrupt

    hook = register_optimizer_step_post_hook(leave_in_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        run(given, workspace)
    hook.remove()
    assert workspace.all(EVALUATION) == evaluations
    assert not list((workspace.path / "evaluations").glob(".partial*"))
    assert not list((workspace.path / "cache" / "predictions").rglob("*partial*"))

    again = []
    hook = register_optimizer_step_post_hook(lambda optimiser, args, kwargs: again.append(id(optimiser)))
    result = run(given, workspace)
    hook.remove()
    jobs = read_predictions(result.path)[["arm", "repeat"]].drop_duplicates()
    assert len(again) == (len(jobs) - 3) * given.steps
