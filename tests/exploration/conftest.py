"""Small generators of every kind of first stage, and one in a workspace."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from generator.conftest import CONFIG, either, flowing, small  # noqa: F401

from medsyn.generator import Generator, checkpoint
from medsyn.workspace import GENERATOR, Workspace

LABELS = ["normal", "a label too long for its place, with | and <b>", "λ-γ"]


@pytest.fixture
def whole() -> Generator:
    """Without a first stage: the network makes the whole image."""
    torch.manual_seed(0)
    network = {"kind": "conv", "channels": [6, 8], "blocks": 1, "latent": 16}
    return Generator(CONFIG | {"network": network, "first_stage": {"kind": "none"}})


@pytest.fixture
def checkpoint_folder(small: Generator, workspace: Workspace) -> Path:  # noqa: F811
    """`small` as a checkpoint with awkward class names."""
    with workspace.build(GENERATOR, "xray") as build:
        digest = checkpoint.save(small, build.path)
        schema = {"class": {"kind": "categorical", "values": LABELS}}
        config = small.config | {"classes": LABELS, "condition_schema": schema}
        return build.commit(config | {"modality": "xray", "digest": digest})
