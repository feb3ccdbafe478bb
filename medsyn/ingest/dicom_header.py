"""Values of a DICOM header that may be missing, of the wrong kind, or nested in functional groups."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

from pydicom import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag


@cache
def _tag(keyword: str) -> BaseTag:
    return Tag(keyword)


def value(header: Dataset, keyword: str) -> Any:
    """The value of an element, None where it is missing, empty or cannot be read."""
    tag = _tag(keyword)
    try:
        # Much quicker than asking by keyword where most elements are missing.
        found = header[tag].value if tag in header else None
    except Exception:  # a wrong VR raises whatever its conversion raises
        return None
    return None if found is None or (isinstance(found, str) and found == "") else found


def nested(header: Dataset, keyword: str, group: str, frame: int) -> Any:
    """A value from the frame's functional groups, the shared ones, or the top level (PS3.3 C.7.6.16.1.1)."""
    for sequence, place in (("PerFrameFunctionalGroupsSequence", frame), ("SharedFunctionalGroupsSequence", 0)):
        groups = value(header, sequence)
        if isinstance(groups, Sequence) and place < len(groups):
            inner = value(groups[place], group)
            found = value(inner[0], keyword) if isinstance(inner, Sequence) and inner else None
            if found is not None:
                return found
    return value(header, keyword)


def many(found: Any) -> list[Any]:
    """The values of an element as a list."""
    if found is None or (isinstance(found, str) and found == ""):
        return []
    return list(found) if not isinstance(found, str | bytes) and hasattr(found, "__iter__") else [found]


def numbers(header: Dataset, keyword: str, group: str = "", frame: int = 0) -> list[float]:
    """Finite numbers, or an empty list."""
    found = nested(header, keyword, group, frame) if group else value(header, keyword)
    try:
        values = [float(v) for v in many(found)]
    except (TypeError, ValueError):
        return []
    return values if all(map(math.isfinite, values)) else []


def first(header: Dataset, keyword: str, group: str, frame: int) -> float | None:
    """The first number, or None."""
    return next(iter(numbers(header, keyword, group, frame)), None)


def integer(header: Dataset, keyword: str, default: int = 0) -> int:
    """A whole number, or the default where there is none."""
    found = numbers(header, keyword)
    return int(found[0]) if found else default


def text(header: Dataset, keyword: str) -> str:
    """The first value as text; an empty one where there is none, or one that is no text (a sequence, bytes)."""
    values = many(value(header, keyword))
    return str(values[0]).strip().strip("\0") if values and not isinstance(values[0], Dataset | bytes) else ""


def items(header: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence, or an empty list."""
    found = value(header, keyword)
    return list(found) if isinstance(found, Sequence) else []
