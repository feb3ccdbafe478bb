"""Worker processes that a hostile file may take down: the file is lost, the run is not."""

from __future__ import annotations

import ctypes
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import current_process, get_all_start_methods, get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from medsyn import compute
from medsyn.errors import EnvironmentFault
from medsyn.ingest.source import Refused

A = TypeVar("A")
B = TypeVar("B")
Mapper = Callable[[Callable[[A], B], Iterable[A]], Iterator[B]]

IN_PROCESS = 64
"""Below this number of files, starting worker processes takes longer than the work."""
SILENCE = 30.0
"""Seconds without a sign of life after which a worker counts as hung: a decoder that loops never comes back."""
AHEAD = 2
"""Items under way for each worker."""
_LOOK = 0.5
_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -3, -1  # of malloc.h
_CRASHED = Refused("crashed", "the decoder died of it, twice: a defect of the file, or memory ran out", "failed")
_TIMED_OUT = Refused("timed_out", f"nothing came of it within {SILENCE:.0f} s", "failed")
_signs: Any = None  # of this worker: number of the input it is at, and since when


def at(number: int) -> None:
    """Give a sign of life: the work on an input, or on one of its planes, begins. Outside of a worker: nothing."""
    if _signs is not None:
        _signs[0] = number
        _signs[1] = time.monotonic()


@contextmanager
def mapper(processes: int | None, files: int, cluster: Executor | None = None) -> Iterator[Mapper]:
    """An ordered map, over processes or a cluster where that pays; see `workers`."""
    if files < IN_PROCESS:
        yield map
    elif cluster is not None:
        yield lambda function, items: compute.map_ordered(cluster, partial(alone, function), items)
    else:
        with workers(processes or compute.cores()) as spread:
            yield spread


def alone(function: Callable[[A], B], item: A) -> B:
    """Work on one item in a process beside this one, which a file may take down without the cluster's worker.

    Raises:
        EnvironmentFault: A file is not there: this machine does not see what the command saw.
    """
    for leaf in _leaves(item):
        if not leaf.refused and not os.path.lexists(leaf.path):
            raise EnvironmentFault(
                f"does not see the file of input {leaf.number}",
                where=f"worker on {platform.node()}",
                mend="Mount scans under the same path everywhere; if it was deleted meanwhile, run the command again.",
            )
    current_process().daemon = False  # Dask starts its workers as daemons, which must not have children
    if not _beside:
        _beside.append(_Worker())
    with compute.one_thread():
        (result,) = _map(_beside, function, [item])
    return result


@contextmanager
def workers(count: int) -> Iterator[Mapper]:
    """An ordered map over processes that survives them.

    The function mapped gets nested lists of leaves with ``number`` and ``refused`` (`Input`, `Probe`) and must call
    `at` before each leaf. A leaf that kills its worker twice, or holds it up for `SILENCE`, comes back to the function
    with ``refused`` set, together with its unchanged neighbours.

    Args:
        count: Processes, each with one thread.

    Raises:
        EnvironmentFault: Processes die before they begin with an input.
    """
    with compute.one_thread():
        pool = [_Worker() for _ in range(count)]
        try:
            yield partial(_map, pool)
        finally:
            for worker in pool:
                worker.stop()


@dataclass
class _Item:
    index: int
    content: Any
    deaths: list[int | None] = field(default_factory=list)  # numbers of the leaves that a worker died at


class _Worker:
    """One process, which is replaced when it dies."""

    pipe: Connection

    def __init__(self) -> None:
        # A server that forks clean processes: starting one takes milliseconds instead of the imports' seconds.
        method = "forkserver" if "forkserver" in get_all_start_methods() else "spawn"
        self._context: Any = get_context(method)
        if method == "forkserver":
            self._context.set_forkserver_preload(["medsyn.ingest.reading", "medsyn.ingest.scan"])
        self.item: _Item | None = None
        self._process: BaseProcess | None = None
        self._signs: Any = None
        self._heard = 0.0

    def give(self, function: Callable[[Any], Any], item: _Item) -> None:
        """Start on an item."""
        if self._process is None:
            self._start()
        self.item, self._signs[1], self._heard = item, 0.0, 0.0
        try:
            self.pipe.send((function, item.content))
        except OSError:  # it died idle; `wait` tells
            return

    def _start(self) -> None:
        self._signs = self._context.RawArray("d", 2)
        self.pipe, theirs = self._context.Pipe()
        self._process = self._context.Process(target=_work, args=(theirs, self._signs), daemon=True)
        self._process.start()
        theirs.close()

    def number(self) -> int | None:
        """Number of the input that the work has come to, None where it has not begun."""
        return int(self._signs[0]) if self._signs[1] else None

    def excuse(self, now: float) -> None:
        """Count silence from now on."""
        self._heard = now

    def silent_since(self) -> float:
        """Moment of the last sign of life, infinite before the first: starting may take long."""
        return max(float(self._signs[1]), self._heard) if self._signs[1] else float("inf")

    def stop(self) -> None:
        """End the process, whatever it is at."""
        if self._process is not None:
            self.pipe.close()
            if self._process.pid is not None:  # None: interrupted while it was being started
                self._process.kill()
                self._process.join()
            self._process, self.item = None, None


_beside: list[_Worker] = []
"""The process of `alone`: kept, since decoders take long to import."""


def _work(pipe: Connection, signs: Any) -> None:
    global _signs
    compute.begin_worker()
    _keep_memory()
    _signs = signs
    # Decoders in C and Rust write what they like, file names and headers included.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    while True:
        try:
            function, content = pipe.recv()
        except EOFError:
            return
        try:
            answer = True, function(content)
        except Exception as error:
            answer = False, error
        pipe.send(answer)


def _keep_memory() -> None:
    """Let glibc keep what is freed: fresh pages for every image take longer than reading it."""
    try:
        allocator = ctypes.CDLL("libc.so.6")
        allocator.mallopt(_M_MMAP_THRESHOLD, 32 * 2**20)
        allocator.mallopt(_M_TRIM_THRESHOLD, 256 * 2**20)
    except (OSError, AttributeError):  # another C library
        return


def _map(pool: list[_Worker], function: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
    for worker in pool:
        if worker.item is not None:  # of an earlier map that was left
            worker.stop()
    source = enumerate(items)
    again: list[_Item] = []
    done: dict[int, B] = {}
    given = taken = 0
    looked = time.monotonic()
    while True:
        for worker in (w for w in pool if w.item is None):
            item = again.pop(0) if again else None
            if item is None and given - taken < AHEAD * len(pool) and (new := next(source, None)):
                item, given = _Item(*new), given + 1
            if item is not None:
                worker.give(function, item)
        busy = [worker for worker in pool if worker.item is not None]
        if not busy:
            return
        ready = wait([worker.pipe for worker in busy], timeout=_LOOK)
        now = time.monotonic()
        # While whoever takes the results keeps us waiting, nobody looks.
        unattended, looked = now - looked > 4 * _LOOK, now
        for worker in busy:
            item = worker.item
            assert item is not None
            if worker.pipe in ready:
                try:
                    good, answer = worker.pipe.recv()
                except (EOFError, OSError):
                    again.append(_after_death(item, worker.number()))
                    worker.stop()
                    continue
                if not good:
                    raise answer
                done[item.index], worker.item = answer, None
            elif unattended:
                worker.excuse(now)
            elif now - worker.silent_since() > SILENCE:
                again.append(_Item(item.index, _condemn(item.content, worker.number(), _TIMED_OUT), item.deaths))
                worker.stop()
        while taken in done:
            taken += 1
            yield done.pop(taken - 1)


def _leaves(part: Any) -> Iterator[Any]:
    for inner in part.files if hasattr(part, "files") else part:
        if isinstance(inner, list) or hasattr(inner, "files"):
            yield from _leaves(inner)
        else:
            yield inner


def _after_death(item: _Item, number: int | None) -> _Item:
    """The item for a second try, without a leaf that was tried twice.

    Raises:
        EnvironmentFault: Work on it never begins.
    """
    deaths = [*item.deaths, number]
    if number is None and deaths.count(None) > 2:
        raise EnvironmentFault(
            "worker processes die before they begin",
            where="--workers",
            mend="Most likely memory ran out: use --workers 1; a script needs a main guard.",
        )
    condemned = number is not None and deaths.count(number) > 1
    return _Item(item.index, _condemn(item.content, number, _CRASHED) if condemned else item.content, deaths)


def _condemn(part: Any, number: int | None, refused: Refused) -> Any:
    """Nested lists and groups of files with the reason in the leaf of that number."""
    if isinstance(part, list):
        return [_condemn(inner, number, refused) for inner in part]
    if hasattr(part, "files"):
        return part._replace(files=_condemn(part.files, number, refused))
    return replace(part, refused=refused) if part.number == number else part
