"""Tensors of several modules in one file, told apart by a prefix."""

from __future__ import annotations

import torch


def below(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Those whose name begins with ``prefix`` and a dot, named without these."""
    start = f"{prefix}."
    return {key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)}
