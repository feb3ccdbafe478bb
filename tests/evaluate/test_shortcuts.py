"""Labels that follow acquisition are found, labels that follow the picture are not."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import blobs

from medsyn.evaluate.checks import shortcuts


def world(n, seed, *, brighter=0.0, wider=0):
    images, labels = blobs(n, side=28, seed=seed)
    labels = np.random.default_rng(seed).permutation(labels)
    images = np.clip(images + brighter * labels[:, None, None, None], 0, 1)
    sizes = np.full((n, 2), 512) + np.stack([np.zeros(n, int), wider * labels], axis=1)
    return images, sizes, labels


def check(control=0.9, **how):
    units = np.arange(200).astype(str)
    return shortcuts.test(world(300, 1, **how), (*world(200, 2, **how), units), control, 100, 0)


@pytest.mark.parametrize("how", [{"brighter": 0.1}, {"wider": 64}])
def test_labels_that_follow_brightness_or_size_are_found(how):
    result = check(**how)
    assert result.found
    assert result.auroc.low > 0.8
    assert "follow how the images were acquired" in result.sentence


def test_labels_that_follow_neither_are_not():
    result = check()
    assert (result.tested, result.found) == (True, False)
    assert result.auroc.low < 0.5 < result.auroc.high


def test_a_control_that_sees_far_more_clears_a_weak_shortcut():
    weak = check(control=0.99, brighter=0.03)
    assert 0.55 < weak.auroc.value < 0.85
    assert not weak.found
    assert check(control=None, brighter=0.1).found


def test_describe_is_blind_to_the_picture_but_not_to_its_frame():
    images, sizes, _ = world(6, 3)
    turned = shortcuts.describe(images[:, :, ::-1], sizes)
    assert turned == pytest.approx(shortcuts.describe(images, sizes), abs=1e-6)
    assert turned.shape == (6, len(shortcuts.FEATURES))
    assert shortcuts.describe(images, sizes * [1, 2])[:, -1] == pytest.approx(2)


def test_a_missing_class_is_not_tested():
    images, sizes, labels = world(100, 1)
    one = labels == 0
    units = np.arange(100).astype(str)
    result = shortcuts.test((images, sizes, labels), (images[one], sizes[one], labels[one], units[one]), 0.9, 50, 0)
    assert (result.tested, result.auroc) == (False, None)
