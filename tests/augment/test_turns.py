"""The order of classes in a stream."""

from __future__ import annotations

from itertools import islice

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from medsyn.augment.turns import turns

weights = st.lists(st.floats(0.01, 1), min_size=1, max_size=6)


@given(weights, st.integers(0, 2**32 - 1))
def test_every_beginning_has_the_classes_in_their_shares(given_weights, seed):
    shares = np.array(given_weights) / sum(given_weights)
    order = np.fromiter(islice(turns(shares.tolist(), np.random.default_rng(seed)), 400), np.int64)
    counts = np.cumsum(order[:, None] == np.arange(len(shares)), axis=0)
    wanted = np.arange(1, 401)[:, None] * shares
    # A class is at most 1 away from its share of the time that has passed, which is as far from the number of images.
    assert (np.abs(counts - wanted) < 1 + len(shares) * shares + 1e-6).all()


def test_a_class_without_a_share_never_comes():
    assert 1 not in islice(turns([0.5, 0.0, 0.5], np.random.default_rng(0)), 100)


def test_a_rare_class_does_not_wait_for_the_same_place_in_every_sequence():
    """A hundred workers that make 20 images each have the rare one as often as one worker that makes 2,000."""
    made = [list(islice(turns([0.99, 0.01], np.random.default_rng(seed)), 20)).count(1) for seed in range(100)]
    assert 8 <= sum(made) <= 35
