"""How near the synthetic images are to real ones that the generator never saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from medsyn.compute import numpy_rng
from medsyn.evaluate.results import Estimate, FidelityRow
from medsyn.metrics.fidelity import kid, prdc

LARGEST = 1000
NEIGHBOURS = 5


def rows(
    held_out: tuple[np.ndarray, np.ndarray],
    others: Mapping[str, tuple[np.ndarray, np.ndarray]],
    classes: Sequence[str],
    seed: int,
) -> list[FidelityRow]:
    """Compare every set with the held-out one at equal n, class by class and together.

    Every class gives equally many images to every set, since another mix of classes would count as infidelity and
    every measure here depends on n.

    Args:
        held_out: Features ``[n, d]`` and labels ``[n]`` of the reference.
        others: Name of a set -> its features and labels; by custom the synthetic one and the floor.
        classes: Class names.
        seed: Of the draw.

    Returns:
        Rows of scope "all" first; a class with too few images for the neighbours is left out.
    """
    sets = {"held-out": held_out, **others}
    counts = [min(int((labels == c).sum()) for _, labels in sets.values()) for c in range(len(classes))]
    shrink = min(1.0, LARGEST / max(sum(counts), 1))
    counts = [int(n * shrink) for n in counts]
    drawn = {
        name: [features[_draw(labels, c, n, name, seed)] for c, n in enumerate(counts)]
        for name, (features, labels) in sets.items()
    }
    scopes: list[tuple[str, dict[str, np.ndarray]]] = [("all", {k: np.concatenate(v) for k, v in drawn.items()})]
    scopes += [(label, {k: v[c] for k, v in drawn.items()}) for c, label in enumerate(classes)]
    return [
        _row(name, scope, vectors["held-out"], vectors[name])
        for scope, vectors in scopes
        if len(vectors["held-out"]) > NEIGHBOURS
        for name in others
    ]


def _draw(labels: np.ndarray, c: int, n: int, name: str, seed: int) -> np.ndarray:
    return numpy_rng("fidelity", seed, name, c).permutation(np.flatnonzero(labels == c))[:n]


def _row(name: str, scope: str, real: np.ndarray, fake: np.ndarray) -> FidelityRow:
    distance, balls = kid(real, fake), prdc(real, fake, NEIGHBOURS)
    return FidelityRow(
        name=name,
        scope=scope,
        n=len(real),
        kid=Estimate(value=distance.value, low=distance.low, high=distance.high),
        precision=balls.precision,
        recall=balls.recall,
        density=balls.density,
        coverage=balls.coverage,
    )
