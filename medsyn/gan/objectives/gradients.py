"""The norm of a discriminator's gradient, differentiable."""

from __future__ import annotations

from collections.abc import Callable

import torch

Critic = Callable[[torch.Tensor], torch.Tensor]
"""Images ``[n, C, H, W]`` to scores ``[n]``, under conditions that are settled."""


def squared_norm(critic: Critic, images: torch.Tensor) -> torch.Tensor:
    """``||grad_x D(x)||^2`` of every image.

    Args:
        critic: The discriminator.
        images: ``[n, C, H, W]``.

    Returns:
        ``[n]``, which can be differentiated again.
    """
    images = images.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(images).sum(), images, create_graph=True)
    return gradient.square().flatten(1).sum(1)
