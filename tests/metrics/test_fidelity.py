"""KID and PRDC against direct transcriptions of their papers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from medsyn.metrics import fidelity
from medsyn.metrics.fidelity import kid, neighbour_distance, prdc


@pytest.fixture
def sets():
    rng = np.random.default_rng(3)
    return rng.normal(size=(40, 6)).astype(np.float32), rng.normal(0.4, 1.2, size=(31, 6)).astype(np.float32)


@pytest.fixture(params=[7, 512])
def chunk(request, monkeypatch):
    monkeypatch.setattr(fidelity, "CHUNK", request.param)


def test_kid_is_the_unbiased_estimator(sets, chunk):
    real, fake = (s.astype(float) for s in sets)

    def k(a, b):
        return (a @ b / 6 + 1) ** 3

    def within(x):
        return np.mean([k(a, b) for a, b in itertools.permutations(x, 2)])

    across = np.mean([k(a, b) for a in real for b in fake])
    result = kid(*sets)
    assert result.value == pytest.approx(within(real) + within(fake) - 2 * across, rel=1e-9)
    assert result.low < result.value < result.high


def test_kid_interval_covers_zero_for_one_distribution():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        result = kid(rng.normal(size=(60, 4)), rng.normal(size=(60, 4)), draws=60)
        covered += result.low <= 0 <= result.high
    # Under the null the statistic is degenerate and half-samples overstate its spread: cautious, never too bold.
    assert covered >= 190


def test_kid_interval_covers_a_real_difference():
    rng = np.random.default_rng(1)
    truth = kid(rng.normal(size=(4000, 3)), rng.normal(0.7, 1, size=(4000, 3)), draws=2).value
    covered = sum(
        r.low <= truth <= r.high
        for r in (kid(rng.normal(size=(80, 3)), rng.normal(0.7, 1, size=(80, 3)), draws=80) for _ in range(200))
    )
    assert 0.88 <= covered / 200 <= 1.0


def test_prdc_counts_balls(sets, chunk):
    real, fake = sets
    k = 3
    across = cdist(fake, real)
    real_radius = np.sort(cdist(real, real), axis=1)[:, k]
    fake_radius = np.sort(cdist(fake, fake), axis=1)[:, k]
    result = prdc(real, fake, k)
    assert result.precision == np.mean([any(row < real_radius) for row in across])
    assert result.recall == np.mean([any(column < fake_radius) for column in across.T])
    assert result.density == pytest.approx(sum((row < real_radius).sum() for row in across) / (k * len(fake)))
    assert result.coverage == np.mean(across.min(0) < real_radius)


def test_prdc_of_a_collapsed_set(sets):
    real, _ = sets
    fake = np.repeat(real[:1], 30, 0) + np.random.default_rng(0).normal(0, 1e-4, (30, 6))
    result = prdc(real, fake)
    assert result.precision == 1
    assert result.recall < 0.05
    assert result.coverage < 0.3


def test_neighbour_distance_leaves_the_point_itself_out(sets):
    assert neighbour_distance(sets[0], 1) == pytest.approx(np.sort(cdist(sets[0], sets[0]), 1)[:, 1], abs=1e-6)


def test_too_few_vectors():
    with pytest.raises(ValueError, match="needs 4"):
        kid(np.zeros((3, 2)), np.zeros((9, 2)))
    with pytest.raises(ValueError, match="more than 5"):
        prdc(np.zeros((5, 2)), np.zeros((9, 2)))
