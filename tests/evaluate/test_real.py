"""The checks of a synthetic set on real chest films: PneumoniaMNIST offered as if it were synthetic."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import make_dataset, make_synthetic

from medsyn.compute import device
from medsyn.config import EvaluateOptions
from medsyn.evaluate import checks, copying
from medsyn.evaluate.comparison import FeatureBank
from medsyn.evaluate.inputs import resolve
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

    def judge(self, images, labels):
        make_synthetic(self.workspace, self.dataset, images, labels)
        inputs = resolve(OPTIONS, self.workspace, SILENT)
        bank = FeatureBank(FeatureExtractor(device("cpu", 1)), inputs)
        copies, closest = checks.copies(inputs, bank, 0)
        return copies, checks.collapse(inputs, bank, 0), checks.fidelity(inputs, bank, 0), closest


@pytest.fixture
def films(real_data, workspace):
    return Films(real_data, workspace)


def test_other_patients_films_are_neither_copies_nor_collapsed(films):
    copies, collapse, fidelity, _ = films.judge(*films.others)
    assert not copies.found, copies.sentence
    assert not collapse.found, collapse.sentence
    synthetic, floor = (
        next(r for r in fidelity.rows if r.scope == "all" and r.name.startswith(n)) for n in ("syn", "fl")
    )
    assert synthetic.n == floor.n
    assert synthetic.kid.low <= floor.kid.high
    assert synthetic.coverage == pytest.approx(floor.coverage, abs=0.1)


def test_twenty_draws_of_other_films_hold_no_single_copy(real_data):
    images = np.unique(np.load(real_data / "pneumoniamnist.npz")["train_images"], axis=0)[:, None] / np.float32(255)
    for seed in range(20):
        train, held, others = np.split(np.random.default_rng(seed).permutation(len(images))[:900], [400, 500])
        near = [
            copying.in_pixels(images[rows], np.zeros(len(rows), int), images[train], np.zeros(400, int))
            for rows in (others, held)
        ]
        found = copying.singles(*near)
        assert not found.copies.any(), (seed, found.limit, near[0].distance.min())


@pytest.mark.parametrize("share", [1.0, 0.1, 0.005])
def test_a_generator_that_returns_training_films(films, share):
    rows = films.dataset.rows("train")
    images, labels = (a.copy() for a in films.others)
    n = round(share * len(labels))
    images[:n], labels[:n] = films.dataset.images(rows[:n]), films.dataset.labels(rows[:n])
    copies, _, _, closest = films.judge(images, labels)
    assert copies.found, copies.sentence
    assert copies.copies == n
    assert closest[0].distance < 0.1
    assert np.abs(closest[0].synthetic.astype(int) - closest[0].train).max() <= 1


def test_a_generator_with_one_film_per_class(films):
    images, labels = films.others
    one = np.stack([images[labels == c][0] for c in (0, 1)])[labels]
    noise = np.random.default_rng(0).normal(0, 0.01, one.shape).astype(np.float32)
    _, collapse, fidelity, _ = films.judge(np.clip(one + noise, 0, 1), labels)
    assert collapse.found
    assert max(collapse.per_class.values()) < 0.2
    assert next(r for r in fidelity.rows if r.scope == "all" and r.name == "synthetic").coverage < 0.3
