"""Repetition and missing kinds are called out; honest sets are not."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import blobs

from medsyn.evaluate.checks import collapse
from medsyn.evaluate.inputs.sample import Sample

CLASSES = ["no_finding", "pneumonia"]


def sample(features, labels):
    n = len(labels)
    return Sample(np.zeros((n, 1, 2, 2), np.float32), features, labels, np.arange(n).astype(str))


def kinds(n, seed, of=10, kept=1.0):
    """Points around 10 centres a class; ``kept``: only around the first of them."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(0, 2, (2, of, 24))
    labels = np.arange(n) % 2
    place = rng.integers(0, round(of * kept), n)
    return sample(centres[labels, place] + rng.normal(size=(n, 24)), labels)


def pixels(n, seed):
    images, labels = blobs(n, side=28, seed=seed)
    return sample(images.reshape(n, -1), labels)


def test_a_single_image_per_class_is_collapse():
    train = pixels(200, 2)
    one = np.stack([train.features[train.labels == c][0] for c in (0, 1)])[train.labels]
    one = one + np.random.default_rng(0).normal(0, 0.004, one.shape)
    result = collapse.test(train, sample(one, train.labels), CLASSES, 0)
    assert result.found
    assert max(result.per_class.values()) < 0.1
    assert "repeats itself" in result.sentence


@pytest.mark.parametrize("kept", [0.5, 0.1])
@pytest.mark.parametrize("seed", range(3))
def test_missing_modes_are_found(kept, seed):
    result = collapse.test(kinds(500, seed), kinds(400, 50 + seed, kept=kept), CLASSES, seed)
    assert result.found, result.sentence
    # What chance alone shows is taken off, so less than the missing share remains.
    assert min(result.missing.values()) > 0.5 * (1 - kept)
    assert "Kinds of real images are missing" in result.sentence


def test_one_collapsed_class_is_named():
    train, half = kinds(500, 1), kinds(400, 2)
    poor = kinds(400, 3, kept=0.3)
    mixed = np.where((half.labels == 1)[:, None], poor.features, half.features)
    result = collapse.test(train, sample(mixed, half.labels), CLASSES, 0)
    assert result.found
    assert "'pneumonia'" in result.sentence
    assert "'no_finding'" not in result.sentence


def test_a_class_without_images_is_not_called_diverse():
    train, other = pixels(200, 2), pixels(200, 3)
    result = collapse.test(train, other.take(other.labels == 0), CLASSES, 0)
    assert not result.found
    assert result.sentence.endswith("Not tested, for want of images: pneumonia.")


def test_honest_sets_are_not_collapsed():
    alarms = [collapse.test(kinds(240, s), kinds(200, 200 + s), CLASSES, s).found for s in range(60)]
    assert sum(alarms) <= 1
    assert not any(collapse.test(pixels(120, s), pixels(120, 300 + s), CLASSES, s).found for s in range(10))
