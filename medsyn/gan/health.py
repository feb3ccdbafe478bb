"""Ways in which a training fails, each named."""

from __future__ import annotations

import math

import numpy as np

from medsyn.gan.trainer import StepLosses

COLLAPSED = 0.25
"""Spread of a class's samples over that of its real images, below which the class counts as collapsed: an honest
training stays above 0.5."""


def diverged(losses: StepLosses) -> str | None:
    """A sentence when a loss is no number any more."""
    if all(math.isfinite(value) for value in losses):
        return None
    return "a loss is not finite: the training diverged"


def collapsed(
    real: np.ndarray, real_labels: np.ndarray, fake: np.ndarray, fake_labels: np.ndarray, classes: list[str]
) -> str | None:
    """A sentence when the samples of a class are nearly all alike.

    Args:
        real: Training images ``[n, C, H, W]``.
        real_labels: int64 ``[n]``.
        fake: Samples ``[m, C, H, W]``.
        fake_labels: int64 ``[m]``.
        classes: Class names.
    """
    for c, name in enumerate(classes):
        asked, known = fake[fake_labels == c], real[real_labels == c]
        if len(asked) > 1 and len(known) > 1:
            ratio = float(np.sqrt(asked.var(0).sum() / max(known.var(0).sum(), 1e-12)))
            if ratio < COLLAPSED:
                return f"class '{name}' collapsed: its samples spread {ratio:.2f} times as wide as its images"
    return None
