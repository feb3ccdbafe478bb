"""Does a class hold fewer distinct images, or fewer kinds of images, than real ones do?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from medsyn.compute import numpy_rng
from medsyn.evaluate.inputs.sample import Sample
from medsyn.evaluate.results import Collapse
from medsyn.metrics.diversity import effective_diversity

LIMIT = 0.5
"""Below this share of the real diversity a class counts as collapsed; honest halves of real sets lie at 0.8 to 1.1."""

LARGEST = 300
SMALLEST = 8

ALPHA = 0.005
EXCESS = 0.06
"""Kinds are missing where the permutation p-value over all classes is below ALPHA, and the share of real images of
kinds that are made too rarely exceeds chance by EXCESS. Classes that exceed it are named."""

COMPONENTS = 16
PERMUTATIONS = 1000
FEW_KINDS, MANY_KINDS, PER_KIND = 4, 20, 8
SMALLEST_KINDS = 40
"""Kinds are looked at where both sides hold this many images."""


def test(real: Sample, synthetic: Sample, classes: Sequence[str], seed: int) -> Collapse:
    """Effective diversity of every class at equal n, and the kinds of real images that the class lacks.

    Args:
        real: Real training images.
        synthetic: The synthetic images.
        classes: Class names; one with fewer than `SMALLEST` images on a side is left out.
        seed: Of the draws.
    """
    per_class: dict[str, float] = {}
    missing: dict[str, float] = {}
    totals, images = np.zeros(PERMUTATIONS + 1), 0
    for c, name in enumerate(classes):
        ours, theirs = synthetic.take(synthetic.labels == c), real.take(real.labels == c)
        n = min(LARGEST, len(ours), len(theirs))
        if n < SMALLEST:
            continue
        a, b = (
            s.features[numpy_rng("collapse", seed, side, c).permutation(len(s))[:n]]
            for side, s in enumerate((theirs, ours))
        )
        per_class[name] = effective_diversity(a, b)
        if min(len(ours), len(theirs)) >= SMALLEST_KINDS and len(np.unique(theirs.units)) >= SMALLEST_KINDS:
            shares = missing_kinds(theirs, ours, seed)
            missing[name] = _excess(shares)
            totals, images = totals + len(theirs) * shares, images + len(theirs)
    p = (1 + int((totals[1:] >= totals[0] - 1e-12).sum())) / (1 + PERMUTATIONS)
    lacks = images > 0 and p < ALPHA and _excess(totals / images) > EXCESS
    lacking = [name for name, share in missing.items() if lacks and share > EXCESS]
    low = [name for name, ratio in per_class.items() if ratio < LIMIT]
    left_out = [name for name in classes if name not in per_class]
    return Collapse(
        per_class=per_class,
        missing=missing,
        found=bool(low or lacking),
        sentence=_sentence(per_class, missing, low, lacking, left_out),
    )


def missing_kinds(real: Sample, synthetic: Sample, seed: int) -> np.ndarray:
    """The share of real images of one class that belong to kinds which the synthetic images hold too rarely.

    Half of the subjects are clustered by k-means on `COMPONENTS` principal components of their features. The other half
    and the synthetic images are counted in these clusters; the share is the total variation distance of the two counts.
    Its null comes from permutations of real and synthetic, one image a real subject. Images that look like no real ones
    fall into few clusters, too: few kinds and poor images are not told apart.

    Returns:
        The share, then that of each permutation ``[1 + PERMUTATIONS]``.
    """
    rng = numpy_rng("kinds", seed, len(real), len(synthetic))
    order = rng.permutation(len(real))
    real = real.take(order[np.unique(real.units[order], return_index=True)[1]])
    order = rng.permutation(len(real))
    fitted, counted = real.take(order[: len(real) // 2]), real.take(order[len(real) // 2 :])
    kinds = int(np.clip(len(fitted) // PER_KIND, FEW_KINDS, MANY_KINDS))
    axes = PCA(min(COMPONENTS, len(fitted) - 1), svd_solver="randomized", random_state=0).fit(fitted.features)
    clusters = KMeans(kinds, n_init=1, random_state=int(rng.integers(2**31))).fit(axes.transform(fitted.features))
    # k-means refuses features of another float width than it was fitted on.
    looked_at = np.concatenate([counted.features, synthetic.features]).astype(fitted.features.dtype)
    place = clusters.predict(axes.transform(looked_at))
    chosen = np.zeros((PERMUTATIONS + 1, len(place)), bool)
    chosen[:, : len(counted)] = True
    chosen[1:] = rng.permuted(chosen[1:], axis=1)
    one_hot = np.eye(kinds)[place]
    real_count = chosen @ one_hot
    share = real_count / len(counted) - (one_hot.sum(0) - real_count) / len(synthetic)
    return np.abs(share).sum(1) / 2


def _excess(shares: np.ndarray) -> float:
    return float(max(0.0, shares[0] - shares[1:].mean()))


def _sentence(
    per_class: dict[str, float], missing: dict[str, float], low: list[str], lacking: list[str], left_out: list[str]
) -> str:
    if not per_class:
        return f"Diversity was not tested: no class has {SMALLEST} images on both sides."
    parts = []
    if low:
        worst = ", ".join(f"'{name}' {per_class[name]:.0%}" for name in low)
        parts.append(f"The generator repeats itself: distinct images relative to equally many real ones: {worst}.")
    if lacking:
        worst = ", ".join(f"'{name}' {missing[name]:.0%}" for name in lacking)
        parts.append(f"Kinds of real images are missing, or hardly made: share of the real images: {worst}.")
    if not parts:
        least = min(per_class, key=lambda name: per_class[name])
        parts.append(
            f"No collapse: every class tested holds at least {per_class[least]:.0%} of the distinct images that "
            f"equally many real ones do (lowest: '{least}')."
        )
    if left_out:
        parts.append(f"Not tested, for want of images: {', '.join(left_out)}.")
    return " ".join(parts)
