from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from medsyn.metrics.two_sample import _clustered_variance, _placements, c2st


def test_placements_average_to_the_auroc():
    rng = np.random.default_rng(0)
    y, score = rng.integers(2, size=80), rng.integers(12, size=80).astype(float)  # with ties
    placement = _placements(score, y)
    for c in (0, 1):
        assert placement[y == c].mean() == pytest.approx(roc_auc_score(y, score), abs=1e-12)


def test_variance_of_single_images_is_that_of_a_mean():
    values = np.random.default_rng(0).normal(size=30)
    assert _clustered_variance(values, np.arange(30)) == pytest.approx(values.var(ddof=1) / 30)
    # Everyone twice is no more knowledge.
    twice = _clustered_variance(np.repeat(values, 2), np.repeat(np.arange(30), 2))
    assert twice == pytest.approx(values.var(ddof=1) / 30)


def test_reaches_the_best_possible_auroc():
    # Two Gaussians a shift apart: no classifier has an AUROC above Phi(shift / sqrt 2).
    rng = np.random.default_rng(1)
    real, fake = rng.normal(size=(600, 5)), rng.normal(size=(600, 5))
    fake[:, 0] += 1.2
    result = c2st(real, fake)
    assert result.auroc == pytest.approx(norm.cdf(1.2 / np.sqrt(2)), abs=0.03)
    assert result.low < result.auroc < result.high


def test_alike_sets_are_not_told_apart():
    rng = np.random.default_rng(2)
    results = [c2st(*rng.normal(size=(2, 60, 30)), seed=s) for s in range(60)]
    assert np.mean([r.auroc for r in results]) == pytest.approx(0.5, abs=0.03)
    assert sum(r.low <= 0.5 <= r.high for r in results) >= 51


def test_a_subject_is_in_one_fold_only():
    # Subjects with many all but equal images: split by image, the classifier would know them again.
    rng = np.random.default_rng(3)
    real, fake = (np.repeat(rng.normal(size=(30, 12)), 8, 0) + rng.normal(0, 0.01, (240, 12)) for _ in range(2))
    units = [np.repeat([f"{side}{i}" for i in range(30)], 8) for side in "ab"]
    by_subject, by_image = c2st(real, fake, 0, *units), c2st(real, fake)
    assert by_image.auroc > by_subject.auroc + 0.1
    assert by_subject.low <= 0.5 <= by_subject.high
    assert by_subject.high - by_subject.low > 1.5 * (by_image.high - by_image.low)


def test_images_without_a_subject_mix_with_those_of_some():
    rng = np.random.default_rng(4)
    real, fake = rng.normal(size=(60, 6)), rng.normal(2, 1, size=(60, 6))
    assert c2st(real, fake, 0, np.repeat([f"s{i}" for i in range(20)], 3), np.full(60, "")).auroc > 0.95


def test_too_few_subjects():
    with pytest.raises(ValueError, match="10 subjects"):
        c2st(np.zeros((40, 2)), np.zeros((40, 2)), 0, np.repeat(list("abcd"), 10))
