"""The draw: units stay whole, earlier assignments win, proportions hold."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from medsyn.data import splits
from medsyn.data.schema import SPLITS
from medsyn.data.splits import FRACTIONS

KEY = b"k" * 32


@dataclass(frozen=True)
class Unit:
    key: str
    stratum: str
    given: str | None = None
    official_train: bool = False
    fold: int = -1


def draw(units: list[Unit], key: bytes = KEY) -> dict[str, tuple[str, str, int]]:
    """unit -> (split, origin, fold)."""
    names = pa.array([u.key for u in units], pa.string())
    drawn = splits.draw(
        splits.Units(
            splits.ranks(key, names, np.arange(len(units))),
            np.array(["abc".index(u.stratum) for u in units], np.int32),
            np.array([SPLITS.index(u.given) if u.given else -1 for u in units], np.int8),  # type: ignore[arg-type]
            np.array([u.official_train for u in units], bool),
            np.array([u.fold for u in units], np.int8),
        )
    )
    columns = drawn.split.tolist(), drawn.origin.tolist(), drawn.fold.tolist()
    return {
        u.key: (SPLITS[split], splits.ORIGINS[origin], fold)
        for u, split, origin, fold in zip(units, *columns, strict=True)
    }


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
    result = draw(drawn)
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
    assert draw(drawn) == draw(shuffled)


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
    result = draw(drawn)
    for stratum, n in Counter(strata).items():
        counts = Counter(result[u.key][0] for u in drawn if u.stratum == stratum)
        assert counts == Counter({s: c for s, c in splits.targets(n).items() if c})


@given(st.lists(st.lists(st.sampled_from("ab"), max_size=40), min_size=1, max_size=5))
@settings(deadline=None)
def test_adding_units_in_several_rounds_moves_nobody_to_another_split_or_fold(rounds: list[list[str]]) -> None:
    known: list[Unit] = []
    before: dict[str, tuple[str, str, int]] = {}
    for number, strata in enumerate(rounds):
        units = known + [Unit(f"{number} {i}", s) for i, s in enumerate(strata)]
        after = draw(units)
        for key, (split, _, fold) in before.items():
            assert (after[key][0], after[key][2]) == (split, fold)
        for stratum in "ab":
            filled = Counter(after[u.key][2] for u in units if u.stratum == stratum)
            sizes = [filled[fold] for fold in range(splits.FOLDS)]
            assert max(sizes) - min(sizes) <= 1
        before = after
        known = [Unit(u.key, u.stratum, after[u.key][0], fold=after[u.key][2]) for u in units]


def test_folds_of_a_first_draw_follow_the_rank() -> None:
    units = [Unit(str(i), "ab"[i % 3 == 0]) for i in range(40)]
    after = draw(units)
    names = pa.array([u.key for u in units])
    rank = dict(zip((u.key for u in units), splits.ranks(KEY, names, np.arange(40)), strict=True))
    for stratum in "ab":
        ranked = sorted((u.key for u in units if u.stratum == stratum), key=lambda key: rank[key])
        assert [after[key][2] for key in ranked] == [i % splits.FOLDS for i in range(len(ranked))]


def test_another_key_gives_another_draw() -> None:
    drawn = [Unit(str(i), "a") for i in range(100)]
    assert draw(drawn) != draw(drawn, b"l" * 32)


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("abcdefgh")), max_size=12))
def test_join_is_the_smallest_partition_that_keeps_every_edge(edges: list[tuple[str, str]]) -> None:
    nodes = np.array([("abcdefgh".index(a), "abcdefgh".index(b)) for a, b in edges], int).reshape(-1, 2)
    component = splits.join(nodes, 8)
    of = {k: "abcdefgh"[np.flatnonzero(component == component[i])[0]] for i, k in enumerate("abcdefgh")}
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
