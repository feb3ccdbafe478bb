"""Small generators with random weights, one for each kind of prior."""

from typing import Any

import numpy as np
import pytest
import torch

from medsyn.generator import Generator

CLASSES = ["a", "b", "c"]
CONFIG: dict[str, Any] = {
    "schema": 3,
    "classes": CLASSES,
    "image_shape": [1, 12, 12],
    "condition_schema": {"class": {"kind": "categorical", "values": CLASSES}},
    "network": {"kind": "completion", "channels": [6, 8], "blocks": 1, "maps": 2},
    "first_stage": {"kind": "pca", "coefficients": 9, "prior": {"kind": "mixture", "classes": 3, "components": 6}},
    "batch": 16,
}


FLOW = {"kind": "flow", "classes": 3, "changes": 4, "width": 16, "blocks": 1}


def _built(config: dict[str, Any]) -> tuple[Generator, np.random.Generator]:
    torch.manual_seed(0)
    generator = Generator(config)
    for tensor in generator.network.parameters():
        torch.nn.init.normal_(tensor, std=0.1)
    stage, rng = generator.first_stage, np.random.default_rng(0)
    stage.components.copy_(torch.from_numpy(np.linalg.qr(rng.normal(size=(144, 9)))[0].T))
    stage.mean.fill_(0.5)
    return generator, rng


@pytest.fixture
def small() -> Generator:
    """Its codes are of a mixture."""
    generator, rng = _built(dict(CONFIG))
    generator.first_stage.prior.mean.copy_(torch.from_numpy(rng.normal(size=(6, 9))))
    generator.first_stage.prior.share.copy_(torch.eye(3).repeat_interleave(2, 1) / 2)
    return generator


@pytest.fixture
def flowing() -> Generator:
    """Its codes are of a flow."""
    generator, _ = _built(CONFIG | {"first_stage": CONFIG["first_stage"] | {"prior": FLOW}})
    torch.nn.init.normal_(generator.first_stage.prior.output.weight, std=0.3)
    return generator


@pytest.fixture(params=["small", "flowing"])
def either(request: pytest.FixtureRequest) -> Generator:
    """Both, one after the other."""
    return request.getfixturevalue(request.param)
