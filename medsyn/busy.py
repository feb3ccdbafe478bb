"""That a command is at work, where nothing else shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


class Busy:
    """Shows that a command is at work wherever it has shown no bar for `AFTER` seconds: importing, committing.

    Args:
        console: Of standard error; nothing is shown where it is no terminal that can move its cursor.
        wanted: Whether anything is to be shown at all.
    """

    AFTER = 2.0

    def __init__(self, console: Console, wanted: Callable[[], bool]) -> None:
        self._console, self._wanted = console, wanted
        self._timer: Timer | None = None
        self._shown: Progress | None = None
        self._on = False
        self._bars = 0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Watch over a whole command."""
        self._on = self._wanted() and self._console.is_interactive
        self._wait()
        try:
            yield
        finally:
            self._on = False
            self._stop()

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Within, a bar is shown."""
        self._bars += 1
        self._stop()
        try:
            yield
        finally:
            self._bars -= 1
            self._wait()

    def rest(self) -> None:
        """Give way to what is printed, for `AFTER` seconds."""
        self._stop()
        self._wait()

    def _wait(self) -> None:
        if self._on and not self._bars:
            self._timer = Timer(self.AFTER, self._show)
            self._timer.daemon = True
            self._timer.start()

    def _show(self) -> None:
        columns = (TextColumn(" "), SpinnerColumn("line", style="dim"), TextColumn("[dim]at work"), TimeElapsedColumn())
        # Standard output stays what it is: it may lead elsewhere.
        self._shown = Progress(*columns, console=self._console, transient=True, redirect_stdout=False)
        self._shown.add_task("", total=None)
        self._shown.start()

    def _stop(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
            timer.join()  # it may be showing at this moment
        shown, self._shown = self._shown, None
        if shown is not None:
            shown.stop()
