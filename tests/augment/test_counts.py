"""How n images are shared among the classes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsyn.augment.counts import per_class
from medsyn.errors import UsageError

real_counts = st.dictionaries(st.text(min_size=1, max_size=3), st.integers(1, 500), min_size=2, max_size=6)


@given(st.integers(1, 2000), real_counts, st.sampled_from(["match", "equal", "minority"]))
def test_counts_add_up(n, real, balance):
    counts = per_class(n, real, balance)
    assert sum(counts.values()) == n
    assert list(counts) == list(real)
    assert min(counts.values()) >= 0


def test_match_follows_the_real_proportions():
    assert per_class(100, {"a": 30, "b": 10}, "match") == {"a": 75, "b": 25}


def test_equal_is_equal():
    assert per_class(90, {"a": 500, "b": 1, "c": 7}, "equal") == {"a": 30, "b": 30, "c": 30}


@pytest.mark.parametrize(
    ("n", "expected"),
    [(5, {"a": 0, "b": 0, "c": 5}), (20, {"a": 0, "b": 5, "c": 15}), (100, {"a": 15, "b": 40, "c": 45})],
)
def test_minority_fills_the_lowest_first(n, expected):
    assert per_class(n, {"a": 40, "b": 15, "c": 5} if n != 100 else {"a": 40, "b": 15, "c": 10}, "minority") == expected


@given(st.integers(1, 2000), real_counts)
def test_minority_leaves_no_class_above_the_common_level_with_images_of_its_own(n, real):
    counts = per_class(n, real, "minority")
    totals = {c: real[c] + counts[c] for c in real}
    level = max(totals[c] for c in real if counts[c])
    assert all(totals[c] >= level - 1 for c in real)


def test_counted_classes_get_their_number_and_others_none():
    assert per_class(7, {"a": 30, "b": 10, "c": 5}, {"c": 5, "a": 2}) == {"a": 2, "b": 0, "c": 5}
    with pytest.raises(UsageError, match=r"no class 'd'.*a, b"):
        per_class(1, {"a": 30, "b": 10}, {"d": 1})
