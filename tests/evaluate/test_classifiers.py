from __future__ import annotations

import pickle
import sys
from concurrent.futures import CancelledError
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import blobs
from sklearn.metrics import roc_auc_score

from medsyn.compute import executor
from medsyn.config import load_preset
from medsyn.errors import UsageError
from medsyn.evaluate import classifiers
from medsyn.evaluate.classifiers import Task, loop, monai_networks
from medsyn.evaluate.classifiers.augmentation import augment, augmented_copies, transform
from medsyn.evaluate.classifiers.cnn import SmallCNN
from medsyn.evaluate.classifiers.sampling import batches, class_weights, oversampled

XRAY = load_preset("xray").augmentation
OWN = """
import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn


def network(channels, classes, side):
    return nn.Sequential(nn.Conv2d(channels, 8, 5, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Dropout(0.1), nn.Linear(8, classes))


def wrong_logits(channels, classes, side):
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * side * side, classes + 1))


def wrong_size(channels, classes, side):
    return nn.Sequential(nn.Flatten(), nn.Linear(3, classes))


class Flat:
    def __init__(self, channels, classes, side):
        self.model = LogisticRegression(max_iter=300)

    def features(self, images):
        return np.abs(np.fft.fft2(images[:, 0]))[:, :8, :8].reshape(len(images), -1)

    def fit(self, images, labels, sample_weight=None):
        self.n, self.weighted = len(labels), sample_weight
        self.model.fit(self.features(images), labels, sample_weight)

    def predict_proba(self, images):
        return self.model.predict_proba(self.features(images))

    @property
    def classes_(self):
        return self.model.classes_


class Unsure(Flat):
    def predict_proba(self, images):
        return np.full((len(images), 2), 0.7)


def breaks(channels, classes, side):
    raise RuntimeError("no weights here")


def nothing(channels, classes, side):
    return 3


number = 3
"""


def task(n: int = 160, side: int = 28, **changes: object) -> Task:
    (x, y), (v, w), (t, _) = (blobs(m, side=side, seed=s, signal=1.0) for m, s in ((n, 0), (60, 1), (80, 2)))
    usual: dict[str, object] = {"val_images": v, "val_labels": w, "predict": {"test": t}, "steps": 40, "batch": 16}
    return Task(**{"images": x, "labels": y, "classes": 2, **usual, **changes})  # type: ignore[arg-type]


TEST_LABELS = blobs(80, seed=2)[1]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of the user's in the current folder, which is not on Python's path."""
    name = f"own_classifier_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return name


@pytest.mark.parametrize("name", ["cnn", "probe"])
def test_learns_and_repeats_itself(name: str) -> None:
    model = classifiers.get(name)
    assert model.name == name
    found = model.fit_predict(task())
    assert list(found) == ["val", "test"]
    assert found["test"].shape == (80, 2)
    assert found["test"].dtype == np.float64
    assert found["test"].sum(1) == pytest.approx(1)
    assert roc_auc_score(TEST_LABELS, found["test"][:, 1]) > 0.85
    again = model.fit_predict(task())
    assert all(np.array_equal(found[key], again[key]) for key in found)


def test_another_seed_gives_another_network() -> None:
    model = classifiers.get("cnn")
    assert not np.array_equal(model.fit_predict(task(seed=1))["test"], model.fit_predict(task())["test"])


@pytest.mark.parametrize("name", ["cnn", "probe"])
def test_balance_and_augmentation_change_what_is_learnt(name: str) -> None:
    model = classifiers.get(name)
    rows = np.r_[0:160:2, 1:40:2]  # four of the first class to one of the second
    base = task()
    few = {"images": base.images[rows], "labels": base.labels[rows]}
    plain, over, weighted, classical = (
        model.fit_predict(task(**few, **changes))["test"]
        for changes in ({}, {"balance": "oversample"}, {"balance": "weights"}, {"augmentation": XRAY})
    )
    assert plain[:, 1].mean() < over[:, 1].mean()
    assert plain[:, 1].mean() < weighted[:, 1].mean()
    assert not np.array_equal(over, weighted)
    assert not np.array_equal(plain, classical)


def test_class_weights_and_oversampling() -> None:
    labels = np.array([0] * 30 + [1] * 6 + [3] * 4)
    weights = class_weights(labels, 4)
    assert weights[labels].mean() == pytest.approx(1)
    assert weights[0] * 30 == pytest.approx(weights[1] * 6) == pytest.approx(weights[3] * 4)
    assert weights[2] == 0
    rows = oversampled(labels, seed=0)
    assert np.bincount(labels[rows]).tolist() == [30, 30, 0, 30]
    assert set(rows) == set(range(40))
    assert (np.bincount(rows, minlength=40)[30:36] == 5).all()
    balanced = batches(labels, 10, 6, seed=0, balanced=True)
    assert all(np.bincount(labels[b], minlength=4).tolist() == [2, 2, 0, 2] for b in balanced)


def test_weighted_loss_of_equal_classes_is_the_plain_loss() -> None:
    model = classifiers.get("cnn")
    plain, weighted = (model.fit_predict(task(steps=5, balance=b))["val"] for b in ("none", "weights"))
    assert np.array_equal(plain, weighted)


def test_copies_depend_on_the_image_and_the_seed_alone() -> None:
    x, _ = blobs(9, side=16)
    copies = augmented_copies(x, XRAY, 3)
    order = np.array([4, 1, 8])
    assert np.array_equal(augmented_copies(x[order], XRAY, 3), copies[order])
    assert not np.array_equal(augmented_copies(x, XRAY, 4), copies)
    twice = augmented_copies(x[[0, 0]], XRAY, 3)
    assert np.array_equal(twice[0], copies[0])
    assert not np.array_equal(twice[0], twice[1])


def test_augmentation_moves_as_its_preset_says() -> None:
    # Bilinear interpolation at a shift of exactly one pixel is a shift by one pixel.
    x, _ = blobs(1, side=20)
    still = XRAY.model_copy(update={"rotate_degrees": 0, "zoom": 0, "contrast": 0, "translate": 0.05})
    draws = torch.full((1, 7), 0.5)
    draws[0, 3] = 1.0  # fully to one side: 5 % of 20 pixels
    moved = transform(torch.from_numpy(x), still, draws).numpy()
    assert moved[..., :-1] == pytest.approx(x[..., 1:], abs=1e-5)
    batch = torch.from_numpy(blobs(6, side=16)[0])
    assert torch.equal(augment(batch, XRAY, 0, 1), augment(batch, XRAY, 0, 1))
    # A longer batch begins with the same draws.
    assert torch.equal(augment(batch[:4], XRAY, 0, 1), augment(batch, XRAY, 0, 1)[:4])


def test_stops_when_told() -> None:
    calls = count()
    with pytest.raises(CancelledError):
        classifiers.get("cnn").fit_predict(task(stop=lambda: next(calls) >= 3))
    assert next(calls) == 4
    with pytest.raises(CancelledError):
        classifiers.get("probe").fit_predict(task(stop=lambda: True))


@pytest.mark.parametrize("steps", range(1, 8))
def test_any_number_of_steps(steps: int) -> None:
    assert np.isfinite(classifiers.get("cnn").fit_predict(task(16, 16, steps=steps, batch=4))["test"]).all()


@pytest.mark.parametrize("build", [SmallCNN, monai_networks.resnet18, monai_networks.densenet121])
@pytest.mark.parametrize(("channels", "side"), [(1, 16), (3, 28), (1, 45), (1, 64), (1, 128)])
def test_networks_take_sizes_and_channels(build: loop.Build, channels: int, side: int) -> None:
    network = build(channels, 3, side).eval()
    with torch.inference_mode():
        logits = network(torch.rand(2, channels, side, side))
    assert logits.shape == (2, 3)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("name", ["resnet18", "densenet121"])
def test_monai_networks_train(name: str) -> None:
    small = task(16, 16, steps=2, batch=8)
    found = classifiers.get(name).fit_predict(small)
    assert found["test"].sum(1) == pytest.approx(1)


def test_probe_uses_features_that_are_known() -> None:
    given = task()
    rng = np.random.default_rng(0)
    seen = []

    def extract(images: np.ndarray) -> np.ndarray:
        seen.append(len(images))
        return images.reshape(len(images), -1)[:, ::7]

    known = {"train": given.labels[:, None] + rng.normal(0, 0.3, (160, 5)), "val": rng.normal(0.5, 1, (60, 5))}
    known["test"] = TEST_LABELS[:, None] + rng.normal(0, 0.3, (80, 5))
    found = classifiers.get("probe").fit_predict(task(features=known, extract=extract))
    assert roc_auc_score(TEST_LABELS, found["test"][:, 1]) > 0.95
    assert seen == []
    del known["test"]
    classifiers.get("probe").fit_predict(task(features=known | {"test": known["val"]}, extract=extract))
    assert seen == []
    classifiers.get("probe").fit_predict(task(extract=extract, augmentation=XRAY))
    assert seen == [160, 60, 80, 160]


def test_network_of_the_user(own: str) -> None:
    model = classifiers.get(f"{own}:network")
    found = model.fit_predict(task())
    assert found["val"].sum(1) == pytest.approx(1)
    assert np.array_equal(found["test"], model.fit_predict(task())["test"])  # drop-out is seeded too


@pytest.mark.parametrize("balance", ["none", "oversample", "weights"])
def test_estimator_of_the_user(own: str, balance: str) -> None:
    found = classifiers.get(f"{own}:Flat").fit_predict(task(balance=balance, augmentation=XRAY))
    assert roc_auc_score(TEST_LABELS, found["test"][:, 1]) > 0.85


def test_class_that_was_not_trained_on_has_probability_zero(own: str) -> None:
    for name in (f"{own}:Flat", "probe"):
        p = classifiers.get(name).fit_predict(task(classes=3, val_labels=np.arange(60) % 3))["test"]
        assert p.shape == (80, 3)
        assert (p[:, 2] == 0).all()


def test_runs_in_a_worker(own: str) -> None:
    model = classifiers.get(f"{own}:network")
    here = model.fit_predict(task(steps=3))
    with executor(1) as pool:
        there = pool.submit(pickle.loads(pickle.dumps(model)).fit_predict, task(steps=3)).result()
    assert there["test"] == pytest.approx(here["test"], abs=1e-5)
    for name in classifiers.BUILT_IN:
        assert pickle.loads(pickle.dumps(classifiers.get(name))) == classifiers.get(name)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("resnet", "unknown classifier 'resnet'"),
        ("no_such_module_at_all:factory", "no module 'no_such_module_at_all'"),
        (":factory", "not of the form"),
        ("{own}:nowhere", "has no 'nowhere'"),
        ("{own}:number", "a int, which cannot be called"),
        ("{own}:breaks", "no weights here"),
        ("{own}:nothing", "made a int"),
        ("{own}:wrong_logits", r"gives \[2, 3\].*\[2, 2\]"),
        ("{own}:wrong_size", "fails on images"),
        ("{own}:Unsure", "no probabilities"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(own: str, name: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        classifiers.get(name.format(own=own)).fit_predict(task(40))
    assert "--classifier" in caught.value.line()
    assert "\n" not in caught.value.line()


def test_module_that_does_not_import(own: str, tmp_path: Path) -> None:
    (tmp_path / f"{own}_b.py").write_text("import no_such_dependency\n")
    with pytest.raises(UsageError, match="needs module 'no_such_dependency'"):
        classifiers.get(f"{own}_b:factory")
    (tmp_path / f"{own}_c.py").write_text("x = 1 / 0\n")
    with pytest.raises(UsageError, match="ZeroDivisionError"):
        classifiers.get(f"{own}_c:factory")
