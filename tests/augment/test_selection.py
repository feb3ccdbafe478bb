"""Each rule finds what it is for, and leaves real images of other subjects alone."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import blobs, make_dataset
from scipy.ndimage import gaussian_filter

from medsyn.augment.selection import Selector, fit, reason
from medsyn.augment.selection.copies import CopyRule, limit
from medsyn.augment.selection.features import FeatureRules
from medsyn.augment.selection.labels import LabelRule
from medsyn.augment.selection.limits import highest, lowest
from medsyn.augment.selection.near_duplicates import NearDuplicates, Sketch
from medsyn.augment.selection.technical import TechnicalRules
from medsyn.data import Dataset
from medsyn.metrics.neighbours import Gallery

RNG = np.random.default_rng(0)


def flat(images):
    return images.reshape(len(images), -1)


def calibrated(gallery, real, units):
    return CopyRule(gallery, limit(gallery.nearest(real, units).ratio))


class Pixels:
    """Features are the pixels: quick, and independent of any network."""

    name = "pixels"

    def __call__(self, images):
        return flat(images).astype(np.float32)


@pytest.fixture(scope="module")
def world():
    """Images of 300 subjects to learn from, and of 300 others."""
    images, labels = blobs(600, side=32, seed=1)
    units = np.array([f"s{i}" for i in range(600)])
    return {"train": (images[:300], labels[:300], units[:300]), "others": (images[300:], labels[300:], units[300:])}


def test_limits_are_what_a_share_of_further_images_fails():
    """Of conformal limits, the expected share of failures is at most the one that was asked for."""
    rates = []
    for _ in range(400):
        limit = lowest(RNG.normal(size=99), 0.05)
        rates.append((RNG.normal(size=200) < limit).mean())
    assert np.mean(rates) == pytest.approx(0.05, abs=0.005)
    assert highest(np.arange(99.0), 0.05) == 94
    assert lowest(np.array([3.0, 1.0, 2.0]), 0.01) == 1  # too few for so small a share: the smallest


def test_flipped_labels_are_found(world):
    train, labels, units = world["train"]
    others, right, _ = world["others"]
    spectra = lambda x: np.abs(np.fft.rfft(x[:, 0].mean(1), axis=1)).astype(np.float32)  # noqa: E731 - the stripes
    rule = LabelRule.fit(spectra(train), labels, units, 2)
    for c in (0, 1):
        mine = spectra(others[right == c])
        assert (rule.score(mine, c) > 1).mean() < 0.12
        assert (rule.score(mine, 1 - c) > 1).mean() > 0.8


def test_a_class_of_one_subject_has_no_limit():
    features = np.random.default_rng(1).normal(size=(30, 6)).astype(np.float32)
    labels, units = np.array([0] * 28 + [1] * 2), np.array([str(i) for i in range(28)] + ["one", "one"])
    rule = LabelRule.fit(features, labels, units, 2)
    assert np.isfinite(rule.arrays["limits"]).tolist() == [True, False]
    assert not (rule.score(features, 1) > 1).any()


def test_copies_are_found_in_disguise(world):
    train, _, units = world["train"]
    others, _, other_units = world["others"]
    rule = calibrated(Gallery(train, units), others[:150], other_units[:150])
    honest, distance = rule.score(others[150:])
    assert (honest > 1).mean() <= 0.04
    some = train[:40]
    disguised = {
        "exact": some,
        "mirrored": some[..., ::-1],
        "gamma": some**0.8,
        "shifted": np.roll(some, 2, -1),
        "noise": some + RNG.normal(0, 0.02, some.shape),
    }
    for name, images in disguised.items():
        assert (rule.score(images.clip(0, 1).astype(np.float32))[0] > 1).mean() > 0.95, name
    assert rule.score(some)[1].max() < 0.01 < distance.min()


def test_real_copies_among_the_subjects_do_not_teach_that_copies_are_common(world):
    train, _, units = world["train"]
    again = np.concatenate([train[:30], world["others"][0][:100]])
    rule = calibrated(Gallery(train, units), again, np.array([f"other{i}" for i in range(130)]))
    assert (rule.score(train[100:140])[0] > 1).all()


def test_what_is_far_from_all_and_what_is_close_to_one(world):
    train, _, units = world["train"]
    others, _, other_units = world["others"]
    rules = FeatureRules.fit(flat(train), units, flat(others[:150]), other_units[:150])
    honest = rules.score(flat(others[150:]))
    assert (honest["off_manifold"] > 1).mean() < 0.08
    assert (honest["copy_features"] > 1).mean() < 0.04
    noise = RNG.uniform(size=(20, 32 * 32)).astype(np.float32)
    assert (rules.score(noise)["off_manifold"] > 1).all()
    assert (rules.score(flat(train[:20]))["copy_features"] > 1).all()


def test_own_subject_does_not_count_in_calibration(world):
    train, _, units = world["train"]
    rules = FeatureRules.fit(flat(train), units, flat(train[:100]), units[:100])
    assert rules.arrays["limits"][1] > 0.3


def test_technical_faults(world):
    others = world["others"][0]
    rules = TechnicalRules.fit(others[:200])
    names = ("constant", "saturated", "border")
    fine = rules.score(others[200:])
    assert not any((fine[name] > 1).any() for name in names)
    framed = others[200:210].copy()
    framed[:, :, 0] = 1
    assert (rules.score(framed)["border"] > 1).all()
    assert (rules.score(np.full((3, 1, 32, 32), 0.4, np.float32))["constant"] > 1).all()
    assert (rules.score((others[200:210] > 0.5).astype(np.float32))["saturated"] > 1).all()


def test_the_first_rule_that_fails_is_the_reason():
    assert reason({"label": 2.0, "copy": 1.5, "border": 0.5}) == "copy"
    assert reason({"label": 1.0}) is None


def near_index(path, n, restored=None):
    found = NearDuplicates(path, n)
    if restored is not None:
        found.restore(0, restored)
    return found


def test_near_duplicates_of_one_class_are_found_and_strangers_are_not(world, tmp_path):
    images = world["train"][0]
    sketch, index = Sketch.of(images), near_index(tmp_path / "sketches", 300)
    scores = []
    for i in range(200):
        scores.append(index.score(sketch.thumbnails[i], sketch.prints[i], 0))
        index.add(i, sketch.thumbnails[i], sketch.prints[i], 0)
    assert max(scores) <= 1
    for change in (lambda x: x, lambda x: x * 0.9 + 0.05, lambda x: gaussian_filter(x, (0, 0, 0.4, 0.4))):
        again = Sketch.of(np.clip(change(images[:50]), 0, 1).astype(np.float32))
        alike = [index.score(t, p, 0) for t, p in zip(again.thumbnails, again.prints, strict=True)]
        assert np.mean(np.array(alike) > 1) > 0.95
        assert index.score(again.thumbnails[0], again.prints[0], 1) == 0  # of another class


def test_pictures_that_hold_too_little_are_compared_for_equality(tmp_path):
    place = np.linspace(0, 0.4, 32, dtype=np.float32)
    images = np.stack([place[None] * (1 + i / 10) * np.ones((32, 1), np.float32) for i in range(5)])[:, None]
    sketch, index = Sketch.of(images), near_index(tmp_path / "sketches", 5)
    for i in range(4):
        index.add(i, sketch.thumbnails[i], sketch.prints[i], 0)
    alike = [index.score(t, p, 0) > 1 for t, p in zip(sketch.thumbnails, sketch.prints, strict=True)]
    assert alike == [True, True, True, True, False]


def test_near_duplicates_are_found_after_a_new_start(world, tmp_path):
    sketch = Sketch.of(world["train"][0])
    labels = np.arange(100) % 2
    first = near_index(tmp_path / "sketches", 150)
    for i in range(100):
        first.add(i, sketch.thumbnails[i], sketch.prints[i], int(labels[i]))
    again = near_index(tmp_path / "sketches", 150, labels)
    for i in range(150):
        asked = (sketch.thumbnails[i], sketch.prints[i], int(i % 2))
        assert again.score(*asked) == first.score(*asked)
        assert (again.score(*asked) > 1) == (i < 100)


def test_fitted_together_on_a_dataset_and_written_as_arrays(world, workspace):
    images, labels, _ = world["train"]
    dataset = make_dataset(workspace, images, labels)
    seen = Dataset.open(dataset.path, splits=("train", "tune"))
    arrays = fit(seen, Pixels(), dataset.classes[::-1])  # a generator may order the classes in another way
    selector = Selector(arrays, seen, Pixels())
    train = seen.rows("train")
    verdicts = selector.judge(seen.images(train[:16]), 0)
    assert verdicts.distance.max() < 0.02
    assert (verdicts.scores["copy"] > 1).all()
    assert verdicts.scores["label"].shape == (16,)
    held = dataset.rows("val", "test")
    mine = dataset.images(held[dataset.labels(held) == 1])
    judged = selector.judge(mine, 0)  # class 0 of the generator is class 1 of the dataset
    assert (judged.scores["copy"] > 1).mean() < 0.15
    assert (judged.scores["label"] > 1).mean() < 0.4


def test_without_the_dataset_only_technical_faults_are_told():
    selector = Selector({}, None, None)
    verdicts = selector.judge(np.full((2, 1, 16, 16), 0.5, np.float32), 0)
    assert verdicts.distance is None
    assert set(verdicts.scores) == {"constant", "saturated", "border"}
