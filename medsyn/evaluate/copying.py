"""Are synthetic images nearer to training images than unseen real ones are?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import betabinom
from torch.nn import functional as F

from medsyn.compute import numpy_rng
from medsyn.evaluate.inputs import Images
from medsyn.evaluate.results import Copying, Estimate
from medsyn.metrics.fidelity import distances

QUANTILES = (0.01, 0.05)
ALPHA = 0.001
EXCESS = 0.02
"""Copies are called out where the corrected p-value is below ALPHA and the share exceeds the null by EXCESS."""

LARGEST = 1000
SMALLEST = 5
SIDE = 32
CHUNK = 128


@dataclass(frozen=True)
class Nearest:
    """Nearest training image, of the same class, of each query.

    Attributes:
        distance: To it ``[n]``.
        relative: That, over the median distance to all training images of the class ``[n]``. A blurred image is near
            to everything, a copy to one image only: the ratio tells them apart where the distance alone cannot.
        train: Its place among the training images ``[n]``.
    """

    distance: np.ndarray
    relative: np.ndarray
    train: np.ndarray


def in_features(query: np.ndarray, labels: np.ndarray, train: np.ndarray, train_labels: np.ndarray) -> Nearest:
    """Euclidean distance of feature vectors ``[n, d]`` to ``[m, d]``."""
    return _nearest(query, labels, train, train_labels, distances)


def in_pixels(query: np.ndarray, labels: np.ndarray, train: np.ndarray, train_labels: np.ndarray) -> Nearest:
    """Distance of aligned pixels: blind to brightness, contrast, a shift by one of 32 pixels, and mirroring.

    Images ``[n, C, H, W]`` are brought to 32 px, cropped by one pixel and normalised to mean 0 and deviation 1; the
    distance is the root mean square difference ``sqrt(2 - 2 r)``, r the best correlation over 9 shifts, each also
    mirrored.
    """
    small, reference = _small(query), _small(train)
    views = [
        _normalised(torch.roll(v, (dy, dx), (2, 3))[:, :, 1:-1, 1:-1])
        for v in (small, small.flip(3))
        for dy in (-1, 0, 1)
        for dx in (-1, 0, 1)
    ]
    stacked, target = torch.stack(views, 1).numpy(), _normalised(reference[:, :, 1:-1, 1:-1]).numpy()

    def aligned(a: np.ndarray, b: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        for start in range(0, len(a), CHUNK):
            part = a[start : start + CHUNK]
            r = (part.reshape(-1, part.shape[-1]) @ b.T).reshape(len(part), len(views), -1).max(1)
            yield slice(start, start + len(part)), np.sqrt(np.maximum(2 - 2 * r, 0))

    return _nearest(stacked, labels, target, train_labels, aligned)


def _small(images: np.ndarray) -> torch.Tensor:
    x = torch.from_numpy(np.ascontiguousarray(images, np.float32))
    if min(x.shape[-2:]) <= SIDE:
        return x
    return F.interpolate(x, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)


def _normalised(images: torch.Tensor) -> torch.Tensor:
    flat = images.flatten(1)
    flat = flat - flat.mean(1, keepdim=True)
    return flat / flat.norm(dim=1, keepdim=True).clamp_min(1e-6)


def _nearest(
    query: np.ndarray,
    labels: np.ndarray,
    train: np.ndarray,
    train_labels: np.ndarray,
    measure: Callable[[np.ndarray, np.ndarray], Iterator[tuple[slice, np.ndarray]]],
) -> Nearest:
    out = Nearest(np.full(len(query), np.nan), np.full(len(query), np.nan), np.full(len(query), -1))
    for c in np.unique(labels):
        mine, theirs = np.flatnonzero(labels == c), np.flatnonzero(train_labels == c)
        if not len(theirs):
            continue
        for part, distance in measure(query[mine], train[theirs]):
            rows, best = mine[part], distance.argmin(1)
            out.distance[rows] = distance[np.arange(len(rows)), best]
            out.relative[rows] = out.distance[rows] / np.maximum(np.median(distance, axis=1), 1e-12)
            out.train[rows] = theirs[best]
    return out


def reference_rows(images: Images, seed: int) -> np.ndarray:
    """One image of every subject and class: images of one subject would count as independent evidence."""
    order = numpy_rng("reference", seed, len(images)).permutation(len(images))
    keys = [f"{images.labels[i]}\x1f{images.units[i]}" for i in order]
    return np.sort(order[np.unique(keys, return_index=True)[1]])


def test(
    synthetic: Sequence[Nearest], synthetic_labels: np.ndarray, held_out: Sequence[Nearest], held_out_labels: np.ndarray
) -> Copying:
    """Compare relative nearest distances of synthetic images with those of real images the generator never saw.

    If synthetic images were as far from the training images as unseen patients are, both would be exchangeable, and the
    number of n synthetic images below the k-th smallest of m held-out distances would follow a beta-binomial
    distribution with parameters n, k, m - k + 1: an exact test, for any distance. It is made in two spaces at two
    quantiles; the p-value is Bonferroni's.

    Args:
        synthetic: Nearest training images of the synthetic ones, one entry a space (features first).
        synthetic_labels: Class indices ``[n]``.
        held_out: The same of the held-out real images.
        held_out_labels: Class indices ``[m]``.
    """
    tests = []
    for ours, theirs in zip(synthetic, held_out, strict=True):
        a, b = _by_class(ours.relative, synthetic_labels, theirs.relative, held_out_labels)
        if len(a) and len(b):
            tests += [_count(a, b, quantile) for quantile in QUANTILES]
    if not tests:
        return Copying(
            n=0, share=Estimate(value=0), quantile=QUANTILES[-1], null=0, p_value=1, nearest_ratio=1, found=False,
            sentence="Copying was not tested: too few held-out real images.",
        )  # fmt: skip
    p, share, null, quantile, n = min(tests, key=lambda t: t[0])
    p = min(1.0, p * len(tests))
    found = p < ALPHA and share - null > EXCESS
    low, high = _wilson(share, n)
    ratio = float(np.nanmedian(synthetic[0].distance) / np.nanmedian(held_out[0].distance))
    compared = f"{share:.1%} of the synthetic images lie as near to a training image as only {null:.1%} of unseen real"
    sentence = (
        f"Copying: {compared} images do (p = {p:.2g}). Look at the closest pairs before sharing anything."
        if found
        else f"No sign of copying: {compared} images do (p = {p:.2g}). That alone does not make them safe to publish."
    )
    return Copying(
        n=n,
        share=Estimate(value=share, low=low, high=high),
        quantile=quantile,
        null=null,
        p_value=p,
        nearest_ratio=ratio,
        found=found,
        sentence=sentence,
    )


def _by_class(
    ours: np.ndarray, labels: np.ndarray, theirs: np.ndarray, their_labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Relative distances in units of the class's held-out median, so that classes can be pooled."""
    a, b = [], []
    for c in np.unique(their_labels):
        mine, reference = ours[labels == c], theirs[their_labels == c]
        mine, reference = mine[np.isfinite(mine)], reference[np.isfinite(reference)]
        if len(reference) >= SMALLEST:
            unit = max(float(np.median(reference)), 1e-12)
            a.append(mine / unit)
            b.append(reference / unit)
    return (np.concatenate(a), np.concatenate(b)) if a else (np.empty(0), np.empty(0))


def _count(ours: np.ndarray, theirs: np.ndarray, quantile: float) -> tuple[float, float, float, float, int]:
    n, m = len(ours), len(theirs)
    k = max(1, round(quantile * m))
    below = int((ours < np.partition(theirs, k - 1)[k - 1]).sum())
    return float(betabinom.sf(below - 1, n, k, m - k + 1)), below / n, k / (m + 1), k / m, n


def _wilson(share: float, n: int) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927)."""
    z = 1.96
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return float(max(0, centre - half)), float(min(1, centre + half))
