"""Copies and collapse are called out; honest sets are not."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import blobs

from medsyn.evaluate import collapse, copying

NONE = copying.Singles(np.zeros(0, bool), copying.FLOOR, 0)


def pixels_test(synthetic, labels, train, train_labels, held_out, held_out_labels):
    """The copy test in pixels alone: quick, and independent of any network."""
    return copying.test(
        [copying.in_pixels(synthetic, labels, train, train_labels)],
        labels,
        [copying.in_pixels(held_out, held_out_labels, train, train_labels)],
        held_out_labels,
        single(synthetic, train, held_out),
    )


def single(synthetic, train, held_out):
    near = [
        copying.in_pixels(q, np.zeros(len(q), int), train, np.zeros(len(train), int)) for q in (synthetic, held_out)
    ]
    return copying.singles(*near)


@pytest.fixture(scope="module")
def world():
    images, labels = blobs(700, side=28, seed=2)
    return {
        "train": (images[:300], labels[:300]),
        "held": (images[300:460], labels[300:460]),
        "honest": (images[460:], labels[460:]),
    }


def disguise(images, how):
    rng = np.random.default_rng(0)
    return {
        "exact": lambda x: x,
        "mirrored": lambda x: x[..., ::-1],
        "gamma": lambda x: x**0.8,
        "shifted": lambda x: np.roll(x, 1, -1),
        "noisy": lambda x: np.clip(x + rng.normal(0, 0.03, x.shape), 0, 1),
    }[how](images).astype(np.float32)


@pytest.mark.parametrize("how", ["exact", "mirrored", "gamma", "shifted", "noisy"])
@pytest.mark.parametrize("share", [1.0, 0.1])
def test_copies_are_found(world, how, share):
    images, labels = (a.copy() for a in world["honest"])
    n = round(share * len(labels))
    images[:n], labels[:n] = disguise(world["train"][0][:n], how), world["train"][1][:n]
    result = pixels_test(images, labels, *world["train"], *world["held"])
    assert result.found, result.sentence
    assert result.sentence.startswith("Copying:")
    assert result.share.low <= result.share.value <= result.share.high


def test_twenty_honest_sets_raise_no_alarm():
    for seed in range(20):
        images, labels = blobs(300, side=28, seed=100 + seed)
        cut = np.split(np.arange(300), [120, 200])
        parts = [(images[i], labels[i]) for i in cut]
        result = pixels_test(*parts[2], *parts[0], *parts[1])
        assert not result.found, (seed, result.sentence)


@pytest.mark.parametrize("how", ["exact", "mirrored", "gamma", "shifted"])
@pytest.mark.parametrize("relabelled", [False, True])
def test_one_copy_among_five_hundred_is_found(world, how, relabelled):
    images, labels = blobs(500, side=28, seed=7)
    images[123] = disguise(world["train"][0][:5], how)[4]
    labels[123] = world["train"][1][4] ^ relabelled
    result = pixels_test((images * 255).round() / 255, labels, *world["train"], *world["held"])
    assert result.found
    assert (result.copies, result.examined) == (1, 500)
    assert "1 of 500 synthetic images all but equal a training image" in result.sentence


def test_few_copies_below_the_share_that_is_told_from_chance(world):
    # 4 % copies: too few for the comparison with unseen images, which expects 5 % near ones anyway.
    images, labels = blobs(980, side=28, seed=8)
    images[:40] = world["train"][0][:40]
    result = pixels_test(images, labels, *world["train"], *world["held"])
    assert (result.copies, result.found) == (40, True)


def test_a_dataset_that_repeats_images_does_not_blunt_the_search(world):
    held, labels = world["held"][0].copy(), world["held"][1]
    held[7] = world["train"][0][7]
    images = world["honest"][0].copy()
    honest = pixels_test(images, world["honest"][1], *world["train"], held, labels)
    assert not honest.found
    images[3] = (world["train"][0][9] * 255).round() / 255
    result = pixels_test(images, world["honest"][1], *world["train"], held, labels)
    assert (result.copies, result.limit) == (1, copying.FLOOR)
    assert "1 unseen real images do, too: the dataset repeats images" in result.sentence


def test_copies_are_found_without_a_reference(world):
    images, labels = world["honest"][0].copy(), world["honest"][1]
    images[3] = world["train"][0][9]
    result = pixels_test(images, labels, *world["train"], world["held"][0][:0], world["held"][1][:0])
    assert (result.tested, result.found, result.copies) == (True, True, 1)


def test_memory_does_not_grow_with_the_sets(world, monkeypatch):
    whole = copying.in_pixels(*world["honest"], *world["train"])
    monkeypatch.setattr(copying, "BUDGET", 30_000)
    parts = copying.in_pixels(*world["honest"], *world["train"])
    assert parts.distance == pytest.approx(whole.distance, abs=1e-3)
    assert np.array_equal(parts.train, whole.train)


def test_a_blurred_image_is_no_copy(world):
    # Near to everything in pixels, nearest to nothing in particular.
    from scipy.ndimage import gaussian_filter

    images, labels = world["honest"]
    blurred = np.stack([gaussian_filter(i, (0, 2, 2)) for i in images])
    assert not pixels_test(blurred, labels, *world["train"], *world["held"]).found


def test_the_p_value_is_calibrated():
    # Exchangeable distances: p below alpha as often as alpha says, at most.
    rng = np.random.default_rng(0)
    p = []
    for _ in range(400):
        ours, theirs = rng.gamma(5, size=150), rng.gamma(5, size=90)
        near = [copying.Nearest(d, d, np.zeros(len(d), int)) for d in (ours, theirs)]
        p.append(copying.test([near[0]], np.zeros(150, int), [near[1]], np.zeros(90, int), NONE).p_value)
    assert np.mean(np.array(p) < 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


def test_too_few_references(world):
    result = pixels_test(*world["honest"], *world["train"], world["held"][0][:4], world["held"][1][:4])
    assert not result.found
    assert not result.tested
    assert "not tested" in result.sentence


def as_features(images):
    return images.reshape(len(images), -1)


def test_a_single_image_per_class_is_collapse(world):
    train, labels = world["train"]
    rng = np.random.default_rng(0)
    one = np.stack([train[labels == c][0] for c in (0, 1)])[labels] + rng.normal(0, 0.004, train.shape)
    result = collapse.test((as_features(train), labels), (as_features(one), labels), ["a", "b"], 0)
    assert result.found
    assert max(result.per_class.values()) < 0.1


def test_one_collapsed_class_is_named(world):
    train, labels = world["train"]
    images = world["honest"][0].copy()
    images[world["honest"][1] == 1] = train[labels == 1][0]
    result = collapse.test(
        (as_features(train), labels), (as_features(images), world["honest"][1]), ["no_finding", "pneumonia"], 0
    )
    assert result.found
    assert "'pneumonia'" in result.sentence
    assert "'no_finding'" not in result.sentence


def test_a_class_without_images_is_not_called_diverse(world):
    (train, labels), (images, given) = world["train"], world["honest"]
    kept = given == 0
    result = collapse.test((as_features(train), labels), (as_features(images[kept]), given[kept]), ["a", "b"], 0)
    assert not result.found
    assert result.sentence.endswith("Not tested, for want of images: b.")


def test_honest_sets_are_not_collapsed():
    for seed in range(20):
        images, labels = blobs(160, side=28, seed=300 + seed)
        x = as_features(images)
        assert not collapse.test((x[:80], labels[:80]), (x[80:], labels[80:]), ["a", "b"], seed).found
