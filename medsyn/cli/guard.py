"""Every end of a command: one clear line and a documented exit code."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from medsyn import manner, terminal
from medsyn.errors import AlreadyTold, ExitCode, MedsynError, Preempted, UsageError
from medsyn.logs import LogFile
from medsyn.torchrun import launched
from medsyn.workspace import Workspace

if TYPE_CHECKING:
    from pydantic import BaseModel

M = TypeVar("M", bound="BaseModel")

log = logging.getLogger("medsyn")

TYPED = {
    "paths": "PATHS",
    "label_columns": "--label-column",
    "label_map": "--map",
    "knobs": "--set",
    "formats": "--format",
    "classifiers": "--classifier",
    "ratios": "--ratio",
    "fractions": "--fraction",
}
"""Arguments that are typed otherwise than they are called."""


def open_workspace(folder: Path | None) -> Workspace:
    """The workspace of a command that acts in it, and keeps its log there."""
    workspace = Workspace(folder)
    for old in [handler for handler in log.handlers if isinstance(handler, LogFile)]:
        log.removeHandler(old)
    log.addHandler(LogFile(workspace.logs, as_json=manner.current.log_json))
    return workspace


def options_of(model: type[M], arguments: Mapping[str, Any], command: str) -> M:
    """What was given of a command's arguments, checked; what was not has the model's own defaults."""
    from medsyn.config import validate  # pydantic, which --help does without

    given = {key: value for key, value in arguments.items() if value not in (None, [])}
    typed = {key: TYPED.get(key, option(key)) for key in given}
    return validate(model, given, where=f"medsyn {command}", typed=typed)


def option(key: str) -> str:
    return f"--{key.replace('_', '-')}"


@contextmanager
def guard(preempted: ExitCode = ExitCode.INTERRUPTED) -> Iterator[None]:
    """Turn every end of a command into one clear line and a documented exit code.

    Args:
        preempted: The code where SIGTERM ended a training that can go on.
    """
    try:
        with terminal.at_work():
            yield
    except AlreadyTold as error:
        code = error.exit_code
    except MedsynError as error:
        log.info("stopped: %s, exit code %d", type(error).__name__, error.exit_code)
        if not (isinstance(error, UsageError) and launched()[0]):  # all processes have the same options
            terminal.fail(error, error.exit_code)
        code = error.exit_code
    except Preempted:
        log.info("preempted")
        terminal.notice("ended by SIGTERM; the training's state is kept: train-gan --resume goes on with it")
        code = preempted
    except KeyboardInterrupt:
        log.info("interrupted")
        terminal.fail(
            "interrupted: no half-made result is left; run the command again, and what was kept is not done twice (a "
            "training that had begun: with --resume; a synthetic set and an evaluation go on by themselves).",
            ExitCode.INTERRUPTED,
        )
        code = ExitCode.INTERRUPTED
    except typer.Exit:
        raise
    except Exception as error:
        # The message of a foreign exception may quote a header: the log gets the place only.
        log.info("bug: %s\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))
        text = " ".join(str(error).split())
        if manner.current.verbose:
            terminal.err.print(traceback.format_exc(), markup=False)
        terminal.fail(
            f"unexpected {type(error).__name__}: {text}. This is a bug in medsyn; the log has the place.", ExitCode.BUG
        )
        code = ExitCode.BUG
    else:
        return
    if manner.current.as_json:
        manner.answer({"exit_code": int(code)})  # where nothing has been told
    raise typer.Exit(int(code))
