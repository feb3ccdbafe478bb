from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import blobs

from medsyn.errors import UsageError
from medsyn.metrics.features import FeatureExtractor, OwnExtractor
from medsyn.metrics.features import extractor as get

OWN = """
import numpy as np
import torch
from torch import nn


def moments(device):
    return lambda images: np.stack([images.mean((1, 2, 3)), images.std((1, 2, 3))], 1)


class Network:
    name = "random projection"

    def __init__(self, device):
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).to(device)

    def __call__(self, images):
        return self.net(torch.from_numpy(images))


def fails(device):
    return lambda images: images.reshape(3, 3)


def maps(device):
    return lambda images: images


def few(device):
    return lambda images: images[:1, 0, 0]


def not_finite(device):
    return lambda images: images[:, 0, 0] / 0


def shaky(device):
    return lambda images: images[:, 0, 0] + np.random.rand()


def breaks(device):
    raise RuntimeError("no such weights")


def nothing(device):
    return None
"""


@pytest.fixture(scope="module")
def extractor():
    return FeatureExtractor("cpu", batch=8)


def test_features(extractor, capsys):
    images, _ = blobs(20)
    features = extractor(images)
    assert features.shape == (20, extractor.dimension)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    assert capsys.readouterr().out == ""
    # An image's features do not depend on its company, to float precision.
    assert extractor(images[7:9]) == pytest.approx(features[7:9], abs=1e-3)


def test_grey_equals_rgb_of_equal_channels(extractor):
    images, _ = blobs(3)
    assert np.array_equal(extractor(images), extractor(np.repeat(images, 3, 1)))


def test_weights_are_trained_ones(extractor):
    # The whole network with its head, at its own size, must be sure of something in a photograph-like scene;
    # with random weights no class of 1,000 gets more than about 0.2 %.
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:96, :96] / 96
    disc = ((x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.09).astype(np.float32)
    image = torch.from_numpy(np.stack([0.2 + 0.7 * disc, 0.3 + 0.2 * disc, 0.1 + 0.1 * disc]))[None]
    image = image + torch.from_numpy(rng.normal(0, 0.01, (1, 3, 96, 96)))
    with torch.inference_mode():
        p = torch.softmax(extractor._network(((image - 0.45) / 0.225).float()), 1)
    assert float(p.max()) > 0.05


@pytest.mark.parametrize("shape", [(4, 28, 28), (4, 2, 28, 28)])
def test_wrong_shape(extractor, shape):
    with pytest.raises(ValueError, match="expected"):
        extractor(np.zeros(shape, np.float32))


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of the user's in the current folder, which is not on Python's path."""
    name = f"own_extractor_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return name


def test_installed_extractor_by_name(extractor):
    assert isinstance(get(), FeatureExtractor)
    images, _ = blobs(3)
    assert np.array_equal(pickle.loads(pickle.dumps(extractor))(images), extractor(images))


def test_extractor_of_the_user(own):
    images, _ = blobs(300)
    moments = get(f"{own}:moments")
    assert isinstance(moments, OwnExtractor)
    assert moments.name == f"{own}:moments"
    features = moments(images)
    assert features.dtype == np.float32
    assert features[:, 0] == pytest.approx(images.mean((1, 2, 3)), abs=1e-6)
    assert moments(images[:0]).shape == (0, 2)
    network = get(f"{own}:Network", torch.device("cpu"))
    assert network.name == "random projection"
    assert network(images).shape == (300, 4)
    assert np.array_equal(pickle.loads(pickle.dumps(network))(images), network(images))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("resnet", "unknown extractor 'resnet'"),
        ("{own}:nowhere", "has no 'nowhere'"),
        ("{own}:breaks", "no such weights"),
        ("{own}:nothing", "made a NoneType"),
        ("{own}:fails", "failed with ValueError"),
        ("{own}:maps", r"gives shape \[4, 1, 32, 32\] for 4 images"),
        ("{own}:few", r"gives shape \[1, 32\] for 4 images"),
        ("{own}:not_finite", "not finite"),
        ("{own}:shaky", "other features for the same images"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
def test_what_is_wrong_is_told_in_one_line(own, name, told):
    with pytest.raises(UsageError, match=told) as caught:
        get(name.format(own=own))(blobs(8)[0])
    assert "--extractor" in caught.value.line()
    assert "\n" not in caught.value.line()
