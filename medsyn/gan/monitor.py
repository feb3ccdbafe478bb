"""How good the generator is on `tune`, images it never learns from."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import torch

from medsyn.generator import Generator
from medsyn.metrics.features import FeatureExtractor
from medsyn.metrics.fidelity import kid, prdc

MIN_REFERENCE = 10
NEIGHBOURS = 5


@dataclass(frozen=True)
class Check:
    """One look: lower KID and higher coverage are better."""

    kid: float
    coverage: float
    precision: float
    recall: float

    def score(self, start: Check) -> float:
        """What the best snapshot has least of: KID in units of the start's (the class Gaussian) minus coverage."""
        return self.kid / max(start.kid, 1e-3) - self.coverage

    def to_json(self) -> dict[str, float]:
        return asdict(self)


class Monitor:
    """Compares samples with the tune split.

    Args:
        images: The tune images, float32 ``[n, C, H, W]`` in [0, 1], n >= `MIN_REFERENCE`.
        labels: int64 ``[n]``; samples are asked for in the same proportions.
        samples: Number of samples of every check, the same candidates each time.
        device: Where features are computed.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray, samples: int, device: torch.device) -> None:
        self._extract = FeatureExtractor(device)
        self._real = self._extract(images)
        self._labels = np.resize(labels, samples)

    def check(self, generator: Generator) -> Check:
        """Sample and compare."""
        fake = self._extract(generator.sample(self._labels, seed=0, index=np.arange(len(self._labels))))
        neighbours = prdc(self._real, fake, min(NEIGHBOURS, len(self._real) - 1))
        distance = kid(self._real, fake, draws=2)
        return Check(distance.value, neighbours.coverage, neighbours.precision, neighbours.recall)
