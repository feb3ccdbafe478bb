import numpy as np
import pytest
import torch

from medsyn.compute import numpy_rng
from medsyn.generator import Generator

LABELS = np.arange(50) % 3
INDEX = np.arange(50)


def test_shape_range_and_dtype(either: Generator) -> None:
    images = either.sample(LABELS, 0, INDEX)
    assert images.shape == (50, 1, 12, 12)
    assert images.dtype == np.float32
    assert images.min() >= 0
    assert images.max() <= 1
    assert len(np.unique(images.reshape(50, -1), axis=0)) == 50


def test_a_candidate_does_not_depend_on_its_company(either: Generator) -> None:
    together = either.sample(LABELS, 7, INDEX)
    order = np.random.default_rng(1).permutation(50)
    assert np.array_equal(either.sample(LABELS[order], 7, INDEX[order]), together[order])
    for size in (1, 5, 17):
        parts = [either.sample(LABELS[i : i + size], 7, INDEX[i : i + size]) for i in range(0, 50, size)]
        assert np.array_equal(np.concatenate(parts), together)


def test_one_number_under_two_labels_in_one_call(either: Generator) -> None:
    both = either.sample(np.array([0, 1, 0]), 7, np.array([4, 4, 5]))
    assert np.array_equal(both[0], either.sample(np.array([0]), 7, np.array([4]))[0])
    assert np.array_equal(both[1], either.sample(np.array([1]), 7, np.array([4]))[0])
    assert not np.array_equal(both[0], both[1])


def test_seed_and_label_change_the_image(either: Generator) -> None:
    one = either.sample(np.array([0]), 1, np.array([0]))
    assert not np.array_equal(one, either.sample(np.array([0]), 2, np.array([0])))
    assert not np.array_equal(one, either.sample(np.array([1]), 1, np.array([0])))


def test_no_candidates(either: Generator) -> None:
    assert either.sample(np.empty(0, int), 0, np.empty(0, int)).shape == (0, 1, 12, 12)


@pytest.mark.parametrize(("labels", "index"), [([3], [0]), ([-1], [0]), ([0], [-1]), ([0, 1], [0])])
def test_wrong_requests(either: Generator, labels: list[int], index: list[int]) -> None:
    with pytest.raises(ValueError, match="labels"):
        either.sample(np.array(labels), 0, np.array(index))


def test_noise_is_keyed_by_seed_and_candidate(either: Generator) -> None:
    noise = either.draw(7, np.array([4, 9]))
    assert noise.shape == (2, either.noise)
    for row, k in zip(noise, (4, 9), strict=True):
        assert np.array_equal(row, numpy_rng("candidate", 7, k).standard_normal(either.noise, np.float32))
    assert either.draw(7, np.empty(0, int)).shape == (0, either.noise)


def test_no_truncation_changes_nothing(either: Generator) -> None:
    assert np.array_equal(either.sample(LABELS, 7, INDEX, truncation=1.0), either.sample(LABELS, 7, INDEX))


def test_truncation_draws_towards_the_mean_of_the_same_kind(small: Generator) -> None:
    torch.nn.init.normal_(small.first_stage.prior.factor)
    asked = torch.eye(3)[torch.from_numpy(LABELS)]
    whole, half, none = (
        small.first_stage.sample(torch.from_numpy(small.draw(7, INDEX, psi))[:, : small.first_stage.noise], asked)
        for psi in (1.0, 0.5, 1e-9)
    )
    assert torch.allclose(half, (whole + none) / 2, atol=1e-5)
    means = small.first_stage.prior.mean
    kinds = torch.cdist(none, means).argmin(1)
    assert torch.allclose(none, means[kinds], atol=1e-5)
    assert len(kinds.unique()) == 6, "the kinds are still picked as often"


def test_what_picks_a_kind_is_not_truncated_and_all_else_is(either: Generator) -> None:
    picks = either.first_stage.picks
    assert picks == (either.config["first_stage"]["prior"]["kind"] == "mixture")
    whole, half = either.draw(7, INDEX), either.draw(7, INDEX, 0.5)
    assert np.array_equal(half[:, :picks], whole[:, :picks])
    assert np.array_equal(half[:, picks:], whole[:, picks:] / 2)


def test_truncation_gives_up_diversity(either: Generator) -> None:
    spread = [either.sample(LABELS, 7, INDEX, psi).std(0).mean() for psi in (1.0, 0.6, 0.2)]
    assert spread[0] > spread[1] > spread[2]


@pytest.mark.parametrize("psi", [0.0, -1.0, 1.01, float("nan")])
def test_truncations_that_mean_nothing(small: Generator, psi: float) -> None:
    with pytest.raises(ValueError, match="truncation"):
        small.sample(LABELS, 7, INDEX, psi)
