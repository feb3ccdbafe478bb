import numpy as np
import pytest
import torch

from medsyn.generator import first_stage
from medsyn.generator.first_stage import PCA, Autoencoder, Fitting, PriorTraining

SIDE = 16


def discs(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A bright disc somewhere, larger in the second class: three numbers an image, of which no pixel is linear."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    y, x = np.mgrid[:SIDE, :SIDE]
    centre, radius = rng.uniform(5, 11, (n, 2)), np.where(labels, 4.5, 2.5) + rng.normal(0, 0.2, n)
    away = np.hypot(y - centre[:, 0, None, None], x - centre[:, 1, None, None])
    return (1 / (1 + np.exp(away - radius[:, None, None])))[:, None].astype(np.float32), labels


def fitting(steps: int) -> Fitting:
    return Fitting(explained=0.87, most=6, prior=PriorTraining(steps))


@pytest.fixture(scope="module")
def learnt() -> Autoencoder:
    return Autoencoder.fit(*discs(300), fitting(2400))


def left(stage: Autoencoder | PCA, images: np.ndarray) -> float:
    with torch.no_grad():
        shown = torch.from_numpy(images)
        return float((stage.decode(stage.encode(shown)) - shown).square().mean())


def test_it_shows_more_of_unseen_images_than_as_many_components(learnt: Autoencoder) -> None:
    unseen, _ = discs(100, seed=1)
    linear = PCA.fit(*discs(300), fitting(0))
    assert len(learnt.mean) == linear.coefficients
    assert left(learnt, unseen) < 0.7 * left(linear, unseen)


def test_without_training_it_is_the_components() -> None:
    images, labels = discs(60)
    plain, linear = Autoencoder.fit(images, labels, fitting(0)), PCA.fit(images, labels, fitting(0))
    assert left(plain, images) == pytest.approx(left(linear, images), rel=1e-3)


def test_codes_are_of_unit_variance_and_do_not_correlate(learnt: Autoencoder) -> None:
    codes = learnt.encode(torch.from_numpy(discs(300)[0]))
    assert torch.allclose(codes.T.cov(correction=0), torch.eye(codes.shape[1]), atol=1e-2)
    assert torch.allclose(codes.mean(0), torch.zeros(codes.shape[1]), atol=1e-2)


def test_samples_of_a_class_look_like_that_class(learnt: Autoencoder) -> None:
    asked = torch.eye(2).repeat_interleave(100, 0)
    with torch.no_grad():
        made = learnt.decode(learnt.sample(torch.randn(200, learnt.noise, generator=torch.manual_seed(0)), asked))
    small, large = made.mean((1, 2, 3)).split(100)
    assert float(((small[:, None] < large[None]).float()).mean()) > 0.95


@pytest.mark.parametrize(("side", "squares"), [(16, 8), (28, 7), (64, 8), (30, 15)])
def test_detail_leaves_the_means_of_a_coarse_grid(side: int, squares: int) -> None:
    stage = Autoencoder((1, side, side), 4, {"kind": "mixture", "classes": 2, "components": 2})
    images = torch.rand(3, 1, side, side, generator=torch.manual_seed(0))
    detail = stage.detail(images)
    means = torch.nn.functional.avg_pool2d(detail, side // squares)
    assert torch.allclose(means, torch.zeros_like(means), atol=1e-6)
    assert torch.allclose(stage.detail(detail), detail, atol=1e-6)
    assert float(detail.square().mean()) > 0.5 * float(images.var())


def test_it_is_built_again_from_its_sizes_and_weights(learnt: Autoencoder) -> None:
    again = first_stage.build(learnt.sizes(), (1, SIDE, SIDE))
    again.load_state_dict(learnt.state_dict())
    images = torch.from_numpy(discs(10, seed=2)[0])
    with torch.no_grad():
        assert torch.equal(again.decode(again.encode(images)), learnt.decode(learnt.encode(images)))


def test_the_same_seed_learns_the_same() -> None:
    images, labels = discs(60)
    one, other = (Autoencoder.fit(images, labels, fitting(800)).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)
