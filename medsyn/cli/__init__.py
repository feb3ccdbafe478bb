"""The command line: each command parses, calls one stage and prints its result."""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from typing import Any

import typer

from medsyn import manner, terminal
from medsyn.cli.application import app
from medsyn.errors import ExitCode, UsageError
from medsyn.manner import Manner

__all__ = ["app", "main"]

# They register their commands, in the order of --help.
for _module in ("stages", "looking", "judging", "sets", "operations", "whole"):
    import_module(f"medsyn.cli.{_module}")

CLICK_ERROR: Any = typer.BadParameter.__mro__[2]  # click's ClickException, which Typer may bring along as its own


def _terminate(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Entry point: wrong options too end with one line."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = app(standalone_mode=False)
    except typer.Abort:
        code = ExitCode.INTERRUPTED
    except CLICK_ERROR as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "medsyn"
        message = error.format_message()  # empty where help was shown for want of a command
        if message:
            # A wrong option keeps those after it from being read.
            manner.current = Manner(as_json="--json" in sys.argv, log_json=os.environ.get("MEDSYN_LOG") == "json")
            terminal.speak(manner.current)
            terminal.fail(UsageError(message, where=command, mend=f"See '{command} --help'."), ExitCode.USAGE)
        code = ExitCode.USAGE
    sys.exit(code if isinstance(code, int) else 0)
