"""The real images that selection is calibrated on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from medsyn.compute import numpy_rng
from medsyn.data import Dataset
from medsyn.data.schema import Split
from medsyn.metrics.features import Extractor

MOST = 20_000
"""Training images whose features are kept; more change the rules little and take gigabytes."""

RARE = 1_000
"""Of a class of which there are no more, all are kept."""

CALIBRATING = 600
"""Real images that limits are taken from: tune, and training images where tune has fewer. Each is compared with the
training images of other subjects only."""


@dataclass(frozen=True)
class Material:
    """Training images, and those that limits are calibrated on.

    Attributes:
        dataset: Opened for train and tune.
        train: Numbers of the labelled training images ``[m]``; copies are looked for in all of them.
        units: Subject of each ``[m]``.
        some: Places in ``train`` of at most `MOST` of them ``[s]``.
        features: Of those ``[s, d]``.
        labels: Class indices of those ``[s]``.
        calibration: Images ``[c, C, H, W]`` in [0, 1].
        calibration_features: ``[c, d]``.
        calibration_units: Subject of each ``[c]``.
        from_tune: How many of these are of tune; they come first.
    """

    dataset: Dataset
    train: np.ndarray
    units: np.ndarray
    some: np.ndarray
    features: np.ndarray
    labels: np.ndarray
    calibration: np.ndarray
    calibration_features: np.ndarray
    calibration_units: np.ndarray
    from_tune: int

    @classmethod
    def of(cls, dataset: Dataset, extract: Extractor) -> Material:
        """Read and look at a dataset's training and tune images.

        Args:
            dataset: Opened for train and tune; what evaluates a classifier cannot be reached through it.
            extract: Features of images.
        """
        train, tune = (_by_content(dataset, split) for split in ("train", "tune"))
        units, rng = dataset.subjects(train), numpy_rng("selection", dataset.digest)
        some = _some(dataset.labels(train), rng.permutation(len(train)))
        features = np.concatenate(
            [extract(dataset.images(part)) for part in np.array_split(train[some], max(1, len(some) // 1024))]
        )
        tune = np.sort(tune[rng.permutation(len(tune))[:CALIBRATING]])
        again = np.sort(rng.permutation(len(some))[: CALIBRATING - len(tune)])
        seen = dataset.images(tune) if len(tune) else np.empty((0, *dataset.image_shape), np.float32)
        seen_features = extract(seen) if len(tune) else features[:0]
        return cls(
            dataset=dataset,
            train=train,
            units=units,
            some=some,
            features=features,
            labels=dataset.labels(train[some]),
            calibration=np.concatenate([seen, dataset.images(train[some[again]])]),
            calibration_features=np.concatenate([seen_features, features[again]]),
            calibration_units=np.concatenate([dataset.subjects(tune), units[some[again]]]),
            from_tune=len(tune),
        )

    def without(self, rows: np.ndarray) -> Material:
        """The same without some of the images that limits are taken from, unless none would be left."""
        if rows.all():
            return self
        return replace(
            self,
            calibration=self.calibration[~rows],
            calibration_features=self.calibration_features[~rows],
            calibration_units=self.calibration_units[~rows],
            from_tune=int((~rows[: self.from_tune]).sum()),
        )

    @property
    def some_units(self) -> np.ndarray:
        """Subjects of the images whose features are kept ``[s]``."""
        return self.units[self.some]


def _by_content(dataset: Dataset, split: Split) -> np.ndarray:
    """Labelled images of a split in an order that does not depend on how their files were called, int64 ``[n]``."""
    rows = dataset.rows(split)
    return rows[np.argsort(dataset.table.loc[rows, "pixel_digest"].to_numpy(str), kind="stable")]


def _some(labels: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Places of at most about `MOST` images, ascending: of a random ``order`` the first, and `RARE` of every class."""
    chosen = np.zeros(len(labels), bool)
    chosen[order[:MOST]] = True
    for c in np.unique(labels):
        chosen[order[labels[order] == c][:RARE]] = True
    return np.flatnonzero(chosen)
