"""Three generators without training: they show what a fidelity number is worth.

A copy of the training images has perfect fidelity and no use; SMOTE and a class Gaussian take seconds. A generator
that is not nearer to unseen real images than these has to show its worth elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from sklearn.decomposition import PCA
from torch.nn import functional as F

from medsyn.compute import keyed_seed, numpy_rng
from medsyn.evaluate.inputs.sample import Sample

COPY, SMOTE, GAUSSIAN = "copy of train", "SMOTE in pixels", "class Gaussian (PCA)"

NEIGHBOURS = 5
COMPONENTS = 128
SEARCH_SIDE = 32
"""Neighbours are searched on images averaged down to this side, which keeps 10,000 images in 40 MB."""

LARGEST_FIT = 2000
LARGEST_FIT_VALUES = 2**25
"""A principal component analysis sees at most so many images and so many pixels (128 MB in float32)."""

CHUNK = 256


def reference_samples(
    pixels: np.ndarray,
    labels: np.ndarray,
    units: np.ndarray,
    counts: Sequence[int],
    seed: int,
    extract: Callable[[np.ndarray], np.ndarray],
) -> dict[str, Sample]:
    """The three references as samples that `fidelity.compare` takes.

    Args:
        pixels: Training images, float32 ``[n, C, H, W]`` in [0, 1].
        labels: Class indices ``[n]``.
        units: Subject of each ``[n]``; a copied image keeps its subject.
        counts: Images wanted of each class; more than `fidelity.LARGEST` together would not be looked at.
        seed: Of the draw.
        extract: Features ``[n, d]`` of images.
    """
    rows, nobody = _rows(labels, counts, seed, COPY), np.full(sum(counts), "")
    made = {
        COPY: (pixels[rows], labels[rows], units[rows]),
        SMOTE: (*smote_in_pixels(pixels, labels, counts, seed), nobody),
        GAUSSIAN: (*class_gaussian(pixels, labels, counts, seed), nobody),
    }
    return {
        name: Sample(images, extract(images), of_class, subjects) for name, (images, of_class, subjects) in made.items()
    }


def copy_of_train(
    pixels: np.ndarray, labels: np.ndarray, counts: Sequence[int], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Training images themselves: what a generator that memorised everything would give.

    Args:
        pixels: float32 ``[n, C, H, W]`` in [0, 1].
        labels: Class indices ``[n]``.
        counts: Images wanted of each class; none is repeated before all were taken.
        seed: Of the draw.

    Returns:
        Pixels and labels, class by class.

    Raises:
        ValueError: A class that is wanted has no training image.
    """
    rows = _rows(labels, counts, seed, COPY)
    return pixels[rows], labels[rows]


def smote_in_pixels(
    pixels: np.ndarray, labels: np.ndarray, counts: Sequence[int], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """A random point between a training image and one of its 5 nearest of the same class (SMOTE, Chawla et al. 2002).

    Arguments, results and errors are those of `copy_of_train`. A class of one image is copied.
    """
    rng = numpy_rng("smote", seed, len(labels))
    rows = _rows(labels, counts, seed, SMOTE)
    small = _small(pixels)
    other = rows.copy()
    for c in range(len(counts)):
        pool, mine = np.flatnonzero(labels == c), np.flatnonzero(labels[rows] == c)
        if len(pool) < 2:
            continue
        for start in range(0, len(mine), CHUNK):
            part = mine[start : start + CHUNK]
            base = small[rows[part]]
            square = (small[pool] ** 2).sum(1) - 2 * base @ small[pool].T
            square[rows[part, None] == pool] = np.inf
            k = min(NEIGHBOURS, len(pool) - 1)
            nearest = np.argpartition(square, k - 1, axis=1)[:, :k]
            other[part] = pool[nearest[np.arange(len(part)), rng.integers(k, size=len(part))]]
    share = rng.random((len(rows), 1, 1, 1), np.float32)
    made = pixels[rows]
    made += share * (pixels[other] - made)
    return made, labels[rows]


def class_gaussian(
    pixels: np.ndarray, labels: np.ndarray, counts: Sequence[int], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draws from a Gaussian for every class over `COMPONENTS` principal components, clipped to [0, 1].

    It is a generator in closed form: the right mean and covariance, nothing else. Arguments, results and errors are
    those of `copy_of_train`.
    """
    _rows(labels, counts, seed, GAUSSIAN)  # refuses an absent class
    rng = numpy_rng("class gaussian", seed, len(labels))
    shape, size = pixels.shape[1:], int(np.prod(pixels.shape[1:]))
    most = max(2, min(LARGEST_FIT, LARGEST_FIT_VALUES // size))
    fit = rng.permutation(len(pixels))[:most]
    pca = PCA(min(COMPONENTS, len(fit), size), svd_solver="randomized", random_state=keyed_seed("pca", seed) % 2**32)
    pca.fit(pixels[fit].reshape(len(fit), size))
    made = np.empty((sum(counts), *shape), np.float32)
    start = 0
    for c, n in enumerate(counts):
        pool = rng.permutation(np.flatnonzero(labels == c))[:LARGEST_FIT]
        if n == 0:
            continue
        codes = np.concatenate(
            [pca.transform(pixels[pool[i : i + CHUNK]].reshape(-1, size)) for i in range(0, len(pool), CHUNK)]
        )
        # Normal weights over the centred codes have the sample covariance exactly, also where it is singular.
        centred = (codes - codes.mean(0)) / np.sqrt(max(len(codes) - 1, 1))
        drawn = (codes.mean(0) + rng.normal(size=(n, len(codes))) @ centred).astype(np.float32)
        for i in range(0, n, CHUNK):
            images = pca.inverse_transform(drawn[i : i + CHUNK]).reshape(-1, *shape)
            made[start + i : start + i + len(images)] = images.clip(0, 1)
        start += n
    return made, np.repeat(np.arange(len(counts)), counts)


def _rows(labels: np.ndarray, counts: Sequence[int], seed: int, name: str) -> np.ndarray:
    rows = []
    for c, n in enumerate(counts):
        pool = np.flatnonzero(labels == c)
        if n and not len(pool):
            raise ValueError(f"class {c} has no training image to make {n} from")
        rng = numpy_rng("reference", name, seed, c)
        rounds = [rng.permutation(pool) for _ in range(-(-n // max(len(pool), 1)))]
        rows.append(np.concatenate([*rounds, np.empty(0, np.int64)])[:n])
    return np.concatenate(rows).astype(np.int64)


def _small(pixels: np.ndarray) -> np.ndarray:
    size = [min(side, SEARCH_SIDE) for side in pixels.shape[-2:]]
    parts = [
        F.interpolate(torch.from_numpy(np.ascontiguousarray(pixels[i : i + CHUNK])), size, mode="area").flatten(1)
        for i in range(0, len(pixels), CHUNK)
    ]
    return torch.cat(parts).numpy()
