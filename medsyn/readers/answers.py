"""The file that the page saves: what a reader has answered."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from medsyn.errors import DataError, UsageError
from medsyn.readers.cases import Truth
from medsyn.readers.study import Study

LARGEST = 2**22
"""Bytes of a file of answers; 2,000 cases need a quarter of it."""

KIND = "medsyn reader-study answers"
_SAVE = "Save the answers again from the reader's browser."
_Text = Annotated[str, Field(min_length=1, max_length=200)]
_Count = Annotated[int, Field(ge=0, le=10**9)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Answer(_Table):
    """The calls on one case. The order of these fields is that of the checksum."""

    case: _Text
    call: Truth
    label: str
    call_ms: _Count
    label_ms: _Count
    undone: _Count


class Answers(_Table):
    """One reader's answers, in the order of the page."""

    kind: Literal["medsyn reader-study answers"]
    schema_version: Literal[1]
    study: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    reader: _Text
    session: _Text
    started: _Text
    answers: Annotated[list[Answer], Field(max_length=10_000)]
    checksum: _Text

    def sum(self) -> str:
        """CRC-32 of the content: finds what was damaged or edited without care, not what was forged."""
        rows = ["\t".join(map(str, answer.model_dump().values())) for answer in self.answers]
        text = "\n".join([self.study, self.reader, self.session, self.started, *rows])
        return f"{zlib.crc32(text.encode()):08x}"


def read(file: Path) -> Answers:
    """Read a file of answers.

    Raises:
        DataError: Not such a file, or not as the page saved it.
    """
    try:
        if file.stat().st_size > LARGEST:
            raise DataError(f"is larger than any file of answers ({LARGEST // 2**20} MiB)", where=file)
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError("no such file", where=file) from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"cannot be read as JSON ({error})", where=file, mend=_SAVE) from None
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise DataError("is no file of a reader's answers", where=file, mend=f"{_SAVE} It is named answers-*.json.")
    try:
        found = Answers.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{place}: {first['msg']}", where=file, mend=_SAVE) from None
    if found.sum() != found.checksum:
        raise DataError("was changed since the page saved it: its checksum does not fit", where=file, mend=_SAVE)
    return found


def check(found: Answers, study: Study, file: Path) -> None:
    """Refuse answers that the page of this study cannot have saved, or that say too little.

    Raises:
        DataError: Other cases, another order, an unknown class, or no case of one kind.
    """
    asked = [case.case for case in study.cases]
    given = [answer.case for answer in found.answers]
    if given != asked[: len(given)]:
        raise DataError("does not hold the cases of its study in their order", where=file, mend=_SAVE)
    unknown = next((a.label for a in found.answers if a.label not in study.classes), None)
    if unknown is not None:
        raise DataError(f"names the class '{unknown}', which its study does not know", where=file, mend=_SAVE)
    if len({case.truth for case in study.cases[: len(given)]}) < 2:
        raise DataError(
            f"answers {len(given)} of {len(asked)} cases: too few to measure anything",
            where=file,
            mend="Open the page in the same browser, go on, and save again.",
        )


def check_together(found: Sequence[Answers], files: Sequence[Path]) -> None:
    """Refuse files that may not be scored together.

    Raises:
        UsageError: No file, several studies, or a reader twice.
    """
    if not found:
        raise UsageError("names no file of answers", where="--score", mend="As in --score answers-*.json.")
    for answers, file in zip(found[1:], files[1:], strict=True):
        if answers.study != found[0].study:
            raise UsageError(
                f"answers study {answers.study}, but {files[0].name} answers {found[0].study}",
                where=file,
                mend="Score studies one by one.",
            )
    for key in ("session", "reader"):
        seen: dict[str, Path] = {}
        for answers, file in zip(found, files, strict=True):
            value = getattr(answers, key)
            if value in seen:
                raise UsageError(
                    f"is of reader '{answers.reader}', as {seen[value].name} is",
                    where=file,
                    mend="A reader counts once: name the file that was saved last.",
                )
            seen[value] = file
