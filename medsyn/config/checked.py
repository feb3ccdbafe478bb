"""Strict models, and one line for what is wrong in them."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from medsyn.errors import UsageError


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


M = TypeVar("M", bound=BaseModel)
MOST_BYTES = 2**18
"""Of a file of options: whatever is longer is none."""
_NOT_YAML = (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What PyYAML raises: its own errors, those of numbers and dates that are none, and of nesting without end."""


class _Loader(yaml.SafeLoader):
    """Without aliases: a few lines of them name more values than any memory holds."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not read: write the value again")
        return super().compose_node(parent, index)


def validate(model: type[M], values: dict[str, Any], where: str, typed: Mapping[str, str] | None = None) -> M:
    """Build a model, telling the first wrong key in one line.

    Args:
        model: What to build.
        values: Of its keys.
        where: Where they come from.
        typed: What a user typed for a key, where that is another word: ``--max-tries``.

    Raises:
        UsageError: A key is unknown, missing or has a wrong value.
    """
    try:
        return model(**values)
    except TypeError:
        raise UsageError("must be a table of keys and values", where=where) from None
    except ValidationError as error:
        # A misspelt key also leaves another one missing: the misspelt one is what to tell.
        first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        key = _key(first["loc"], typed or {})
        if first["type"] == "extra_forbidden":
            known = ", ".join(model.model_fields)
            raise UsageError(f"unknown key '{key}'", where=where, mend=f"Known keys: {known}.") from None
        given = f" (given: {reprlib.repr(first['input']):.60})" if first["type"] != "missing" and key else ""
        problem = first["msg"].removeprefix("Value error, ")
        raise UsageError(f"{key + ': ' if key else ''}{problem}{given}", where=where) from None


def _key(place: tuple[int | str, ...], typed: Mapping[str, str]) -> str:
    """Where something is wrong: as it was typed, or else as it stands in a file."""
    names = [part for part in place if isinstance(part, str)]
    if names and names[0] in typed:
        return " ".join([typed[names[0]], *names[1:]])
    return ".".join(map(str, place))


def read_yaml(file: Path) -> dict[str, Any]:
    """Read a table of options.

    Raises:
        UsageError: It cannot be read, is no YAML without aliases, or no table.
    """
    try:
        with open(file, "rb") as opened:
            text = opened.read(MOST_BYTES + 1)
        if len(text) > MOST_BYTES:
            raise UsageError(f"is larger than {MOST_BYTES >> 10} KiB, so it is no file of options", where=file)
        content = _Loader(text.decode("utf-8")).get_single_data()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot be read ({error})", where=file) from None
    except _NOT_YAML as error:
        raise UsageError(f"is not valid YAML ({error})", where=file) from None
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise UsageError("is not a table of keys and values", where=file)
    return content
