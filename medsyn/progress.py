"""How a stage tells how far it is, without knowing who listens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TypeVar

T = TypeVar("T")


class Task(Protocol):
    """One piece of work under way."""

    def update(self, done: float, note: str = "") -> None:
        """Set how many of the total are done, with a short note (losses, a name) beside it."""


class Progress(Protocol):
    """What a stage calls; the command line draws bars, a notebook may pass its own."""

    def task(self, label: str, total: float) -> AbstractContextManager[Task]:
        """Open a task of ``total`` units."""

    def say(self, text: str) -> None:
        """Tell one line: which input was chosen, a warning, a plan."""


class _SilentTask:
    def update(self, done: float, note: str = "") -> None:
        pass


class Silent:
    """The default listener: nobody."""

    @contextmanager
    def task(self, label: str, total: float) -> Iterator[Task]:
        yield _SilentTask()

    def say(self, text: str) -> None:
        pass


SILENT: Progress = Silent()


def track(progress: Progress, label: str, items: Iterable[T], total: int) -> Iterator[T]:
    """Yield ``items`` while telling ``progress`` how many are done."""
    with progress.task(label, total) as task:
        for done, item in enumerate(items, 1):
            yield item
            task.update(done)
