import numpy as np
import pytest
import torch

from medsyn.generator import first_stage
from medsyn.generator.first_stage import PCA, Fitting, PriorTraining
from medsyn.generator.first_stage import components as module


def low_rank(n: int, rank: int = 5) -> np.ndarray:
    rng = np.random.default_rng(0)
    basis = rng.normal(size=(rank, 64)) * np.geomspace(0.1, 0.01, rank)[:, None]
    return (0.5 + rng.normal(size=(n, rank)) @ basis).reshape(n, 1, 8, 8).astype(np.float32)


@pytest.mark.parametrize("n", [20, 300])  # fewer images than pixels, and more
def test_round_trip_and_whitening(n: int) -> None:
    images = torch.from_numpy(low_rank(n))
    stage = PCA.fit(images.numpy(), np.arange(n) % 2, Fitting(explained=0.99999, most=32))
    assert stage.coefficients == 5
    code = stage.encode(images)
    assert torch.allclose(stage.decode(code), images, atol=1e-4)
    assert torch.allclose(code.std(0, unbiased=False), torch.ones(5), atol=1e-3)
    assert torch.allclose(code.mean(0), torch.zeros(5), atol=1e-3)


def test_as_many_components_as_the_variance_asks_for() -> None:
    images = low_rank(300)
    few = PCA.fit(images, np.arange(300) % 2, Fitting(explained=0.5, most=32))
    assert 1 <= few.coefficients < 5
    assert PCA.fit(images, np.arange(300) % 2, Fitting(explained=0.99999, most=2)).coefficients == 2


def test_the_randomised_method_finds_the_same_space(monkeypatch: pytest.MonkeyPatch) -> None:
    images = low_rank(300)
    exact = PCA.fit(images, np.arange(300) % 2, Fitting(explained=0.99999, most=5))
    monkeypatch.setattr(module, "MAX_SIDE", 10)
    fast = PCA.fit(images, np.arange(300) % 2, Fitting(explained=0.99999, most=5))
    overlap = (exact.components @ fast.components.T).abs()
    assert torch.allclose(overlap, torch.eye(5), atol=1e-3)


def test_detail_is_what_the_components_cannot_say() -> None:
    images = np.random.default_rng(1).random((60, 1, 8, 8), np.float32)
    stage = PCA.fit(images, np.arange(60) % 2, Fitting(explained=1.0, most=7))
    detail = stage.detail(torch.from_numpy(images))
    assert torch.allclose(detail.flatten(1) @ stage.components.T, torch.zeros(60, 7), atol=1e-4)
    coarse = stage.decode(stage.encode(torch.from_numpy(images)))
    completed = coarse + detail
    assert torch.allclose(stage.encode(completed), stage.encode(torch.from_numpy(images)), atol=1e-3)


@pytest.mark.parametrize(("prior_steps", "prior"), [(0, "mixture"), (500, "flow")])
def test_samples_of_a_class_look_like_that_class(prior_steps: int, prior: str) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 2
    images = rng.normal(0.3, 0.02, (300, 1, 8, 8)).astype(np.float32)
    images[labels == 1, :, :4] += 0.4
    stage = PCA.fit(images, labels, Fitting(explained=0.99, most=6, prior=PriorTraining(prior_steps)))
    assert stage.sizes()["prior"]["kind"] == prior
    condition, noise = torch.eye(2).repeat_interleave(50, 0), torch.randn(100, stage.noise)
    made = stage.decode(stage.sample(noise, condition))
    upper = made[:, 0, :4].mean((1, 2))
    assert upper[:50].max() < 0.5 < upper[50:].min()
    rebuilt = first_stage.build(stage.sizes(), (1, 8, 8))
    rebuilt.load_state_dict(stage.state_dict())
    assert torch.equal(rebuilt.decode(rebuilt.sample(noise, condition)), made)
