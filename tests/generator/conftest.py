"""A small generator with random weights."""

import numpy as np
import pytest
import torch

from medsyn.generator import Generator

CLASSES = ["a", "b", "c"]
CONFIG = {
    "schema": 3,
    "classes": CLASSES,
    "image_shape": [1, 12, 12],
    "condition_schema": {"class": {"kind": "categorical", "values": CLASSES}},
    "network": {"kind": "completion", "channels": [6, 8], "blocks": 1, "maps": 2},
    "first_stage": {"kind": "pca", "coefficients": 9, "prior": {"kind": "mixture", "classes": 3, "components": 6}},
    "batch": 16,
}


@pytest.fixture
def small() -> Generator:
    torch.manual_seed(0)
    generator = Generator(dict(CONFIG))
    for tensor in generator.network.parameters():
        torch.nn.init.normal_(tensor, std=0.1)
    stage, rng = generator.first_stage, np.random.default_rng(0)
    stage.components.copy_(torch.from_numpy(np.linalg.qr(rng.normal(size=(144, 9)))[0].T))
    stage.mean.fill_(0.5)
    stage.prior.mean.copy_(torch.from_numpy(rng.normal(size=(6, 9))))
    stage.prior.share.copy_(torch.eye(3).repeat_interleave(2, 1) / 2)
    return generator
