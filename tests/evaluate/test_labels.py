"""Labels without meaning are found, labels that mean something are not."""

from __future__ import annotations

import numpy as np
import pytest

from medsyn.evaluate.checks import labels
from medsyn.evaluate.inputs.sample import Sample
from medsyn.evaluate.results import Estimate


def sample(n, seed, signal=1.0, classes=2):
    rng = np.random.default_rng(seed)
    given = np.arange(n) % classes
    features = rng.normal(size=(n, 100))
    features[np.arange(n), given] += 2 * signal
    return Sample(np.zeros((n, 1, 2, 2), np.float32), features, given, np.arange(n).astype(str))


def shuffled(images, seed):
    given = np.random.default_rng(seed).permutation(images.labels)
    return Sample(images.pixels, images.features, given, images.units)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_random_labels_are_found(seed, classes):
    train, val, made = (sample(300, 10 * seed + i, classes=classes) for i in range(3))
    honest = labels.test(train, val, made, seed)
    assert (honest.tested, honest.found) == (True, False)
    wrong = labels.test(train, val, shuffled(made, seed), seed)
    assert (wrong.tested, wrong.found) == (True, True)
    assert wrong.auroc < honest.auroc
    assert "do not mean what the real ones do" in wrong.sentence


def test_nothing_is_said_where_real_labels_cannot_be_told():
    train, val, made = (sample(300, i, signal=0) for i in range(3))
    result = labels.test(train, val, made, 0)
    assert (result.tested, result.found) == (False, False)
    assert result.reference < labels.LEAST


def test_one_class_alone_is_not_tested():
    train, val, made = (sample(100, i) for i in range(3))
    result = labels.test(train, val, made.take(made.labels == 1), 0)
    assert not result.tested
    assert result.auroc is None


def test_a_control_at_chance_is_named():
    assert labels.random(Estimate(value=0.8, low=0.7, high=0.9)) is None
    assert labels.random(Estimate(value=0.8)) is None
    assert "may be random" in labels.random(Estimate(value=0.52, low=0.45, high=0.59))
