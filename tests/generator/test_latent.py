import numpy as np
import torch

from medsyn.generator.networks import LatentGenerator


def test_untrained_it_is_the_class_gaussian() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 4000)
    scale = np.where(labels == 0, 1.0, 0.3)[:, None]
    x = rng.normal(size=(8000, 3)) * scale + np.where(labels == 0, -2.0, 1.0)[:, None]
    x[:, 1] += x[:, 0]
    network = LatentGenerator(3, 2, width=16, depth=1, embedding=4)
    network.set_gaussian(x, labels)
    for c in (0, 1):
        with torch.inference_mode():
            fake = network(torch.randn(20000, 3, generator=torch.Generator().manual_seed(c)), torch.full((20000,), c))
        assert np.allclose(fake.mean(0), x[labels == c].mean(0), atol=0.05)
        assert np.allclose(np.cov(fake.T.numpy()), np.cov(x[labels == c].T), atol=0.06)


def test_a_class_of_few_images_borrows_directions_from_the_others() -> None:
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(503, 20)), np.repeat([0, 1], [500, 3])
    network = LatentGenerator(20, 2, width=16, depth=1, embedding=4)
    network.set_gaussian(x, labels)
    assert np.linalg.matrix_rank(network.factor[1].numpy(), tol=0.1) == 20
