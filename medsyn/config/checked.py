"""Strict models, and one line for what is wrong in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from medsyn.errors import UsageError


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


M = TypeVar("M", bound=BaseModel)


def validate(model: type[M], values: dict[str, Any], where: str) -> M:
    """Build a model, telling the first wrong key in one line.

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
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = ", ".join(model.model_fields)
            raise UsageError(f"unknown key '{key}'", where=where, mend=f"Known keys: {known}.") from None
        given = f" (given: {first['input']!r:.60})" if first["type"] != "missing" and key else ""
        problem = first["msg"].removeprefix("Value error, ")
        raise UsageError(f"{key + ': ' if key else ''}{problem}{given}", where=where) from None


def read_yaml(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot be read ({error})", where=file) from None
    except yaml.YAMLError as error:
        raise UsageError(f"is not valid YAML ({error})", where=file) from None
    if not isinstance(content, dict):
        raise UsageError("is not a table of keys and values", where=file)
    return content
