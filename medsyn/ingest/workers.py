"""Work spread over processes, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from medsyn import compute
from medsyn.errors import EnvironmentFault

IN_PROCESS = 64
"""Below this number of files, starting worker processes takes longer than the work."""

A = TypeVar("A")
B = TypeVar("B")
Mapper = Callable[[Callable[[A], B], Iterable[A]], Iterator[B]]


@contextmanager
def mapper(workers: int | None, files: int) -> Iterator[Mapper]:
    """An ordered map, over processes where that pays."""
    if workers == 1 or files < IN_PROCESS:
        yield map
        return
    with compute.executor(workers) as pool:
        yield partial(_in_processes, pool, 2 * (workers or compute.cores()))


def _in_processes(pool: Executor, ahead: int, function: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
    under_way: list[Any] = []

    def noted() -> Iterator[A]:
        for item in items:
            under_way.append(item)
            yield item

    try:
        for result in compute.map_ordered(pool, function, noted(), ahead):
            under_way.pop(0)
            yield result
    except BrokenProcessPool:
        numbers = _numbers(under_way)
        raise EnvironmentFault(
            f"a worker process died at one of the inputs {min(numbers)} to {max(numbers)} (files sorted by path)",
            where="--workers",
            mend="Most likely memory ran out: use --workers 1 or leave those files out; a script needs a main guard.",
        ) from None


def _numbers(part: Any) -> list[int]:
    """Ledger numbers of the files anywhere in nested lists."""
    if hasattr(part, "number"):
        return [part.number]
    return [n for inner in (part.files if hasattr(part, "files") else part) for n in _numbers(inner)]
