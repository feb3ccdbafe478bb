"""The checks of a synthetic set on real chest films: PneumoniaMNIST offered as if it were synthetic."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import fresh_workspace, make_dataset, make_synthetic

from medsyn.cache import Cache
from medsyn.compute import device
from medsyn.config import EvaluateOptions
from medsyn.evaluate.checks import singles
from medsyn.evaluate.checks.run import Checks, Examined
from medsyn.evaluate.comparison.bank import Bank
from medsyn.evaluate.comparison.cells import settings
from medsyn.evaluate.comparison.places import Places
from medsyn.evaluate.inputs.resolve import resolve
from medsyn.metrics.features import FeatureExtractor
from medsyn.progress import SILENT

pytestmark = pytest.mark.real
OPTIONS = EvaluateOptions(threads=1)


class Films:
    """600 films as a dataset whose splits are drawn, and 200 others that no split holds."""

    def __init__(self, real_data, workspace):
        arrays = np.load(real_data / "pneumoniamnist.npz")
        images = arrays["train_images"][:, None].astype(np.float32) / 255
        labels = arrays["train_labels"].ravel().astype(int)
        _, first = np.unique(images.reshape(len(images), -1), axis=0, return_index=True)
        order = np.random.default_rng(0).permutation(np.sort(first))
        pick = np.concatenate([order[labels[order] == c][:400] for c in (0, 1)])
        pick = pick[np.random.default_rng(1).permutation(800)]
        self.workspace = workspace
        self.dataset = make_dataset(workspace, images[pick[:600]], labels[pick[:600]])
        self.others = images[pick[600:]], labels[pick[600:]]
        self.bank = Bank(FeatureExtractor(device("cpu", 1)), Cache(workspace))

    def offered(self, images, labels):
        """The checks, as the stage has them."""
        made = make_synthetic(self.workspace, self.dataset, images, labels)
        inputs = resolve(OPTIONS.model_copy(update={"synthetic": made.name}), self.workspace, SILENT)
        (setting,) = settings(inputs.table, inputs.classes, OPTIONS)
        cell = Places(inputs, [setting], None, SILENT.say)((setting.name, 0, 0))
        return Checks(inputs, Examined.of(inputs, cell, regenerated=False), self.bank, OPTIONS.seed)


@pytest.fixture(scope="module")
def films(real_data, tmp_path_factory, empty_store):
    return Films(real_data, fresh_workspace(tmp_path_factory.mktemp("films"), empty_store))


def test_other_patients_films_raise_no_alarm(films):
    checks = films.offered(*films.others)
    copies, _ = checks.copies()
    for found in (copies, checks.collapse(), checks.labels(), checks.leakage([checks.examined.cell])):
        assert not found.found, found.sentence
    assert (copies.copies, copies.examined) == (0, 200)
    fidelity = checks.fidelity()
    assert not fidelity.found, fidelity.sentence
    synthetic, floor = (
        next(r for r in fidelity.rows if r.scope == "all" and r.kind == k) for k in ("synthetic", "floor")
    )
    assert synthetic.n == floor.n
    assert synthetic.kid.low <= floor.kid.high
    assert synthetic.coverage == pytest.approx(floor.coverage, abs=0.1)


def test_twenty_draws_of_other_films_hold_no_single_copy(real_data):
    images = np.unique(np.load(real_data / "pneumoniamnist.npz")["train_images"], axis=0)[:, None] / np.float32(255)
    for seed in range(20):
        train, others = np.split(np.random.default_rng(seed).permutation(len(images))[:600], [400])
        found = singles.find(images[others], images[train], train.astype(str), seed)
        assert not found.copies.any(), (seed, found.limit, found.nearest.ratio.min())


@pytest.mark.parametrize("share", [1.0, 0.1, 0.005])
def test_a_generator_that_returns_training_films(films, share):
    rows = films.dataset.rows("train")
    images, labels = (a.copy() for a in films.others)
    n = round(share * len(labels))
    images[:n], labels[:n] = films.dataset.images(rows[:n]), films.dataset.labels(rows[:n])
    copies, closest = films.offered(images, labels).copies()
    assert copies.found, copies.sentence
    assert copies.copies == n
    assert closest[0].distance < 0.1
    assert np.abs(closest[0].synthetic.astype(int) - closest[0].train).max() <= 1


def test_a_generator_with_one_film_per_class(films):
    images, labels = films.others
    one = np.stack([images[labels == c][0] for c in (0, 1)])[labels]
    noise = np.random.default_rng(0).normal(0, 0.01, one.shape).astype(np.float32)
    checks = films.offered(np.clip(one + noise, 0, 1), labels)
    collapse, fidelity = checks.collapse(), checks.fidelity()
    assert collapse.found
    assert max(collapse.per_class.values()) < 0.2
    assert fidelity.found
    assert next(r for r in fidelity.rows if r.scope == "all" and r.kind == "synthetic").coverage < 0.3
