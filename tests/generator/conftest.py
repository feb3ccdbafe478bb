"""A small generator with random weights."""

import numpy as np
import pytest
import torch

from medsyn.generator import Generator

CONFIG = {
    "schema": 1,
    "classes": ["a", "b", "c"],
    "image_shape": [1, 12, 12],
    "network": {"kind": "latent", "coefficients": 9, "classes": 3, "width": 32, "depth": 2, "embedding": 4},
    "first_stage": {"kind": "pca", "coefficients": 9},
    "batch": 16,
}


@pytest.fixture
def small() -> Generator:
    torch.manual_seed(0)
    generator = Generator(dict(CONFIG))
    for tensor in (*generator.network.parameters(), generator.network.factor, generator.network.mean):
        torch.nn.init.normal_(tensor, std=0.3)
    rng = np.random.default_rng(0)
    generator.first_stage.components.copy_(torch.from_numpy(np.linalg.qr(rng.normal(size=(144, 9)))[0].T))
    generator.first_stage.mean.fill_(0.5)
    return generator
