"""KID, FID and PRDC against torchmetrics, closed forms and direct transcriptions of their papers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from medsyn.metrics import fidelity
from medsyn.metrics.fidelity import fid, kid, kid_doubt, neighbour_distance, prdc, unit_numbers


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


def test_kid_agrees_with_torchmetrics(sets):
    import torch

    poly_mmd = pytest.importorskip("torchmetrics.image.kid").poly_mmd
    real, fake = (s[:31].astype(np.float64) for s in sets)
    reference = poly_mmd(torch.from_numpy(real), torch.from_numpy(fake)).item()
    assert kid(real, fake).value == pytest.approx(reference, rel=1e-9)


def test_kid_leaves_out_pairs_of_one_subject(sets, chunk):
    real, fake = (s.astype(float) for s in sets)
    units = np.array([f"s{i // 3}" for i in range(len(real))])

    def k(a, b):
        return (a @ b / 6 + 1) ** 3

    within = np.mean([k(real[i], real[j]) for i in range(40) for j in range(40) if units[i] != units[j]])
    others = np.mean([k(a, b) for a, b in itertools.permutations(fake, 2)])
    across = np.mean([k(a, b) for a in real for b in fake])
    assert kid(real, fake, real_units=units).value == pytest.approx(within + others - 2 * across, rel=1e-9)


def test_kid_interval_respects_subjects():
    # Four all but equal images a subject: as many images, a quarter of the knowledge.
    rng = np.random.default_rng(5)
    covered, blind, zero = 0, 0, 0.0
    for _ in range(100):
        a, b = (np.repeat(rng.normal(size=(20, 4)), 4, 0) + rng.normal(0, 0.01, (80, 4)) for _ in range(2))
        units = np.repeat([f"s{i}" for i in range(20)], 4)
        with_units = kid(a, b, draws=60, real_units=units, fake_units=units)
        without = kid(a, b, draws=60)
        covered += with_units.low <= 0 <= with_units.high
        blind += without.low <= 0 <= without.high
        zero += with_units.value / 100
    assert covered >= 93
    assert blind < 50
    assert abs(zero) < 0.3  # without subjects the mean is near 1: within-subject pairs count as likeness


def test_images_without_a_name_are_subjects_of_their_own():
    assert unit_numbers(4, None).tolist() == [0, 1, 2, 3]
    assert unit_numbers(5, np.array(["b", "", "a", "b", ""])).tolist() == [0, 1, 2, 0, 3]


def test_fid_agrees_with_torchmetrics():
    import torch

    compute = pytest.importorskip("torchmetrics.image.fid")._compute_fid
    rng = np.random.default_rng(2)
    mix = rng.normal(size=(12, 12))
    real, fake = rng.normal(size=(300, 12)) @ mix, rng.normal(0.3, 1.4, size=(200, 12)) @ mix
    moments = [torch.from_numpy(m) for s in (real, fake) for m in (s.mean(0), np.cov(s.T))]
    assert fid(real, fake) == pytest.approx(compute(*moments).item(), rel=1e-8)


def test_fid_is_the_closed_form_of_gaussians():
    # Diagonal covariances: |m1 - m2|^2 + sum (s1 - s2)^2 (Dowson and Landau 1982). The sets have these moments exactly.
    rng = np.random.default_rng(4)
    basis = np.linalg.qr(np.column_stack([np.ones(64), rng.normal(size=(64, 3))]))[0][:, 1:] * np.sqrt(63)
    first, second = np.array([1.0, 2.0, 0.5]), np.array([2.0, 2.0, 3.0])
    shift = np.array([0.3, -1.0, 0.0])
    expected = (shift**2).sum() + ((first - second) ** 2).sum()
    assert fid(basis * first, basis[::-1] * second + shift) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("n", [20, 50])
def test_fid_holds_where_vectors_are_fewer_than_dimensions(n):
    # The d x d root by eigenvalues of the product, which a singular covariance leaves well defined.
    rng = np.random.default_rng(n)
    real, fake = rng.normal(size=(n, 40)), rng.normal(0.2, 1.3, size=(n, 40))
    a, b = np.cov(real.T), np.cov(fake.T)
    root = np.sqrt(np.maximum(np.linalg.eigvals(a @ b).real, 0)).sum()
    expected = ((real.mean(0) - fake.mean(0)) ** 2).sum() + np.trace(a) + np.trace(b) - 2 * root
    assert fid(real, fake) == pytest.approx(expected, rel=1e-5)
    assert fid(real, real) == pytest.approx(0, abs=1e-9)


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
    with pytest.raises(ValueError, match="needs 4 subjects"):
        kid(np.zeros((8, 2)), np.zeros((8, 2)), real_units=np.repeat(["a", "b"], 4))
    with pytest.raises(ValueError, match="needs 2"):
        fid(np.zeros((1, 2)), np.zeros((9, 2)))


def test_the_error_of_a_difference_of_kids_is_how_it_scatters_over_real_images() -> None:
    rng = np.random.default_rng(0)
    fake, other = rng.normal(0.3, 1, (400, 6)), rng.normal(0, 1.2, (400, 6))
    reals = [rng.normal(size=(30, 6)) for _ in range(300)]
    apart = np.array([kid(real, fake, draws=2).value - kid(real, other, draws=2).value for real in reals])
    assert np.median([kid_doubt(real, fake, other) for real in reals]) == pytest.approx(apart.std(), rel=0.15)
    alone = np.std([kid(real, fake, draws=2).value for real in reals])
    assert kid_doubt(reals[0], fake, fake + 0.01) < 0.1 * alone
    pairs = np.repeat(reals[0], 2, 0)
    assert kid_doubt(pairs, fake, other, np.repeat(np.arange(30), 2)) == pytest.approx(kid_doubt(reals[0], fake, other))
    assert kid_doubt(reals[0], fake, other, np.zeros(30, int)) == np.inf
