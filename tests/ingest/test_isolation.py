"""A file that kills or hangs its worker costs that file, and nothing else."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from multiprocessing import active_children
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from medsyn.errors import EnvironmentFault
from medsyn.ingest import isolation
from medsyn.ingest.source import Refused


@dataclass(frozen=True)
class Leaf:
    number: int
    does: str = ""
    refused: Refused | None = None


def work(leaves: list[Leaf]) -> list[tuple[int, str]]:
    return [_one(leaf) for leaf in leaves]


def work_groups(groups: list[list[Leaf]]) -> list[tuple[int, str]]:
    return [result for group in groups for result in work(group)]


def _one(leaf: Leaf) -> tuple[int, str]:
    isolation.at(leaf.number)
    if leaf.refused:
        return leaf.number, leaf.refused.reason
    if leaf.does == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if leaf.does == "exit":
        os._exit(0)
    if leaf.does == "hang":
        time.sleep(600)
    if leaf.does == "slow":
        for _ in range(6):
            time.sleep(0.3)
            isolation.at(leaf.number)
    if leaf.does.startswith("/") and not os.path.exists(leaf.does):
        Path(leaf.does).touch()
        os._exit(1)
    if leaf.does == "bug":
        raise ZeroDivisionError
    return leaf.number, "good"


def test_the_culprit_is_told_and_its_neighbours_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "SILENCE", 1.0)
    does = {3: "segfault", 8: "exit", 9: "hang", 15: "slow", 21: str(tmp_path / "once"), 22: "segfault", 24: "hang"}
    leaves = [Leaf(n, does.get(n, "")) for n in range(1, 31)]
    chunks = [leaves[i : i + 5] for i in range(0, 30, 5)]
    bad = {3: "crashed", 8: "crashed", 9: "timed_out", 22: "crashed", 24: "timed_out"}
    with isolation.workers(2) as mapper:
        results = list(mapper(work, chunks))
        grouped = list(mapper(work_groups, [[chunks[0], chunks[1]], [chunks[2]]]))
    assert results == [[(leaf.number, bad.get(leaf.number, "good")) for leaf in chunk] for chunk in chunks]
    assert [n for part in grouped for n in part] == [(n, bad.get(n, "good")) for n in range(1, 16)]


def test_the_items_are_taken_as_they_are_needed() -> None:
    taken = []

    def chunks() -> object:
        for n in range(1, 101):
            taken.append(n)
            yield [Leaf(n)]

    with isolation.workers(2) as mapper:
        results = mapper(work, chunks())
        assert next(results) == [(1, "good")]
        assert len(taken) <= 2 * isolation.AHEAD
        assert [part[0][0] for part in results] == list(range(2, 101))
        # A map that is left half-way leaves nothing to the next.
        assert next(mapper(work, [[Leaf(n, "slow")] for n in range(9)])) == [(0, "good")]
        assert list(mapper(work, [[Leaf(200)]])) == [[(200, "good")]]


def test_an_error_of_the_function_comes_through() -> None:
    with isolation.workers(1) as mapper, pytest.raises(ZeroDivisionError):
        list(mapper(work, [[Leaf(1, "bug")]]))


class Deadly:
    """Ends the process that unpickles it."""

    number = 70

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return os._exit, (1,)


def test_workers_that_never_begin_end_the_run() -> None:
    with isolation.workers(2) as mapper, pytest.raises(EnvironmentFault, match="before they begin"):
        list(mapper(work, [[Leaf(1)], [Leaf(2), Deadly()]]))


def test_an_interrupt_while_a_worker_starts_leaves_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    start, begun, before = BaseProcess.start, list[BaseProcess](), active_children()

    def start_or_interrupt(process: BaseProcess) -> None:
        begun.append(process)
        if len(begun) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        start(process)

    monkeypatch.setattr(BaseProcess, "start", start_or_interrupt)
    # What runs in the background of a shell is born deaf to SIGINT.
    heard = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), isolation.workers(3) as mapper:
            list(mapper(work, [[Leaf(n, "hang")] for n in range(3)]))
    finally:
        signal.signal(signal.SIGINT, heard)
    assert [process.pid is None for process in begun] == [False, True]
    assert active_children() == before
