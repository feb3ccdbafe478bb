"""How good the generator is on `tune`, images it never learns from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from weakref import WeakKeyDictionary

import numpy as np
import torch

from medsyn.generator import Generator
from medsyn.metrics.features import FeatureExtractor
from medsyn.metrics.fidelity import kid, kid_doubt, prdc

MIN_REFERENCE = 10
NEIGHBOURS = 5
EXTRACTOR = FeatureExtractor.name


@dataclass(frozen=True)
class Check:
    """One look: lower KID and higher coverage are better."""

    kid: float
    coverage: float
    precision: float
    recall: float

    def score(self, start: Check, doubt: float = 0.0) -> float:
        """What the best snapshot has least of: KID, in units of that before all training, minus coverage.

        Args:
            start: The look before all training.
            doubt: Added to the KID.
        """
        return (self.kid + doubt) / max(start.kid, 1e-3) - self.coverage

    def to_json(self) -> dict[str, float]:
        return asdict(self)


class Monitor:
    """Compares samples with the tune split.

    Args:
        images: Images of tune, float32 ``[n, C, H, W]`` in [0, 1], n >= `MIN_REFERENCE`.
        labels: int64 ``[n]``; samples are asked for in the same proportions.
        units: What tune was split by, ``[n]``: images of one unit may be of one patient.
        samples: Number of samples of every check, the same candidates each time.
        device: Where features are computed.
    """

    def __init__(
        self, images: np.ndarray, labels: np.ndarray, units: np.ndarray, samples: int, device: torch.device
    ) -> None:
        self._extract = FeatureExtractor(device)
        self._real, self._real_labels, self._units = self._extract(images), labels, units
        self._labels = np.resize(labels, samples)
        self._features: WeakKeyDictionary[Generator, np.ndarray] = WeakKeyDictionary()

    def check(self, generator: Generator) -> Check:
        """Sample and compare."""
        return _compare(self._real, self._sampled(generator))

    def doubt(self, generator: Generator, other: Generator) -> float:
        """Standard error of the difference between the KIDs of two generators, see `kid_doubt`."""
        return kid_doubt(self._real, self._sampled(generator), self._sampled(other), self._units)

    def _sampled(self, generator: Generator) -> np.ndarray:
        """Features of its samples ``[samples, d]``, computed once for as long as there is the generator."""
        if generator not in self._features:
            images = generator.sample(self._labels, seed=0, index=np.arange(len(self._labels)))
            self._features[generator] = self._extract(images)
        return self._features[generator]

    def per_class(self, generator: Generator) -> dict[str, Check]:
        """The same of every class of which there are `MIN_REFERENCE` images, with other candidates than `check` has."""
        samples = max(MIN_REFERENCE, len(self._labels) // len(generator.classes))
        found = {}
        for place, name in enumerate(generator.classes):
            real = self._real[self._real_labels == place]
            if len(real) >= MIN_REFERENCE:
                images = generator.sample(np.full(samples, place), seed=1, index=np.arange(samples))
                found[name] = _compare(real, self._extract(images))
        return found


def _compare(real: np.ndarray, fake: np.ndarray) -> Check:
    neighbours = prdc(real, fake, min(NEIGHBOURS, len(real) - 1))
    return Check(kid(real, fake, draws=2).value, neighbours.coverage, neighbours.precision, neighbours.recall)
