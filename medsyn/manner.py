"""How a command speaks: for people or as JSON, how much, and in which form its log lines come."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from medsyn.torchrun import launched


@dataclass
class Manner:
    """Of the command that runs in this process.

    Attributes:
        as_json: One JSON object on standard output, everything else on standard error.
        quiet: No progress, no notices, no summary: only what was asked for, warnings and errors.
        verbose: Log lines on standard error as they come.
        log_json: Everything on standard error, and the log file, as one JSON object a line.
        answered: Whether the JSON object has been printed.
    """

    as_json: bool = False
    quiet: bool = False
    verbose: bool = False
    log_json: bool = False
    answered: bool = False


current = Manner()


def _nothing() -> None:
    pass


before_answering: Callable[[], None] = _nothing
"""Set by whoever draws on the terminal: makes room there."""


def answer(value: Any) -> None:
    """Print the command's one JSON object; what comes after the first is no answer any more."""
    if current.answered or launched()[0] > 0:
        return
    current.answered = True
    text = json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # A file name may hold bytes that are no text: as \udcXX they are JSON, and lead back to the file.
    text = text.encode("utf-8", "backslashreplace").decode()
    before_answering()
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough; nor may Python's last flush complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def plain(value: Any) -> Any:
    """A value as JSON takes it: dataclasses and models as objects, paths as text, what is not finite as null."""
    if hasattr(value, "model_dump"):
        return plain(value.model_dump(mode="python"))
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(content) for key, content in value.items()}
    if isinstance(value, Set):
        return sorted(map(plain, value))
    if isinstance(value, list | tuple):
        return [plain(content) for content in value]
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # NumPy's
        return plain(value.tolist())
    return str(value)
