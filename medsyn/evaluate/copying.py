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

NEAR = 0.2
"""A synthetic image nearer to a training image than this share of the smallest held-out distance is a copy. On real
films honest images stay above 0.7 of that distance; saved and brightened copies lie at 0.001 to 0.25."""

FLOOR = 0.02
"""The distance below which an image is a copy whatever the held-out images do; rounding to 8 bits stays under 0.01."""

LARGEST = 1000
SMALLEST = 5
SIDE = 32
BUDGET = 4_000_000
"""Correlations held at once: memory grows neither with the synthetic nor with the training images."""


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


@dataclass(frozen=True)
class Singles:
    """Synthetic images that all but equal one training image.

    Attributes:
        copies: Whether each synthetic image is one ``[n]``.
        limit: Distance of aligned pixels below which it is.
        unseen: Held-out real images below it: more than 0 only where the dataset itself repeats images.
    """

    copies: np.ndarray
    limit: float
    unseen: int


def in_features(query: np.ndarray, labels: np.ndarray, train: np.ndarray, train_labels: np.ndarray) -> Nearest:
    """Euclidean distance of feature vectors ``[n, d]`` to ``[m, d]``."""
    return _nearest(query, labels, train, train_labels, distances)


def in_pixels(query: np.ndarray, labels: np.ndarray, train: np.ndarray, train_labels: np.ndarray) -> Nearest:
    """Distance of aligned pixels: blind to brightness, contrast, a shift by one of 32 pixels, and mirroring.

    Images ``[n, C, H, W]`` are brought to 32 px, cropped by one pixel and normalised to mean 0 and deviation 1; the
    distance is the root mean square difference ``sqrt(2 - 2 r)``, r the best correlation over 9 shifts, each also
    mirrored.
    """
    target = _normalised(_small(train)[:, :, 1:-1, 1:-1]).numpy()
    return _nearest(query, labels, target, train_labels, _aligned)


def _aligned(query: np.ndarray, target: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    rows = max(1, BUDGET // (18 * len(target)))
    for start in range(0, len(query), rows):
        small = _small(query[start : start + rows])
        views = [
            _normalised(torch.roll(v, (dy, dx), (2, 3))[:, :, 1:-1, 1:-1]).numpy()
            for v in (small, small.flip(3))
            for dy in (-1, 0, 1)
            for dx in (-1, 0, 1)
        ]
        r = np.maximum.reduce([view @ target.T for view in views])
        yield slice(start, start + len(small)), np.sqrt(np.maximum(2 - 2 * r, 0))


def singles(nearest: Nearest, held_out: Nearest) -> Singles:
    """Look for copies one by one, so that they show however few they are.

    Args:
        nearest: Of all synthetic images in aligned pixels, among the training images of every class: a copy with
            another label is a copy too.
        held_out: The same of the held-out real images.
    """
    limit = max(FLOOR, NEAR * float(held_out.distance.min())) if len(held_out.distance) else FLOOR
    return Singles(nearest.distance < limit, limit, int((held_out.distance < limit).sum()))


def untested(why: str) -> Copying:
    """The result where no comparison was possible."""
    return Copying(
        tested=False, n=0, share=Estimate(value=0), quantile=QUANTILES[-1], null=0, p_value=1, nearest_ratio=1,
        found=False, sentence=f"Copying was not tested: {why}.",
    )  # fmt: skip


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
    synthetic: Sequence[Nearest],
    synthetic_labels: np.ndarray,
    held_out: Sequence[Nearest],
    held_out_labels: np.ndarray,
    single: Singles,
) -> Copying:
    """Compare relative nearest distances of synthetic images with those of real images the generator never saw.

    If synthetic images of a class were as far from the training images as unseen patients are, both would be
    exchangeable, and the number of n synthetic images below the k-th smallest of m held-out distances would follow a
    beta-binomial distribution with parameters n, k, m - k + 1, for any distance. Classes are pooled in units of their
    held-out median, which makes this an approximation where there is more than one. It is made in two spaces at two
    quantiles; the p-value is Bonferroni's. A share below EXCESS passes it: single copies are for `singles`.

    Args:
        synthetic: Nearest training images of the synthetic ones, one entry a space (features first).
        synthetic_labels: Class indices ``[n]``.
        held_out: The same of the held-out real images.
        held_out_labels: Class indices ``[m]``.
        single: What `singles` found.
    """
    copies, examined, limit = int(single.copies.sum()), len(single.copies), single.limit
    few = f"{copies} of {examined} synthetic images all but equal a training image (distance below {limit:.3f})"
    if single.unseen:
        few += f"; {single.unseen} unseen real images do, too: the dataset repeats images across its splits"
    look = "Look at the closest pairs before sharing anything."
    tests = []
    for ours, theirs in zip(synthetic, held_out, strict=True):
        a, b = _by_class(ours.relative, synthetic_labels, theirs.relative, held_out_labels)
        if len(a) and len(b):
            tests += [_count(a, b, quantile) for quantile in QUANTILES]
    if not tests:
        result = untested("too few held-out real images")
        if copies:
            result = result.model_copy(update={"tested": True, "found": True, "sentence": f"Copying: {few}. {look}"})
        return result.model_copy(update={"examined": examined, "copies": copies, "limit": limit})
    p, share, null, quantile, n = min(tests, key=lambda t: t[0])
    p = min(1.0, p * len(tests))
    crowded = p < ALPHA and share - null > EXCESS
    low, high = _wilson(share, n)
    ratio = float(np.nanmedian(synthetic[0].distance) / np.nanmedian(held_out[0].distance))
    compared = (
        f"{share:.1%} of the synthetic images lie as near to a training image as only {null:.1%} of unseen real images "
        f"do (p = {p:.2g})"
    )
    if crowded or copies:
        sentence = f"Copying: {'; '.join([few] * bool(copies) + [compared] * crowded)}. {look}"
    else:
        none = f", and none of {examined} all but equals one" if examined else ""
        sentence = f"No sign of copying: {compared}{none}. That alone does not make them safe to publish."
    return Copying(
        tested=True,
        examined=examined,
        copies=copies,
        limit=limit,
        n=n,
        share=Estimate(value=share, low=low, high=high),
        quantile=quantile,
        null=null,
        p_value=p,
        nearest_ratio=ratio,
        found=crowded or copies > 0,
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
