"""Limits that a stated share of real images would fail."""

from __future__ import annotations

import numpy as np


def lowest(values: np.ndarray, share: float) -> float:
    """Limit below which about ``share`` of images like those of ``values`` lie.

    The k-th smallest of n values, k = floor(share (n + 1)), at least 1: of further images of the same kind, less than
    ``k / (n + 1)`` are expected below it (split conformal prediction; Vovk et al. 2005). With fewer than 1 / share
    values the smallest one is what can be had.

    Args:
        values: ``[n]``, finite; n >= 1.
        share: In (0, 1).
    """
    k = max(1, int(share * (len(values) + 1)))
    return float(np.partition(values, k - 1)[k - 1])


def highest(values: np.ndarray, share: float) -> float:
    """Limit above which about ``share`` of images like those of ``values`` lie; see `lowest`."""
    return -lowest(-np.asarray(values), share)
