"""Images that all but equal one real image: found one by one, however few they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medsyn.compute import numpy_rng
from medsyn.metrics.neighbours import DISGUISED, SAME, Nearest, nearest

HIGHEST = 0.9
"""The limit of the ratio stays between `DISGUISED` and this."""

DEVIATIONS = 5.0

CALIBRATION = 200


@dataclass(frozen=True)
class Singles:
    """Queries that all but equal a reference.

    Attributes:
        copies: Whether each query is one ``[n]``.
        limit: Ratio below which it is.
        nearest: The most similar reference of each query.
        typical: Median distance from a reference to the most similar one of another subject.
    """

    copies: np.ndarray
    limit: float
    nearest: Nearest
    typical: float


def find(
    queries: np.ndarray, references: np.ndarray, units: np.ndarray, seed: int, own: np.ndarray | None = None
) -> Singles:
    """Search all references for copies, with nothing held out.

    What a real image of another subject looks like is learnt from the references themselves: up to `CALIBRATION` of
    them are compared with all those of other subjects, and the limit lies `DEVIATIONS` robust deviations below the
    median of their log ratios. Median and quartile stay put where up to a quarter of a dataset repeats itself.

    Args:
        queries: ``[n, C, H, W]`` in [0, 1].
        references: ``[m, C, H, W]``.
        units: Subject of each reference ``[m]``.
        seed: Of the draw.
        own: Subject of each query, whose own images do not count; None for synthetic images.
    """
    if not len(references):
        none = Nearest(np.full(len(queries), -1), *(np.full(len(queries), v) for v in (np.inf, np.inf, 1.0)))
        return Singles(np.zeros(len(queries), bool), DISGUISED, none, np.nan)
    limit, typical = calibrate(references, units, seed)
    found = nearest(queries, references, units, own)
    return Singles((found.ratio < limit) | (found.distance < SAME), limit, found, typical)


def calibrate(references: np.ndarray, units: np.ndarray, seed: int) -> tuple[float, float]:
    """The limit of the ratio, and the typical distance, of references of different subjects."""
    rows = np.sort(numpy_rng("singles", seed, len(units)).permutation(len(units))[:CALIBRATION])
    found = nearest(references[rows], references, units, units[rows])
    ratio = np.log(np.maximum(found.ratio, 1e-6))
    quartile, median = np.quantile(ratio, (0.25, 0.5))
    limit = float(np.clip(np.exp(median - DEVIATIONS * (median - quartile) / 0.6745), DISGUISED, HIGHEST))
    return limit, float(np.median(found.distance))
