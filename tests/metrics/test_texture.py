from __future__ import annotations

import numpy as np
import pytest
from helpers import blobs
from scipy import stats
from scipy.ndimage import gaussian_filter

from medsyn.metrics.texture import GREY_LEVELS, NAMES, texture_distance, texture_features


@pytest.fixture(scope="module")
def images():
    return blobs(60, side=28)[0]


def of(name, features):
    return features[:, NAMES.index(name)]


def test_first_order_features_agree_with_scipy(images):
    features, grey = texture_features(images), images.reshape(60, -1).astype(float)
    assert of("mean", features) == pytest.approx(grey.mean(1), rel=1e-9)
    assert of("deviation", features) == pytest.approx(grey.std(1), rel=1e-9)
    assert of("skewness", features) == pytest.approx(stats.skew(grey, axis=1), abs=1e-8)
    assert of("kurtosis", features) == pytest.approx(stats.kurtosis(grey, axis=1), abs=1e-8)
    assert of("percentile 25", features) == pytest.approx(np.percentile(grey, 25, axis=1), rel=1e-9)
    counts = [np.histogram(row, GREY_LEVELS, (0, 1))[0] for row in grey]
    assert of("entropy", features) == pytest.approx([stats.entropy(c, base=2) for c in counts], abs=1e-8)


def test_co_occurrence_is_the_count_of_neighbouring_pairs(images):
    level = np.clip(images[0, 0].astype(float) * GREY_LEVELS, 0, GREY_LEVELS - 1).astype(int)
    expected = {name: [] for name in ("contrast", "homogeneity", "energy", "correlation")}
    for dy, dx in ((0, 1), (-1, 1), (-1, 0), (-1, -1)):
        pairs = [
            (level[y, x], level[y + dy, x + dx])
            for y in range(28)
            for x in range(28)
            if 0 <= y + dy < 28 and 0 <= x + dx < 28
        ]
        a, b = np.array(pairs + [(q, p) for p, q in pairs]).T
        table = np.zeros((GREY_LEVELS, GREY_LEVELS))
        np.add.at(table, (a, b), 1 / len(a))
        expected["contrast"].append(((a - b) ** 2).mean())
        expected["homogeneity"].append((1 / (1 + (a - b) ** 2)).mean())
        expected["energy"].append(np.sqrt((table**2).sum()))
        expected["correlation"].append(np.corrcoef(a, b)[0, 1])
    features = texture_features(images[:1])
    for name, values in expected.items():
        assert of(name, features)[0] == pytest.approx(np.mean(values), rel=1e-8), name


def test_binary_patterns_are_shares_and_find_what_they_are_named_for(images):
    patterns = texture_features(images)[:, -10:]
    assert patterns.sum(1) == pytest.approx(np.ones(60))
    flat = texture_features(np.full((1, 1, 28, 28), 0.5, np.float32))[0, -10:]
    # Every neighbour is as bright as the centre, except beyond the edge, which counts as black.
    assert flat[8] == pytest.approx((26 / 28) ** 2)


def test_distance_agrees_with_scipy(images):
    a, b = texture_features(images[:30]), texture_features(images[30:] ** 1.2)
    unit = np.maximum(a.std(0), 1e-3)
    pairs = zip(((a - a.mean(0)) / unit).clip(-10, 10).T, ((b - a.mean(0)) / unit).clip(-10, 10).T, strict=True)
    reference = np.mean([stats.wasserstein_distance(x, y) for x, y in pairs])
    assert texture_distance(a, b) == pytest.approx(reference, rel=1e-9)


def test_blur_and_noise_are_seen_where_another_draw_is_not(images):
    rng = np.random.default_rng(0)
    honest = texture_distance(texture_features(images[:30]), texture_features(images[30:]))
    for fault in (gaussian_filter(images, (0, 0, 1, 1)), (images + rng.normal(0, 0.03, images.shape)).clip(0, 1)):
        assert (
            texture_distance(texture_features(images[:30]), texture_features(fault[30:].astype(np.float32)))
            > 2 * honest
        )


def test_constant_images_are_finite():
    features = texture_features(np.stack([np.zeros((3, 16, 16)), np.ones((3, 16, 16))]).astype(np.float32))
    assert np.isfinite(features).all()
    assert np.isfinite(texture_distance(features, features[::-1]))


def test_sets_of_different_size_are_refused():
    with pytest.raises(ValueError, match="one size"):
        texture_distance(np.zeros((4, 2)), np.zeros((5, 2)))
