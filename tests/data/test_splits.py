"""The draw: units stay whole, earlier assignments win, proportions hold."""

from __future__ import annotations

from collections import Counter

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from medsyn.data import splits
from medsyn.data.schema import SPLITS
from medsyn.data.splits import FRACTIONS, Unit

KEY = b"k" * 32

units = st.lists(
    st.builds(
        Unit,
        key=st.uuids().map(str),
        stratum=st.sampled_from("abc"),
        given=st.sampled_from([None, None, None, *SPLITS]),
        official_train=st.booleans(),
    ),
    max_size=60,
    unique_by=lambda u: u.key,
)


@given(units)
@settings(deadline=None)
def test_every_unit_is_assigned_once_and_given_splits_win(drawn: list[Unit]) -> None:
    result = splits.draw(drawn, KEY)
    assert set(result) == {u.key for u in drawn}
    for u in drawn:
        split, _, fold = result[u.key]
        assert split in SPLITS
        assert 0 <= fold < splits.FOLDS
        if u.given:
            assert split == u.given
        elif u.official_train:
            assert split in ("train", "tune")


@given(units, st.randoms())
@settings(deadline=None)
def test_the_draw_does_not_depend_on_order(drawn: list[Unit], random: object) -> None:
    shuffled = list(drawn)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert splits.draw(drawn, KEY) == splits.draw(shuffled, KEY)


@given(st.integers(0, 500))
def test_targets_add_up_and_follow_the_fractions(n: int) -> None:
    counts = splits.targets(n)
    assert sum(counts.values()) == n
    if n >= 4:
        assert min(counts.values()) >= 1
    if n >= 20:
        assert all(abs(counts[s] - FRACTIONS[s] * n) < 1.5 for s in SPLITS)


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=120))
@settings(deadline=None)
def test_every_stratum_gets_its_own_share(strata: list[str]) -> None:
    drawn = [Unit(str(i), s) for i, s in enumerate(strata)]
    result = splits.draw(drawn, KEY)
    for stratum, n in Counter(strata).items():
        counts = Counter(result[u.key][0] for u in drawn if u.stratum == stratum)
        assert counts == Counter({s: c for s, c in splits.targets(n).items() if c})


@given(st.lists(st.sampled_from("ab"), min_size=1, max_size=60), st.integers(0, 60))
@settings(deadline=None)
def test_adding_units_moves_no_earlier_one(strata: list[str], first: int) -> None:
    old = [Unit(str(i), s) for i, s in enumerate(strata[:first])]
    before = {key: split for key, (split, _, _) in splits.draw(old, KEY).items()}
    both = [Unit(str(i), s, before.get(str(i))) for i, s in enumerate(strata)]
    after = splits.draw(both, KEY)
    assert {key: after[key][0] for key in before} == before


def test_another_key_gives_another_draw() -> None:
    drawn = [Unit(str(i), "a") for i in range(100)]
    assert splits.draw(drawn, KEY) != splits.draw(drawn, b"l" * 32)


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("abcdefgh")), max_size=12))
def test_join_is_the_smallest_partition_that_keeps_every_edge(edges: list[tuple[str, str]]) -> None:
    loops = [(k, k) for k in "abcdefgh"]
    component = splits.join(*(pd.Series(side, dtype=object) for side in zip(*loops, *edges, strict=True)))
    of = {k: min(component.index[component == component[k]]) for k in "abcdefgh"}
    reach = {k: {k} for k in "abcdefgh"}
    for _ in range(8):
        for a, b in edges:
            both = reach[a] | reach[b]
            for k in both:
                reach[k] = reach[k] | both
    assert {k: min(reach[k]) for k in reach} == of


def test_few_subjects_are_said() -> None:
    told = splits.caveats({"rare": {"train": 12, "val": 3, "test": 12}, "common": dict.fromkeys(SPLITS, 50)})
    assert len(told) == 1
    assert "val (rare 3)" in told[0]
    assert "common" not in told[0]
