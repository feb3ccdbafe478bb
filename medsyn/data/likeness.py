"""How alike two pictures are, once brightness, contrast, a small shift and a small zoom no longer count."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter

from medsyn.data.thumbnail import SIDE

if TYPE_CHECKING:
    from medsyn.data.rows import Pictures

NARROW, WIDE = 0.7, 3.0
"""Deviations of the two Gaussians of the band-pass, in thumbnail pixels. What is coarser than the wide one is anatomy
that all patients share; what is finer than the narrow one does not survive compression."""

MARGIN = 2
"""Thumbnail pixels along the border that do not count: a shift brings in others there."""

BLOCK = 256
"""Pairs at a time: each takes some 60 kB."""

FLAT = 1e-3
"""Length of the details, in grey levels, below which there is nothing to compare."""


def details(thumbnails: np.ndarray, narrow: float = NARROW) -> np.ndarray:
    """Difference of two Gaussians, which keeps what tells patients apart.

    Args:
        thumbnails: ``[n, SIDE, SIDE]`` on any scale.
        narrow: Deviation of the narrow Gaussian in pixels.

    Returns:
        float32 of the same shape and scale.
    """
    t = thumbnails.astype(np.float32)
    return gaussian_filter(t, (0, narrow, narrow)) - gaussian_filter(t, (0, WIDE, WIDE))


def centred(pictures: np.ndarray) -> np.ndarray:
    """Pictures ``[n, SIDE, SIDE]`` without their margin, each of mean 0: ``[n, (SIDE - 2 MARGIN)^2]``."""
    inner = pictures[:, MARGIN:-MARGIN, MARGIN:-MARGIN].reshape(len(pictures), -1)
    return inner - inner.mean(axis=1, keepdims=True)


def likeness(thumbnails: np.ndarray | Pictures, pairs: np.ndarray) -> np.ndarray:
    """Whether the two pictures of a pair show one exposure.

    The details of one picture are fitted by least squares with the details of the other, their two derivatives and
    their change under zoom (a first-order Taylor expansion, as Lucas and Kanade 1981, "An iterative image registration
    technique", register images). The multiple correlation is the plain one where nothing moved, and stays near 1 for
    copies that were shifted or cropped by up to a pixel.

    Args:
        thumbnails: ``[n, SIDE, SIDE]``; may be on disk.
        pairs: int64 ``[m, 2]``, places among them.

    Returns:
        float32 ``[m]``: the lower of the two multiple correlations, 0 to 1; 0 where a picture is flat.
    """
    blocks = [_likeness(thumbnails, pairs[start : start + BLOCK]) for start in range(0, len(pairs), BLOCK)]
    return np.concatenate([np.zeros(0, np.float32), *blocks])


def _likeness(thumbnails: np.ndarray | Pictures, pairs: np.ndarray) -> np.ndarray:
    used, place = np.unique(pairs, return_inverse=True)
    first, second = place.reshape(pairs.shape).T
    seen = details(thumbnails[used])
    wanted = centred(seen)
    length = np.linalg.norm(wanted, axis=1, keepdims=True)
    wanted *= (length > FLAT) / np.maximum(length, FLAT)
    basis = _first_order(seen)
    forth = np.linalg.norm(basis[first] @ wanted[second, :, None], axis=1)
    back = np.linalg.norm(basis[second] @ wanted[first, :, None], axis=1)
    return np.minimum(forth, back)[:, 0]


def _first_order(pictures: np.ndarray) -> np.ndarray:
    """Orthonormal basis of what small movements make of each picture: float32 ``[n, 4, pixels]``."""
    down, right = np.gradient(pictures, axis=(1, 2))
    place = np.arange(SIDE, dtype=np.float32) - (SIDE - 1) / 2
    zoom = place[:, None] * down + place * right
    basis = np.stack([centred(part) for part in (pictures, down, right, zoom)], axis=1)
    # Gram-Schmidt: of four vectors it is exact enough, and ten times faster than a stack of QR decompositions.
    for k in range(basis.shape[1]):
        before, vector = basis[:, :k], basis[:, k]
        vector -= ((before @ vector[..., None]).transpose(0, 2, 1) @ before)[:, 0]
        length = np.linalg.norm(vector, axis=1, keepdims=True)
        vector *= (length > FLAT) / np.maximum(length, FLAT)
    return basis
