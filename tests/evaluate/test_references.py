from __future__ import annotations

import numpy as np
import pytest
from helpers import blobs

from medsyn.evaluate.checks import references
from medsyn.evaluate.checks.references import class_gaussian, copy_of_train, reference_samples, smote_in_pixels

COUNTS = [30, 12]


@pytest.fixture(scope="module")
def train():
    images, labels = blobs(60, side=20)
    rows = np.concatenate([np.flatnonzero(labels == 0), np.flatnonzero(labels == 1)[:8]])
    return images[rows], labels[rows]


@pytest.mark.parametrize("make", [copy_of_train, smote_in_pixels, class_gaussian])
def test_counts_range_and_repeatability(train, make):
    pixels, labels = make(*train, COUNTS, 3)
    assert np.bincount(labels).tolist() == COUNTS
    assert pixels.shape == (42, 1, 20, 20)
    assert pixels.dtype == np.float32
    assert 0 <= pixels.min() < pixels.max() <= 1
    again, other = make(*train, COUNTS, 3)[0], make(*train, COUNTS, 4)[0]
    assert np.array_equal(pixels, again)
    assert not np.array_equal(pixels, other)


@pytest.mark.parametrize("make", [copy_of_train, smote_in_pixels, class_gaussian])
def test_an_absent_class_is_refused_and_an_unwanted_one_is_not(train, make):
    with pytest.raises(ValueError, match="class 2"):
        make(*train, [1, 1, 1], 0)
    assert make(*train, [2, 0, 0], 0)[1].tolist() == [0, 0]


def test_copies_are_training_images_of_their_class_and_none_comes_twice_too_soon(train):
    pixels, labels = copy_of_train(*train, COUNTS, 0)
    source = [int(np.flatnonzero((train[0] == image).all((1, 2, 3)))[0]) for image in pixels]
    assert (train[1][source] == labels).all()
    assert len(set(source[:30])) == 30
    assert sorted(np.bincount(source[30:])[30:]) == [1, 1, 1, 1, 2, 2, 2, 2]


def test_smote_lies_between_a_training_image_and_a_near_one_of_its_class(train):
    pixels, labels = smote_in_pixels(*train, COUNTS, 0)
    images, of_class = train
    for image, c in zip(pixels.reshape(42, -1), labels, strict=True):
        pool = images[of_class == c].reshape((of_class == c).sum(), -1).astype(float)
        between = []
        for a in pool:
            gaps = np.linalg.norm(pool - a, axis=1)
            for j in np.argsort(gaps)[1:6]:
                line = pool[j] - a
                t = (image - a) @ line / (line @ line)
                between.append(np.abs(a + np.clip(t, 0, 1) * line - image).max())
        assert min(between) < 1e-5


def test_smote_of_one_image_is_that_image(train):
    pixels, _ = smote_in_pixels(train[0][:1], np.zeros(1, int), [3], 0)
    assert np.array_equal(pixels, np.repeat(train[0][:1], 3, 0))


def test_smote_searches_large_images_small(monkeypatch, train):
    # With room for every pixel or not, blocks of four equal pixels have the same neighbours.
    whole, _ = smote_in_pixels(*train, COUNTS, 0)
    monkeypatch.setattr(references, "SEARCH_SIDE", 20)
    doubled, _ = smote_in_pixels(train[0].repeat(2, 2).repeat(2, 3), train[1], COUNTS, 0)
    assert doubled[:, :, ::2, ::2] == pytest.approx(whole, abs=1e-6)


def test_gaussian_has_the_moments_of_its_class():
    rng = np.random.default_rng(0)
    mean = np.array([0.35, 0.65])
    labels = np.arange(400) % 2
    factors = rng.normal(size=(400, 3)) * [0.05, 0.03, 0.02]
    basis = np.linalg.qr(rng.normal(size=(64, 3)))[0].T
    images = (mean[labels][:, None] + factors @ basis).reshape(400, 1, 8, 8).astype(np.float32)
    pixels, made = class_gaussian(images, labels, [4000, 4000], 0)
    for c in (0, 1):
        ours, theirs = pixels[made == c].reshape(4000, -1), images[labels == c].reshape(200, -1)
        assert ours.mean(0) == pytest.approx(theirs.mean(0), abs=2e-3)
        covariance = np.cov(theirs.T)
        assert np.cov(ours.T) == pytest.approx(covariance, abs=0.12 * np.abs(covariance).max())


def test_gaussian_of_a_class_of_one_is_its_image():
    images, labels = blobs(9, classes=1, side=8)
    labels[0] = 1
    pixels, _ = class_gaussian(images, labels, [4, 2], 0)
    assert pixels[4:] == pytest.approx(images[[0, 0]], abs=1e-3)


def test_gaussian_fits_within_its_memory(monkeypatch, train):
    monkeypatch.setattr(references, "LARGEST_FIT_VALUES", 10 * 400)
    sizes = []
    fit = references.PCA.fit
    monkeypatch.setattr(references.PCA, "fit", lambda self, x: sizes.append(x.shape) or fit(self, x))
    class_gaussian(*train, COUNTS, 0)
    assert sizes == [(10, 400)]


def test_reference_samples(train):
    units = np.array([f"s{i // 2}" for i in range(len(train[1]))])
    made = reference_samples(*train, units, COUNTS, 0, lambda images: images.mean((2, 3)))
    assert list(made) == ["copy of train", "SMOTE in pixels", "class Gaussian (PCA)"]
    for sample in made.values():
        assert sample.features == pytest.approx(sample.pixels.mean((2, 3)))
        assert np.bincount(sample.labels).tolist() == COUNTS
    copies = made["copy of train"]
    for image, unit in zip(copies.pixels, copies.units, strict=True):
        assert unit in units[(train[0] == image).all((1, 2, 3))]
    assert np.array_equal(copies.pixels, copy_of_train(*train, COUNTS, 0)[0])
