"""Does a class hold fewer distinct images than real ones do?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medsyn.compute import numpy_rng
from medsyn.evaluate.results import Collapse
from medsyn.metrics.diversity import effective_diversity

LIMIT = 0.5
"""Below this share of the real diversity a class counts as collapsed; honest halves of real sets lie at 0.9 to 1.1."""

LARGEST = 300
SMALLEST = 8


def test(
    real: tuple[np.ndarray, np.ndarray], synthetic: tuple[np.ndarray, np.ndarray], classes: Sequence[str], seed: int
) -> Collapse:
    """Effective diversity of every class, synthetic over real, at equal n.

    Args:
        real: Features ``[n, d]`` and labels ``[n]`` of the training images.
        synthetic: The same of the synthetic images.
        classes: Class names; one with fewer than `SMALLEST` images on a side is left out.
        seed: Of the draw.
    """
    per_class = {}
    for c, name in enumerate(classes):
        pools = [features[labels == c] for features, labels in (real, synthetic)]
        n = min(LARGEST, *(len(p) for p in pools))
        if n >= SMALLEST:
            a, b = (p[numpy_rng("collapse", seed, side, c).permutation(len(p))[:n]] for side, p in enumerate(pools))
            per_class[name] = effective_diversity(a, b)
    low = [name for name, ratio in per_class.items() if ratio < LIMIT]
    if not per_class:
        sentence = f"Diversity was not tested: no class has {SMALLEST} images on both sides."
    elif low:
        worst = ", ".join(f"'{name}' {per_class[name]:.0%}" for name in low)
        sentence = f"The generator repeats itself: distinct images relative to equally many real ones: {worst}."
    else:
        least = min(per_class, key=lambda name: per_class[name])
        sentence = (
            f"No collapse: every class tested holds at least {per_class[least]:.0%} of the distinct images that "
            f"equally many real ones do (lowest: '{least}')."
        )
    left_out = [name for name in classes if name not in per_class]
    if per_class and left_out:
        sentence += f" Not tested, for want of images: {', '.join(left_out)}."
    return Collapse(per_class=per_class, found=bool(low), sentence=sentence)
