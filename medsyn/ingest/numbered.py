"""Sets and maps of ledger numbers, which are dense: a few bytes each instead of a hundred."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, MutableMapping, MutableSet
from typing import TypeVar

import numpy as np

T = TypeVar("T")
_BLOCK = 65536


class NumberSet(MutableSet[int]):
    """Whole numbers from 0, one byte each; iterated in ascending order."""

    def __init__(self, numbers: Iterable[int] = ()) -> None:
        self._there, self._count = bytearray(), 0
        for number in numbers:
            self.add(number)

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and 0 <= number < len(self._there) and bool(self._there[number])

    def __iter__(self) -> Iterator[int]:
        for start in range(0, len(self._there), _BLOCK):
            yield from (np.flatnonzero(self._block(start, start + _BLOCK)) + start).tolist()

    def __len__(self) -> int:
        return self._count

    def add(self, number: int) -> None:
        """Put a number in."""
        if number >= len(self._there):
            self._there.extend(bytes(number + 1 + len(self._there) // 8 - len(self._there)))
        self._count += not self._there[number]
        self._there[number] = 1

    def discard(self, number: int) -> None:
        """Take a number out, if it is there."""
        if number in self:
            self._there[number] = 0
            self._count -= 1

    def mask(self, n: int) -> np.ndarray:
        """Which of the numbers below ``n`` are in it: bool ``[n]``."""
        out = np.zeros(n, bool)
        there = self._block(0, n)
        out[: len(there)] = there
        return out

    def _block(self, low: int, high: int) -> np.ndarray:
        return np.frombuffer(bytes(self._there[low:high]), bool)


class NumberMap(MutableMapping[int, int]):
    """Whole numbers from 0 -> whole numbers from 0 (32 bit), four bytes each; iterated in ascending order."""

    def __init__(self, items: Iterable[tuple[int, int]] = ()) -> None:
        self._values, self._count = array("i"), 0
        for number, value in items:
            self[number] = value

    def __getitem__(self, number: int) -> int:
        value = self._values[number] if 0 <= number < len(self._values) else -1
        if value < 0:
            raise KeyError(number)
        return value

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and 0 <= number < len(self._values) and self._values[number] >= 0

    def __setitem__(self, number: int, value: int) -> None:
        if number >= len(self._values):
            more = number + 1 + len(self._values) // 8 - len(self._values)
            self._values.frombytes(b"\xff" * (more * self._values.itemsize))
        self._count += self._values[number] < 0
        self._values[number] = value

    def __delitem__(self, number: int) -> None:
        self[number]
        self._values[number] = -1
        self._count -= 1

    def __iter__(self) -> Iterator[int]:
        return (number for number, value in enumerate(self._values) if value >= 0)

    def __len__(self) -> int:
        return self._count

    def different(self) -> np.ndarray:
        """The different values, ascending: int32."""
        values = np.unique(np.array(self._values))
        return values[values >= 0]


class Worked(Mapping[int, T]):
    """Values that are worked out when they are asked for, instead of being kept.

    Args:
        numbers: For which there is one.
        of: Works it out.
    """

    def __init__(self, numbers: Collection[int], of: Callable[[int], T]) -> None:
        self._numbers, self._of = numbers, of

    def __getitem__(self, number: int) -> T:
        if number not in self._numbers:
            raise KeyError(number)
        return self._of(number)

    def __iter__(self) -> Iterator[int]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)
