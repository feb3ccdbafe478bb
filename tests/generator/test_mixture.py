import numpy as np
import pytest
import torch

from medsyn.generator.first_stage.mixture import FEWEST, ClassMixture


def kinds(n: int = 600) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes of two classes: the first of two kinds, apart by 8 deviations, 1 to 3; the second of one."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], n // 2)
    kind = np.where(labels == 0, np.arange(n) % 4 == 0, 0)
    codes = rng.normal(0, 0.5, (n, 5)).astype(np.float32)
    codes[:, 0] += np.where(kind, 4, 0)
    codes[labels == 1, 1] += 4
    return codes, labels, kind


def test_kinds_are_found_in_their_proportions_and_stay_in_their_class() -> None:
    codes, labels, _ = kinds()
    prior = ClassMixture.fit(codes, labels)
    made = prior(torch.randn(4000, prior.noise), torch.eye(2).repeat_interleave(2000, 0)).numpy()
    first, second = made[:2000], made[2000:]
    assert (first[:, 1] < 2).all()
    assert (second[:, 1] > 2).all()
    assert (first[:, 0] > 2).mean() == pytest.approx(0.25, abs=0.05)
    # One Gaussian would put a third of them between the kinds.
    assert ((first[:, 0] > 1.6) & (first[:, 0] < 2.4)).mean() < 0.02
    assert (second[:, 0] > 2).mean() < 0.01


def test_no_component_is_a_portrait() -> None:
    rng = np.random.default_rng(0)
    codes = rng.normal(0, 0.1, (600, 4)).astype(np.float32)
    codes[:3] += 50  # three patients far away
    prior = ClassMixture.fit(codes, np.zeros(600, int))
    assert (prior.share * 600 >= FEWEST - 1e-3).all()
    assert prior.mean.abs().max() < 25


def test_a_class_of_two_images_has_the_spread_of_its_own() -> None:
    codes = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    prior = ClassMixture.fit(codes, np.r_[np.zeros(28, int), [1, 1]])
    assert len(prior.mean) == 2
    made = prior(torch.randn(200, prior.noise), torch.eye(2)[torch.ones(200, dtype=torch.long)])
    assert torch.isfinite(made).all()
    assert made.std(0).max() > 0


def test_the_same_noise_is_the_same_code() -> None:
    codes, labels, _ = kinds()
    prior = ClassMixture.fit(codes, labels)
    noise, condition = torch.randn(20, prior.noise), torch.eye(2).repeat(10, 1)
    assert torch.equal(prior(noise, condition), prior(noise, condition))
    extreme = torch.full((2, prior.noise), 40.0)
    assert torch.isfinite(prior(extreme, torch.eye(2))).all()
