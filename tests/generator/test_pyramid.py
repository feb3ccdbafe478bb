import numpy as np
import pytest
import torch

from medsyn.generator import networks
from medsyn.generator.first_stage import PCA, Fitting
from medsyn.generator.model import complete, complete_apart
from medsyn.generator.networks.pyramid import at_sizes, doubled, finer, halved, halvings

LEVEL = {"kind": "completion", "channels": [4, 6], "blocks": 1, "maps": 1}


@pytest.fixture
def pyramid() -> torch.nn.Module:
    torch.manual_seed(0)
    network = networks.build({"kind": "pyramid", "levels": [LEVEL, LEVEL, LEVEL]}, (1, 48, 32), 2)
    for tensor in network.parameters():
        torch.nn.init.normal_(tensor, std=0.1)
    return network


@pytest.fixture
def stage() -> PCA:
    images = np.random.default_rng(0).random((60, 1, 48, 32), np.float32)
    return PCA.fit(images, np.arange(60) % 2, Fitting(explained=1.0, most=5, halvings=2))


def test_sizes_halve_and_what_is_finer_is_what_they_lose() -> None:
    images = torch.rand(3, 1, 48, 32)
    assert [tuple(x.shape[2:]) for x in at_sizes(images, 3)] == [(12, 8), (24, 16), (48, 32)]
    assert torch.allclose(halved(doubled(images)), images)
    assert torch.allclose(doubled(halved(images)) + finer(images), images, atol=1e-6)
    assert halved(finer(images)).abs().max() < 1e-6
    assert [halvings(side, 32) for side in (28, 32, 50, 64, 66, 128, 256)] == [0, 0, 0, 1, 1, 2, 3]


def test_every_level_keeps_what_the_one_below_has_settled(pyramid: torch.nn.Module, stage: PCA) -> None:
    condition, noise = torch.eye(2).repeat(4, 1), torch.randn(8, pyramid.noise)
    coarse = stage.decode(torch.randn(8, stage.coefficients))
    assert coarse.shape == (8, 1, 12, 8)
    made = complete(stage, pyramid, noise, condition, coarse)
    assert made.shape == (8, 1, 48, 32)
    assert torch.allclose(stage.encode(made), stage.encode(doubled(doubled(coarse))), atol=1e-3)
    other = torch.cat([noise[:, :-100], torch.randn(8, 100)], 1)  # of the last level alone
    changed = complete(stage, pyramid, other, condition, coarse)
    assert not torch.allclose(changed, made, atol=1e-3)
    assert torch.allclose(halved(changed), halved(made), atol=1e-5)


def test_in_training_every_level_goes_on_from_the_real_image(pyramid: torch.nn.Module, stage: PCA) -> None:
    real = at_sizes(torch.rand(4, 1, 48, 32), 3)
    condition, noise = torch.eye(2).repeat(2, 1), torch.randn(4, pyramid.noise)
    made = complete_apart(stage, pyramid, noise, condition, stage.decode(stage.encode(real[-1])), real)
    assert [x.shape for x in made] == [x.shape for x in real]
    assert torch.allclose(halved(made[1]), real[0], atol=1e-5)
    assert torch.allclose(halved(made[2]), real[1], atol=1e-5)
    made[2].sum().backward()
    assert all(p.grad is None for p in pyramid.levels[1].parameters())  # no level learns for another
