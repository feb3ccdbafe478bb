import numpy as np
import pytest

from medsyn.generator import Generator

LABELS = np.arange(50) % 3
INDEX = np.arange(50)


def test_shape_range_and_dtype(small: Generator) -> None:
    images = small.sample(LABELS, 0, INDEX)
    assert images.shape == (50, 1, 12, 12)
    assert images.dtype == np.float32
    assert images.min() >= 0
    assert images.max() <= 1
    assert len(np.unique(images.reshape(50, -1), axis=0)) == 50


def test_a_candidate_does_not_depend_on_its_company(small: Generator) -> None:
    together = small.sample(LABELS, 7, INDEX)
    order = np.random.default_rng(1).permutation(50)
    assert np.array_equal(small.sample(LABELS[order], 7, INDEX[order]), together[order])
    for size in (1, 5, 17):
        parts = [small.sample(LABELS[i : i + size], 7, INDEX[i : i + size]) for i in range(0, 50, size)]
        assert np.array_equal(np.concatenate(parts), together)


def test_one_number_under_two_labels_in_one_call(small: Generator) -> None:
    both = small.sample(np.array([0, 1, 0]), 7, np.array([4, 4, 5]))
    assert np.array_equal(both[0], small.sample(np.array([0]), 7, np.array([4]))[0])
    assert np.array_equal(both[1], small.sample(np.array([1]), 7, np.array([4]))[0])
    assert not np.array_equal(both[0], both[1])


def test_seed_and_label_change_the_image(small: Generator) -> None:
    one = small.sample(np.array([0]), 1, np.array([0]))
    assert not np.array_equal(one, small.sample(np.array([0]), 2, np.array([0])))
    assert not np.array_equal(one, small.sample(np.array([1]), 1, np.array([0])))


def test_no_candidates(small: Generator) -> None:
    assert small.sample(np.empty(0, int), 0, np.empty(0, int)).shape == (0, 1, 12, 12)


@pytest.mark.parametrize(("labels", "index"), [([3], [0]), ([-1], [0]), ([0], [-1]), ([0, 1], [0])])
def test_wrong_requests(small: Generator, labels: list[int], index: list[int]) -> None:
    with pytest.raises(ValueError, match="labels"):
        small.sample(np.array(labels), 0, np.array(index))
