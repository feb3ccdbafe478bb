"""Whose turn it is, where images of several classes come one after another."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence

import numpy as np


def turns(shares: Sequence[float], rng: np.random.Generator) -> Iterator[int]:
    """Classes in an order that has each of them evenly spread, without end.

    Image k of a class is due at ``(k + u) / share``, with u drawn once for each class: wherever a sequence is cut, the
    classes are about as near to their shares as whole images allow. Several sequences do not begin alike: a rare class
    comes early in some of them.

    Args:
        shares: Of each class, not negative, summing to 1; a class whose share is 0 never comes.
        rng: Draws where each class begins.

    Yields:
        Class indices.
    """
    begin = rng.random(len(shares)).tolist()
    due = [(u / share, label, 0) for label, (u, share) in enumerate(zip(begin, shares, strict=True)) if share > 0]
    heapq.heapify(due)
    while True:
        _, label, k = due[0]
        yield label
        heapq.heapreplace(due, ((k + 1 + begin[label]) / shares[label], label, k + 1))
