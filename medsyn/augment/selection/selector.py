"""All rules that judge one candidate by itself, fitted together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from medsyn.augment.selection.copies import CopyRule, limit
from medsyn.augment.selection.features import FeatureRules
from medsyn.augment.selection.labels import LabelRule
from medsyn.augment.selection.material import Material
from medsyn.augment.selection.technical import TechnicalRules
from medsyn.data import Dataset
from medsyn.metrics.features import Extractor
from medsyn.metrics.neighbours import DISGUISED, Gallery

RULES = ("constant", "saturated", "border", "copy", "copy_features", "label", "off_manifold", "near_duplicate")
"""In the order in which the first one that an image fails becomes its ``reason``."""


FACTS = "facts"
"""What of the arrays tells of the selection, as JSON."""

COPIES = ("copy", "copy_features")
"""Those that an image fails for being too near to a training image."""


class Verdicts(NamedTuple):
    """Of images: rule -> score ``[n]``, above 1 fails, and distance to the nearest training image ``[n]`` or None."""

    scores: dict[str, np.ndarray]
    distance: np.ndarray | None


def reason(scores: Mapping[str, float]) -> str | None:
    """The first rule of `RULES` that an image fails, or None."""
    return next((rule for rule in RULES if scores.get(rule, 0.0) > 1), None)


class Selector:
    """Judges images of one class; a pure function of them.

    Args:
        arrays: Of `arrays`.
        dataset: Where training images are read from.
        extract: Features of images.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], dataset: Dataset | None, extract: Extractor | None) -> None:
        facts = facts_of(arrays)
        self._technical = TechnicalRules(**facts.get("technical", {}))
        self._extract = extract
        self._own: tuple[CopyRule, FeatureRules, LabelRule] | None = None
        if dataset is not None:
            train = arrays["train"]
            gallery = Gallery(lambda places: dataset.images(train[places]), dataset.subjects(train), arrays["views"])
            self._own = (
                CopyRule(gallery, facts["copy"]["limit"]),
                FeatureRules(_part(arrays, "features")),
                LabelRule(_part(arrays, "labels")),
            )

    def judge(self, images: np.ndarray, label: int) -> Verdicts:
        """Judge images of one class.

        Args:
            images: float32 ``[n, C, H, W]`` in [0, 1], as they are written.
            label: Class that was asked for.
        """
        scores = self._technical.score(images)
        if self._own is None or self._extract is None:
            return Verdicts(scores, None)
        copies, distances, labels = self._own
        features = self._extract(images)
        scores["copy"], distance = copies.score(images)
        scores |= distances.score(features)
        scores["label"] = labels.score(features, label)
        return Verdicts(scores, distance)


def fit(dataset: Dataset, extract: Extractor, classes: list[str]) -> dict[str, np.ndarray]:
    """Fit all rules.

    Args:
        dataset: That the generator learnt from, opened for train and tune.
        extract: Features of images.
        classes: Of the generator, which may order them in another way.

    Returns:
        Arrays that a `Selector` is made of.
    """
    material = Material.of(dataset, extract)
    place = np.array([classes.index(name) for name in dataset.classes], np.int64)
    gallery = Gallery(lambda places: dataset.images(material.train[places]), material.units)
    # Real images that repeat a training image under another subject's name would teach that copies are common.
    ratio = gallery.nearest(material.calibration, material.calibration_units).ratio
    material = material.without(ratio < DISGUISED)
    copies = CopyRule(gallery, limit(ratio[ratio >= DISGUISED]))
    distances = FeatureRules.fit(
        material.features, material.some_units, material.calibration_features, material.calibration_units
    )
    labels = LabelRule.fit(material.features, place[material.labels], material.some_units, len(classes))
    technical = TechnicalRules.fit(material.calibration)
    far, close = distances.arrays["limits"].tolist()
    facts = {
        "calibrated_on": {
            "tune": material.from_tune,
            "train": len(material.calibration) - material.from_tune,
            "left_out_as_copies": int((ratio < DISGUISED).sum()),
        },
        "technical": {"saturated": technical.saturated, "border": technical.border},
        "copy": {"limit": copies.limit},
        "copy_features": {"limit": close},
        "off_manifold": {"limit": far},
        "label": {
            "limits": {
                name: limit if np.isfinite(limit) else None
                for name, limit in zip(classes, labels.arrays["limits"].tolist(), strict=True)
            }
        },
        "extractor": extract.name,
    }
    return {
        FACTS: np.array(json.dumps(facts)),
        "train": material.train,
        "views": gallery.views,
        **{f"features.{name}": array for name, array in distances.arrays.items()},
        **{f"labels.{name}": array for name, array in labels.arrays.items()},
    }


def facts_of(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Limits, and on how many images they were calibrated."""
    return json.loads(str(arrays[FACTS])) if FACTS in arrays else {}


def _part(arrays: Mapping[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    return {key.removeprefix(f"{name}."): value for key, value in arrays.items() if key.startswith(f"{name}.")}
