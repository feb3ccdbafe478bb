"""SIGINT and SIGTERM while a generator is trained: noted, and heeded between two steps."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from medsyn.errors import Preempted


@contextmanager
def held() -> Iterator[list[int]]:
    """Collect signals instead of dying in the middle of a step; a second Ctrl-C is not held back.

    A second SIGTERM is: SLURM signals torchrun and its processes, and torchrun passes its own on to these.

    Yields:
        The numbers of those that came, filled as they come. Always empty outside of the main thread.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def remember(number: int, _frame: object) -> None:
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt
        received.append(number)

    previous = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def interruption(number: int) -> KeyboardInterrupt:
    """What is raised in answer to a signal once the training's state is on the disk."""
    return Preempted() if number == signal.SIGTERM else KeyboardInterrupt()
