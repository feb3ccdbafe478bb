"""Sets and maps of ledger numbers behave as Python's own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsyn.ingest.numbered import NumberMap, NumberSet, Worked

number = st.integers(0, 200)


@given(st.lists(st.tuples(st.booleans(), number)))
def test_a_set_of_numbers_is_a_set(steps: list[tuple[bool, int]]) -> None:
    mine, theirs = NumberSet(), set[int]()
    for put_in, n in steps:
        (mine.add if put_in else mine.discard)(n)
        (theirs.add if put_in else theirs.discard)(n)
    assert list(mine) == sorted(theirs)
    assert len(mine) == len(theirs)
    assert [n in mine for n in range(-1, 205)] == [n in theirs for n in range(-1, 205)]
    assert np.flatnonzero(mine.mask(100)).tolist() == sorted(n for n in theirs if n < 100)
    assert mine - {3} == theirs - {3}


@given(st.lists(st.tuples(number, st.none() | st.integers(0, 2**31 - 1))))
def test_a_map_of_numbers_is_a_dict(steps: list[tuple[int, int | None]]) -> None:
    mine, theirs = NumberMap(), dict[int, int]()
    for key, value in steps:
        if value is not None:
            mine[key] = theirs[key] = value
        elif key in theirs:
            del mine[key], theirs[key]
        else:
            with pytest.raises(KeyError):
                del mine[key]
    assert list(mine.items()) == sorted(theirs.items())
    assert len(mine) == len(theirs)
    assert mine.get(-1) is None
    assert mine.different().tolist() == sorted(set(theirs.values()))


def test_what_is_worked_out_is_there_for_its_numbers_only() -> None:
    squares = Worked(NumberSet([3, 1]), lambda n: n * n)
    assert dict(squares) == {1: 1, 3: 9}
    assert squares.get(2) is None
