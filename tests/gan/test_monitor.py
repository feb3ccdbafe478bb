import numpy as np
import pytest
import torch

from medsyn.gan.monitor import Monitor
from medsyn.generator import Generator
from medsyn.metrics.features import FeatureExtractor
from medsyn.metrics.fidelity import prdc


class _Shown(Generator):
    """Its samples are given images, over and over."""

    def __init__(self, images: np.ndarray) -> None:
        self.images = images

    def sample(self, labels: np.ndarray, seed: int, index: np.ndarray, truncation: float = 1.0) -> np.ndarray:
        return self.images[index % len(self.images)]


def test_neighbours_are_counted_among_as_many_samples_as_there_are_real_images() -> None:
    small = torch.from_numpy(np.random.default_rng(0).random((220, 1, 4, 4), np.float32))
    images = torch.nn.functional.interpolate(small, (32, 32), mode="bicubic").clamp(0, 1).numpy()
    tune, others = images[:20], images[20:]

    def check(shown: np.ndarray, samples: int) -> tuple[float, float, float]:
        found = Monitor(tune, np.arange(20) % 2, samples, torch.device("cpu")).check(_Shown(shown))
        return found.coverage, found.precision, found.recall

    assert check(others[:20], 20) == pytest.approx(check(others[:20], 200)) == pytest.approx(check(others[:20], 210))
    extract = FeatureExtractor()
    assert check(others, 200)[0] < prdc(extract(tune), extract(others), 5).coverage
    assert check(tune, 60) == (1, 1, 1)
