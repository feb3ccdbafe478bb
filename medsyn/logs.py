"""Log lines: into the workspace's file, and to standard error; as text, or as one JSON object a line."""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.text import Text

FACTS = "facts"
"""Attribute of a record with what a JSON line tells besides its message."""
SPOKEN = "spoken"
"""Attribute of a record that is meant for whoever typed the command: it may name their files, so no file keeps it."""


class JsonLines(logging.Formatter):
    """One object a line: time (UTC), level, logger, message, and the facts that the record brings."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, FACTS, {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True, default=str)


class LogFile(logging.Handler):
    """Appends to ``logs/medsyn.log`` of a workspace once that exists: a failed start must not make one.

    Args:
        folder: ``logs`` of the workspace.
        as_json: Lines of JSON in place of text.
    """

    def __init__(self, folder: Path, *, as_json: bool = False) -> None:
        super().__init__(logging.INFO)
        self.file = folder / "medsyn.log"
        text = logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s")
        self.setFormatter(JsonLines() if as_json else text)

    def emit(self, record: logging.LogRecord) -> None:
        if hasattr(record, SPOKEN):
            return
        # A workspace that cannot be written is told by the command's own error.
        with suppress(OSError):
            if self.file.parent.is_dir():
                with open(self.file, "a", encoding="utf-8") as file:
                    file.write(self.format(record) + "\n")


class OnConsole(logging.Handler):
    """Prints above the progress bars of a console.

    Args:
        console: Where to.
        level: Of the lines that are shown, at least.
        as_json: Lines of JSON in place of text.
        dated: Whether text has time and place.
    """

    def __init__(self, console: Console, level: int, *, as_json: bool = False, dated: bool = False) -> None:
        super().__init__(level)
        self.console = console
        text = logging.Formatter("  %(asctime)s %(name)s: %(message)s" if dated else "  %(message)s", "%H:%M:%S")
        self.setFormatter(JsonLines() if as_json else text)

    def emit(self, record: logging.LogRecord) -> None:
        # A line of a log stays one line however long it is.
        self.console.print(Text(self.format(record)), soft_wrap=True)
