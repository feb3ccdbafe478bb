"""Distances to training images in the space of features: too far from all, or too close to one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from medsyn.augment.selection.limits import highest, lowest

NEIGHBOURS = 5
OFF_SHARE = 0.02
"""Of real images that would count as off the manifold."""

COPY_SHARE = 0.0025
"""Of real images that would count as copies by features; those are here for what alignment in pixels cannot undo."""

TYPICAL = slice(1, 11)
"""Neighbours, after the nearest, whose median distance is what the nearest one is compared with."""


class Distances(NamedTuple):
    """Of each image: distance to its `NEIGHBOURS`-th nearest training image ``[n]``, and nearest over typical."""

    kth: np.ndarray
    ratio: np.ndarray


class FeatureRules:
    """Off-manifold (the k-NN radius of Kynkäänniemi et al. 2019, section 2) and copies.

    Args:
        arrays: ``references`` ``[s, d]`` and ``limits`` ``[2]``: the largest `Distances.kth` and smallest
            `Distances.ratio` allowed.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.arrays = dict(arrays)
        self._norms = (self.arrays["references"].astype(np.float64) ** 2).sum(1).astype(np.float32)

    @classmethod
    def fit(cls, references: np.ndarray, units: np.ndarray, real: np.ndarray, real_units: np.ndarray) -> FeatureRules:
        """Calibrate on real images.

        Args:
            references: Features of training images ``[s, d]``.
            units: Subject of each ``[s]``.
            real: Features of real images ``[c, d]``.
            real_units: Subject of each ``[c]``; references of the same subject do not count.
        """
        rules = cls({"references": references, "limits": np.array([np.inf, 0.0])})
        found = rules.distances(real, real_units[:, None] == units)
        rules.arrays["limits"] = np.array([highest(found.kth, OFF_SHARE), lowest(found.ratio, COPY_SHARE)])
        return rules

    def distances(self, features: np.ndarray, passed_over: np.ndarray | None = None) -> Distances:
        """To the training images.

        Args:
            features: ``[n, d]``.
            passed_over: Which references do not count, bool ``[n, s]``.
        """
        references = self.arrays["references"]
        squared = (features**2).sum(1)[:, None] + self._norms - 2 * features @ references.T
        if passed_over is not None:
            squared[passed_over] = np.inf
        number = min(TYPICAL.stop, squared.shape[1])
        nearest = np.sqrt(np.sort(np.partition(squared, number - 1, axis=1)[:, :number], axis=1).clip(0))
        kth = nearest[:, min(NEIGHBOURS, number) - 1]
        typical = np.median(nearest[:, TYPICAL], axis=1) if number > 1 else kth
        with np.errstate(invalid="ignore"):  # all references of the same subject: infinite over infinite
            return Distances(kth, np.nan_to_num(nearest[:, 0] / np.maximum(typical, 1e-6), nan=1.0, posinf=1.0))

    def score(self, features: np.ndarray) -> dict[str, np.ndarray]:
        """``off_manifold`` and ``copy_features`` ``[n]``: above 1 fails."""
        found, (far, close) = self.distances(features), self.arrays["limits"]
        return {
            "off_manifold": found.kth / max(far, 1e-12),
            "copy_features": np.minimum(close / np.maximum(found.ratio, 1e-6), 1e6),
        }
