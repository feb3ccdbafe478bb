"""The ruler of benchmarks/generators.py: held-out references, equal numbers of every class, and the bars to clear."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from generators_arms import DCGAN, DDPM, GAUSSIAN
from generators_sets import Scans, Split

from medsyn.compute import numpy_rng
from medsyn.evaluate.checks import copying, labels
from medsyn.evaluate.inputs.sample import Sample
from medsyn.metrics.features import Extractor
from medsyn.metrics.fidelity import fid, kid, prdc

NEIGHBOURS = 5
FLOOR = "floor"
ALL = "all"


class Ruler:
    """Everything that samples of one split are compared with.

    Args:
        split: The draw.
        seed: Of the rows of the floor.
        extract: Features.

    Attributes:
        counts: Images of each class that are compared: all held-out ones that the floor can match.
    """

    def __init__(self, split: Split, seed: int, extract: Extractor) -> None:
        self.classes, self.seed, self._extract = split.classes, seed, extract
        sides = [np.bincount(side.labels, minlength=len(self.classes)) for side in (split.held_out, split.pool)]
        self.counts: list[int] = np.minimum(*sides).tolist()
        self._train, self._unseen = self._sample(split.train), self._sample(split.held_out)
        self._held_out = self._unseen.take(self._drawn(split.held_out.labels, "held-out"))
        self._floor = self._sample(split.pool.take(self._drawn(split.pool.labels, "floor")))
        components = min(labels.COMPONENTS, len(self._train) - 1)
        self._classifier = labels.classifier(components).fit(self._train.features, self._train.labels)

    def floor(self) -> dict[str, Any]:
        """Real training images by the measures of `measure`; ``agreement`` is the accuracy on held-out images.

        Beside it ``learnt``: training images of each class.
        """
        scopes = self._scopes(self._floor)
        for scope, agreed in self._agreement(self._held_out).items():
            scopes[scope]["agreement"] = agreed
        learnt = np.bincount(self._train.labels, minlength=len(self.classes))
        return {"scopes": scopes, "learnt": dict(zip(self.classes, learnt.tolist(), strict=True))}

    def measure(self, images: np.ndarray) -> dict[str, Any]:
        """Samples against held-out images, over all and per class, and the copy test of `medsyn evaluate`.

        Args:
            images: float32 ``[n, C, H, W]`` in [0, 1], ``counts`` of each class, class by class.
        """
        of_class = np.repeat(np.arange(len(self.counts)), self.counts)
        made = self._sample(Scans(images, of_class, np.full(len(images), "")))
        scopes = self._scopes(made)
        for scope, agreed in self._agreement(made).items():
            scopes[scope]["agreement"] = agreed
        told, _ = copying.test(made, self._train, self._unseen, self.classes, self.seed)
        kept = ("tested", "found", "copies", "null", "null_99", "p_value", "sentence")
        return {
            "scopes": scopes,
            "copying": {"share": told.share.value} | {name: getattr(told, name) for name in kept},
        }

    def _sample(self, scans: Scans) -> Sample:
        return Sample(scans.images, self._extract(scans.images), scans.labels, scans.units)

    def _drawn(self, of_class: np.ndarray, name: str) -> np.ndarray:
        rows = [
            numpy_rng("ruler", name, self.seed, c).permutation(np.flatnonzero(of_class == c))[:n]
            for c, n in enumerate(self.counts)
        ]
        return np.concatenate(rows)

    def _scopes(self, other: Sample) -> dict[str, dict[str, float]]:
        """Both sides are in the order of the classes, so that a class has the same rows in both."""
        found = {}
        for scope, within in self._within(self._held_out.labels).items():
            a, b = self._held_out.take(within), other.take(within)
            balls = prdc(a.features, b.features, min(NEIGHBOURS, len(a) - 1))
            distance = kid(a.features, b.features, draws=2, real_units=a.units, fake_units=b.units)
            found[scope] = {
                "n": len(a),
                "kid": distance.value,
                "fid": fid(a.features, b.features),
                "precision": balls.precision,
                "recall": balls.recall,
                "density": balls.density,
                "coverage": balls.coverage,
            }
        return found

    def _agreement(self, sample: Sample) -> dict[str, float]:
        """Share of images in which a classifier of real training images sees the class that they are said to be."""
        right = self._classifier.predict(sample.features) == sample.labels
        return {scope: float(right[within].mean()) for scope, within in self._within(sample.labels).items()}

    def _within(self, of_class: np.ndarray) -> dict[str, np.ndarray]:
        return {ALL: np.ones(len(of_class), bool)} | {name: of_class == c for c, name in enumerate(self.classes)}


class Bar(NamedTuple):
    """One figure that is demanded. ``met`` is None where something that it needs was not measured."""

    text: str
    figure: float | None
    limit: float | None
    met: bool | None


def mean(cells: Mapping[str, Any] | None, scope: str, name: str) -> float | None:
    """Mean over the seeds; None where there is none.

    Args:
        cells: Seed -> what `Ruler.measure` or `Ruler.floor` told.
        scope: `ALL` or a class.
        name: Of the measure.
    """
    return float(np.mean([cell["scopes"][scope][name] for cell in cells.values()])) if cells else None


def bars(entry: Mapping[str, Any], recipe: str) -> list[Bar]:
    """The bars of one set, for one recipe, over the seeds that it was measured with.

    Args:
        entry: Of ``sets`` in generators.json.
        recipe: Whose figures are judged.
    """
    arms = entry["arms"]
    ours = arms.get(recipe)

    def beside(cells: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """The same seeds of another; None where one is missing."""
        seeds = ours or entry[FLOOR]
        return {seed: cells[seed] for seed in seeds} if cells and cells.keys() >= seeds.keys() else None

    floor, gaussian = beside(entry[FLOOR]), beside(arms.get(GAUSSIAN))
    found = []

    def demand(text: str, name: str, limit: float | None, *, at_most: bool, strictly: bool = False) -> None:
        figure = mean(ours, ALL, name)
        met = None
        if figure is not None and limit is not None:
            met = (figure < limit if at_most else figure > limit) or (not strictly and figure == limit)
        found.append(Bar(text, figure, limit, met))

    if entry["set"] == "pneumoniamnist" and entry["train"] is None:
        for name in ("kid", "fid"):
            limit = mean(gaussian, ALL, name)
            text = f"{name.upper()} at most 0.6 times the class Gaussian's"
            demand(text, name, None if limit is None else 0.6 * limit, at_most=True)
        demand("coverage at least the floor's - 0.15", "coverage", mean(floor, ALL, "coverage") - 0.15, at_most=False)
        demand("recall at least 0.6 times the floor's", "recall", 0.6 * mean(floor, ALL, "recall"), at_most=False)
    else:
        others = (GAUSSIAN,) if entry["train"] is not None else (GAUSSIAN, DCGAN, DDPM)
        for other in others:
            cells = beside(arms.get(other))
            for name, at_most in (("kid", True), ("coverage", False)):
                text = f"{'KID below' if at_most else 'coverage above'} that of {other}"
                demand(text, name, mean(cells, ALL, name), at_most=at_most, strictly=True)
        if entry["train"] is None:
            text = "aim: coverage at least 0.5 times the floor's"
            demand(text, "coverage", 0.5 * mean(floor, ALL, "coverage"), at_most=False)
    outside = sum(cell["copying"]["found"] for cell in ours.values()) if ours else None
    text = "seeds in which the copy test is outside its null"
    found.append(Bar(text, outside, 0, None if outside is None else outside == 0))
    for name in entry["classes"]:
        figure, limit = mean(ours, name, "agreement"), 0.9 * mean(floor, name, "agreement")
        text = f"classifier agrees with '{name}' at least 0.9 times as often as it is right on real ones"
        found.append(Bar(text, figure, limit, None if figure is None else figure >= limit))
    return found
