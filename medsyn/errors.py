"""Errors a user can mend: what is wrong, where, and what to do about it."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the command line (documented in docs/pages/reference/workspace.md)."""

    OK = 0
    BUG = 1
    USAGE = 2
    DATA = 3
    MISSING = 4
    ENVIRONMENT = 5
    INTERRUPTED = 130


LONGEST = 900
"""Characters of each part of a message: a table that is quoted may hold cells of any length."""


class MedsynError(Exception):
    """A problem that the user can mend, told in one line.

    Args:
        what: What is wrong.
        where: The file, field or option it is about; may be empty.
        mend: What to do about it; may be empty.
    """

    exit_code: ExitCode = ExitCode.BUG

    def __init__(self, what: str, *, where: object = "", mend: str = "") -> None:
        self.what, self.where, self.mend = what, str(where), mend
        super().__init__(self.line())

    def line(self) -> str:
        """The whole message as one line: ``where: what. mend``."""
        where, what, mend = map(_cut, (self.where, self.what, self.mend))
        head = f"{where}: {what}" if where else what
        text = " ".join((f"{head.rstrip('.')}. {mend}" if mend else head).split())
        return "".join(c if c.isprintable() else "?" for c in text)  # what is quoted must not steer a terminal


def _cut(text: str) -> str:
    """Without its middle, where a text is too long: a traceback of another process says at its end what was wrong."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]}…{text[-LONGEST // 2 :]}"


class UsageError(MedsynError):
    """A wrong option, configuration key or value."""

    exit_code = ExitCode.USAGE


class DataError(MedsynError):
    """Input that cannot be used as it is."""

    exit_code = ExitCode.DATA


class MissingError(MedsynError):
    """Something an earlier stage has to make first."""

    exit_code = ExitCode.MISSING


class EnvironmentFault(MedsynError):
    """The machine refuses: disk full, no permission, a folder in use."""

    exit_code = ExitCode.ENVIRONMENT


class AlreadyTold(MedsynError):
    """Another process of the same command has told what is wrong: this one ends without a word.

    Args:
        exit_code: Of the process.
    """

    def __init__(self, exit_code: ExitCode) -> None:
        self.exit_code = exit_code
        super().__init__("another process of this command has told what is wrong")


class Preempted(KeyboardInterrupt):
    """SIGTERM came while a generator was trained; all that a resumed training needs has been written."""
