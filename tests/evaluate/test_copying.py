"""Copies are found however few and however disguised; honest sets are left alone."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import blobs
from scipy.special import comb

from medsyn.evaluate.checks import copying, membership, singles
from medsyn.evaluate.inputs.sample import Sample
from medsyn.metrics import neighbours

CLASSES = ["no_finding", "pneumonia"]
RNG = np.random.default_rng(0)


def sample(images, labels, units=None):
    """Features are the pixels: quick, and independent of any network."""
    units = np.full(len(labels), "") if units is None else np.asarray(units)
    return Sample(images.astype(np.float32), images.reshape(len(images), -1), labels, units)


def named(images, labels, prefix):
    return sample(images, labels, [f"{prefix}{i}" for i in range(len(labels))])


@pytest.fixture(scope="module", params=[28, 64])
def world(request):
    images, labels = blobs(480, side=request.param, seed=2)
    return {
        "train": named(images[:200], labels[:200], "t"),
        "unseen": named(images[200:320], labels[200:320], "u"),
        "honest": sample(images[320:], labels[320:]),
    }


def disguise(images, how):
    changed = {
        "exact": lambda x: x,
        "mirrored": lambda x: x[..., ::-1],
        "gamma": lambda x: x**0.8,
        "shifted": lambda x: np.roll(x, (2, -2), (-2, -1)),
        "noisy": lambda x: x + RNG.normal(0, 0.05, x.shape),
    }[how](images)
    return ((np.clip(changed, 0, 1) * 255).round() / 255).astype(np.float32)


@pytest.mark.parametrize("how", ["exact", "mirrored", "gamma", "shifted", "noisy"])
def test_one_copy_is_found_whatever_its_label_and_with_nothing_held_out(world, how):
    train, honest = world["train"], world["honest"]
    images, labels = honest.pixels.copy(), honest.labels.copy()
    images[23], labels[23] = disguise(train.pixels[40:41], how)[0], 1 - train.labels[40]
    nobody = world["unseen"].take(np.zeros(0, int))
    result, closest = copying.test(sample(images, labels), train, nobody, CLASSES, 0)
    assert (result.found, result.copies, result.examined, result.tested) == (True, 1, 160, False)
    assert closest[0][:2] == (23, 40)
    assert closest[0][2] < result.limit < closest[1][2]
    assert "1 of 160 synthetic images all but equal a training image" in result.sentence


def test_honest_sets_raise_no_alarm(world):
    result, closest = copying.test(world["honest"], world["train"], world["unseen"], CLASSES, 0)
    assert not result.found, result.sentence
    assert result.tested
    assert result.share.low <= result.share.value <= result.share.high
    assert result.null == pytest.approx(0.5, abs=0.02)
    assert result.null < result.null_99 < 1
    assert [d for _, _, d in closest] == sorted(d for _, _, d in closest)
    assert result.membership.auroc.low < 0.5 < result.membership.auroc.high
    assert "anonym" not in result.sentence


def test_a_blurred_image_is_no_copy(world):
    # Near to everything in pixels, nearest to nothing in particular.
    from scipy.ndimage import gaussian_filter

    blurred = gaussian_filter(world["honest"].pixels, (0, 0, 2, 2))
    assert not singles.find(blurred, world["train"].pixels, world["train"].units, 0).copies.any()


def test_a_flat_image_is_no_copy(world):
    flat = np.full_like(world["honest"].pixels[:2], 0.4)
    assert not singles.find(flat, world["train"].pixels, world["train"].units, 0).copies.any()


def test_a_dataset_that_repeats_images_does_not_blunt_the_search(world):
    train = world["train"]
    repeated = train.join(train.take(np.arange(30)))
    units = np.array([f"r{i}" for i in range(len(repeated))])
    found = singles.find(disguise(train.pixels[:5], "gamma"), repeated.pixels, units, 0)
    assert found.copies.all()


def test_images_of_ones_own_subject_do_not_count(world):
    train = world["train"]
    same = singles.find(train.pixels[:20], train.pixels, train.units, 0, train.units[:20])
    assert not same.copies.any()
    other = singles.find(train.pixels[:20], train.pixels, train.units, 0, np.array([f"x{i}" for i in range(20)]))
    assert other.copies.all()


def test_slices_of_one_subject_do_not_hide_a_copy(world):
    # 25 near-equal slices each: the subject's own slices would fill the list of candidates.
    base = world["train"].pixels[:12]
    slices = np.repeat(base, 25, axis=0) + RNG.normal(0, 0.02, (300, *base.shape[1:])).astype(np.float32)
    units = np.repeat([f"s{i}" for i in range(12)], 25)
    assert singles.find(slices[60:61], slices, units, 0).copies.all()


def test_memory_does_not_grow_with_the_sets(world, monkeypatch):
    train, honest = world["train"], world["honest"]
    whole = neighbours.nearest(honest.pixels, train.pixels, train.units)
    monkeypatch.setattr(neighbours, "BUDGET", 4_000)
    parts = neighbours.nearest(honest.pixels, train.pixels, train.units)
    assert parts.ratio == pytest.approx(whole.ratio, abs=1e-3)
    assert np.array_equal(parts.rows, whole.rows)


def test_nothing_to_search(world):
    nobody = world["train"].take(np.zeros(0, int))
    result, _ = copying.test(world["honest"], nobody, world["unseen"], CLASSES, 0)
    assert (result.tested, result.found, result.copies) == (False, False, 0)
    assert "not tested" in result.sentence
    assert "in this workspace" in copying.untested("it is not in this workspace").sentence


def lean(group, n, amount, seed):
    """Images that lean towards those of a group: too far from each to be a copy of it."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, len(group), n)
    fresh, _ = blobs(n, side=group.pixels.shape[-1], seed=900 + seed)
    return sample(amount * group.pixels[rows] + (1 - amount) * fresh, group.labels[rows])


def test_a_generator_that_leans_towards_its_training_images_is_found(world):
    result, _ = copying.test(lean(world["train"], 150, 0.5, 1), world["train"], world["unseen"], CLASSES, 0)
    assert result.copies < 10
    assert result.share.value > result.null_99
    assert result.p_value < 0.01
    assert result.membership.auroc.low > 0.5


def test_a_generator_that_knows_the_test_subjects_is_found(world):
    test, val = world["train"], world["unseen"]
    seen, sentence = copying.knows(lean(test, 150, 0.5, 2), test, val, CLASSES, 0)
    assert seen
    assert "learnt from test subjects" in sentence
    seen, sentence = copying.knows(world["honest"], test, val, CLASSES, 0)
    assert not seen, sentence


def test_the_permutation_p_value_is_calibrated():
    # Points that are all drawn alike, three a subject, and of unequal sides.
    rng, p = np.random.default_rng(0), []
    for seed in range(150):
        x = rng.normal(size=(250, 6))
        y = np.arange(250) % 2
        units = np.array([f"s{i // 3}" for i in range(250)])
        images = rng.uniform(size=(250, 1, 4, 4)).astype(np.float32)
        parts = [Sample(images[r], x[r], y[r], units[r]) for r in (slice(0, 120), slice(120, 171), slice(171, 250))]
        p.append(membership.test(parts[2], parts[0], parts[1], 2, seed).p_value)
    assert np.mean(np.array(p) < 0.1) <= 0.1 + 3 * np.sqrt(0.1 * 0.9 / 150)
    assert np.mean(np.array(p) < 0.5) > 0.2  # Bonferroni's over two spaces costs some


def test_the_share_is_the_mean_over_equal_subsets():
    # 7 members, 3 others; the first other is third in the order: 1 - C(5, 3) / C(7, 3).
    order = np.array([[0, 1, 7, 2, 3, 4, 5, 6, 8, 9]])
    member = np.arange(10) < 7
    assert membership._shares(order, member[None], 3)[0] == pytest.approx(1 - comb(5, 3) / comb(7, 3))
    drawn = [np.concatenate([RNG.permutation(7)[:3], [7, 8, 9]]) for _ in range(4000)]
    nearest = [member[next(i for i in order[0] if i in d)] for d in drawn]
    assert np.mean(nearest) == pytest.approx(1 - comb(5, 3) / comb(7, 3), abs=0.03)
    assert membership._shares(order, ~member[None], 3)[0] == pytest.approx(comb(5, 3) / comb(7, 3))


def test_a_subject_on_both_sides_is_a_member(world):
    train, unseen = world["train"], world["unseen"]
    both = Sample(unseen.pixels, unseen.features, unseen.labels, np.r_[train.units[:60], unseen.units[60:]])
    assert membership.test(world["honest"], train, both, 2, 0).references == 60
