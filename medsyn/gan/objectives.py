"""The objective of R3GAN (Huang et al. 2024, arXiv:2501.05441): relativistic pairing with R1 and R2."""

from __future__ import annotations

import torch
from torch.nn import functional as F


def discriminator_loss(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """``E softplus(-(D(x) - D(G(z))))`` over pairs of one label (eq. 2, with f(t) = -log(1 + exp(-t)))."""
    return F.softplus(fake - real).mean()


def generator_loss(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """The mirror image: the generator wants its sample above the real one it is paired with."""
    return F.softplus(real - fake).mean()


def gradient_penalty(scores: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    """Zero-centred penalty ``E ||grad_x D(x)||^2`` (eq. 3 and 4): R1 on real inputs, R2 on fake ones.

    Args:
        scores: ``[n]``, computed from ``inputs``.
        inputs: ``[n, ...]`` that requires grad.

    Returns:
        A scalar that can be differentiated again.
    """
    (gradient,) = torch.autograd.grad(scores.sum(), inputs, create_graph=True)
    return gradient.square().flatten(1).sum(1).mean()
