"""Options that are texts of a certain form: where one has another form, the message shows which there are."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from medsyn.errors import UsageError

WINDOWS: dict[str, tuple[float, float]] = {
    "lung": (-600.0, 1500.0),
    "soft": (40.0, 400.0),
    "brain": (40.0, 80.0),
    "bone": (480.0, 2500.0),
}
"""Usual windows of CT: centre and width in Hounsfield units."""


def _written(pattern: str, forms: str) -> AfterValidator:
    def check(text: str) -> str:
        if re.fullmatch(pattern, text) is None:
            raise ValueError(f"say {forms}")
        return text

    return AfterValidator(check)


def _window(value: object) -> tuple[float, float]:
    if isinstance(value, str) and value in WINDOWS:
        return WINDOWS[value]
    try:
        centre, width = map(float, value.split(",") if isinstance(value, str) else value)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        centre = width = math.nan
    if not (math.isfinite(centre) and math.isfinite(width) and width > 0):
        raise ValueError(f"say {', '.join(WINDOWS)}, or centre,width in Hounsfield units as in 40,400")
    return centre, width


def named_values(value: object, form: str) -> object:
    """A list of ``name=value``, as the command line gives it, to a mapping; anything else as it is."""
    if not isinstance(value, list):
        return value
    if not all(isinstance(pair, str) and "=" in pair for pair in value):
        raise ValueError(form)
    return dict(pair.split("=", 1) for pair in value)


def search_keys(value: object) -> dict[str, str]:
    """What an archive is searched by: a mapping, or a list of ``KEYWORD=VALUE``, each keyword once.

    Raises:
        UsageError: Anything else. Not a `ValueError`, whose message would quote the value, which may name a patient.
    """
    wrong = UsageError("write KEYWORD=VALUE, each keyword once", where="--query", mend="As in --query Modality=CR.")
    if isinstance(value, Mapping):
        pairs = list(value.items())
    elif isinstance(value, list) and all(isinstance(pair, str) and "=" in pair for pair in value):
        pairs = [tuple(pair.split("=", 1)) for pair in value]
    else:
        raise wrong
    if len(dict(pairs)) < len(pairs) or not all(isinstance(v, str | int | float) for pair in pairs for v in pair):
        raise wrong
    return {str(keyword).strip(): str(text).strip() for keyword, text in pairs}


Cluster = Annotated[
    str,
    _written(
        r"(tcp|tls)://(\[[0-9a-fA-F:]+\]|[A-Za-z0-9_.-]+):\d+", "the scheduler's address as in tcp://scheduler:8786"
    ),
]
Device = Annotated[
    str, _written(r"auto|cpu|mps|cuda(:\d+)?", "auto, cpu, mps or cuda; one of several devices as in cuda:1")
]
Name = Annotated[
    str,
    _written(
        r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}",
        "at most 64 of A-Z a-z 0-9 . _ -, with a letter or figure first, as in chest-2024",
    ),
]
LabelFrom = Annotated[
    str, _written(r"folder|tag:[A-Za-z0-9]+", "folder, or tag: and a DICOM keyword as in tag:BodyPartExamined")
]
MaskRule = Annotated[
    str,
    _written(
        r"\s*[A-Za-z0-9_.-]+\s*(>|>=|=)\s*\d+\s*",
        'a class and its values in the mask, NAME>N, NAME>=N or NAME=N, as in "lesion>0" (with the quotes)',
    ),
]
Slices = Annotated[str, _written(r"all|middle|every=[1-9]\d*", "all, middle, or every=N as in every=5")]
Window = Annotated[tuple[float, float], BeforeValidator(_window)]
