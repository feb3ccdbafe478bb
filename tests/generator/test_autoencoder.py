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
    assert learnt.coefficients == linear.coefficients
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


@pytest.mark.parametrize(("shape", "halvings"), [((1, 31, 31), 0), ((3, 16, 16), 0), ((1, 48, 32), 1), ((1, 5, 5), 0)])
def test_any_shape_there_and_back(shape: tuple[int, int, int], halvings: int) -> None:
    images = np.random.default_rng(0).random((24, *shape), np.float32)
    given = Fitting(explained=0.5, most=5, halvings=halvings, prior=PriorTraining(64))
    stage = Autoencoder.fit(images, np.arange(24) % 2, given)
    shown = stage.decode(stage.encode(torch.from_numpy(images)))
    assert shown.shape == (24, shape[0], shape[1] >> halvings, shape[2] >> halvings)
    added = stage.detail(torch.rand(shown.shape, generator=torch.manual_seed(0)))
    assert float(added.square().mean()) > 0
    assert torch.allclose(added.flatten(1) @ stage.linear.components.T, torch.zeros(24, 5), atol=1e-4)


def test_convolutions_that_do_not_help_leave_the_components() -> None:
    noise, labels = np.random.default_rng(0).random((80, 1, 12, 12), np.float32), np.arange(80) % 2
    stage = Autoencoder.fit(noise, labels, fitting(400))
    assert not stage.convolutions.output.weight.any()
    assert left(stage, noise) == pytest.approx(left(PCA.fit(noise, labels, fitting(0)), noise), rel=1e-3)


def test_images_of_one_unit_leave_none_to_judge_by() -> None:
    images, labels = discs(40)
    given = fitting(400)._replace(prior=PriorTraining(400, units=np.zeros(40, int)))
    assert not Autoencoder.fit(images, labels, given).convolutions.output.weight.any()


def test_it_is_built_again_from_its_sizes_and_weights(learnt: Autoencoder) -> None:
    again = first_stage.build(learnt.sizes(), (1, SIDE, SIDE))
    again.load_state_dict(learnt.state_dict())
    images = torch.from_numpy(discs(10, seed=2)[0])
    with torch.no_grad():
        assert torch.equal(again.decode(again.encode(images)), learnt.decode(learnt.encode(images)))


def test_the_same_seed_learns_the_same() -> None:
    images, labels = discs(200)
    one, other = (Autoencoder.fit(images, labels, fitting(480)).state_dict() for _ in range(2))
    assert one["convolutions.output.weight"].any()
    assert all(torch.equal(one[name], other[name]) for name in one)
