import numpy as np
import pytest
import torch

from medsyn.generator.first_stage import PCA
from medsyn.generator.first_stage import pca as module


def low_rank(n: int, rank: int = 5) -> np.ndarray:
    rng = np.random.default_rng(0)
    basis = rng.normal(size=(rank, 64)) * np.geomspace(0.1, 0.01, rank)[:, None]
    return (0.5 + rng.normal(size=(n, rank)) @ basis).reshape(n, 1, 8, 8).astype(np.float32)


@pytest.mark.parametrize("n", [20, 300])  # fewer images than pixels, and more
def test_round_trip_and_whitening(n: int) -> None:
    images = torch.from_numpy(low_rank(n))
    stage = PCA.fit(images.numpy(), explained=0.99999, most=32)
    assert stage.coefficients == 5
    code = stage.encode(images)
    assert torch.allclose(stage.decode(code), images, atol=1e-4)
    assert torch.allclose(code.std(0, unbiased=False), torch.ones(5), atol=1e-3)
    assert torch.allclose(code.mean(0), torch.zeros(5), atol=1e-3)


def test_as_many_components_as_the_variance_asks_for() -> None:
    images = low_rank(300)
    few = PCA.fit(images, explained=0.5, most=32)
    assert 1 <= few.coefficients < 5
    assert PCA.fit(images, explained=0.99999, most=2).coefficients == 2


def test_the_randomised_method_finds_the_same_space(monkeypatch: pytest.MonkeyPatch) -> None:
    images = low_rank(300)
    exact = PCA.fit(images, explained=0.99999, most=5)
    monkeypatch.setattr(module, "MAX_SIDE", 10)
    fast = PCA.fit(images, explained=0.99999, most=5)
    overlap = (exact.components @ fast.components.T).abs()
    assert torch.allclose(overlap, torch.eye(5), atol=1e-3)
