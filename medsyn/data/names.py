"""Names in 16 bytes each, so that those of millions of images fit into memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np

NOBODY = b""


def marks(names: Iterable[str | None]) -> np.ndarray:
    """128-bit hashes of names: that two of ten million fall together has a chance of one in 10^24.

    Args:
        names: Any texts; None for no name.

    Returns:
        ``S16`` ``[n]``; `NOBODY` where there is no name.
    """
    made = [NOBODY if name is None else hashlib.blake2b(name.encode(), digest_size=16).digest() for name in names]
    return np.array(made, "S16")


def codes(column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers for names.

    Args:
        column: Of `marks`, ``S16`` ``[n]``.

    Returns:
        The different marks, ascending, ``S16`` ``[k]``; place of each name among them, int32 ``[n]``.
    """
    known, code = np.unique(column, return_inverse=True)
    return known, code.astype(np.int32)


def places(wanted: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Where each of some marks stands.

    Args:
        wanted: ``S16``, any shape.
        known: ``S16`` ``[k]``, ascending.

    Returns:
        int32, the shape of ``wanted``; -1 where it is not known.
    """
    if not len(known):
        return np.full(wanted.shape, -1, np.int32)
    found = np.searchsorted(known, wanted).astype(np.int32)
    found[found == len(known)] = 0
    return np.where(known[found] == wanted, found, np.int32(-1))
