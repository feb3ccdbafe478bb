from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import blobs

from medsyn.metrics.features import FeatureExtractor


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
