"""Objects of the user's own, named as ``module:name``."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from medsyn.errors import UsageError


def load(name: str, option: str, folder: str | Path | None = None) -> Callable[..., Any]:
    """Import what ``module:name`` names.

    Args:
        name: For example ``mine:factory``; dots may follow the colon.
        option: Which option named it, for the message.
        folder: Searched besides Python's own places; default: the current folder, which a command line started by its
            own name does not search.

    Raises:
        UsageError: No such module or name, an error while importing, or nothing that can be called.
    """
    module_name, _, path = name.partition(":")
    if not module_name or not path:
        raise UsageError(f"'{name}' is not of the form module:name", where=option, mend="Write, say, mine:factory.")
    place = str(Path(folder or ".").absolute())
    if place not in sys.path:
        # Last, so that a file of the user's never hides an installed package.
        sys.path.append(place)
    importlib.invalidate_caches()
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        asked = error.name is not None and (module_name == error.name or module_name.startswith(error.name + "."))
        what = f"no module '{error.name}'" if asked else f"'{module_name}' needs module '{error.name}', which is absent"
        mend = f"It is looked for in {place} and among installed packages." if asked else "Install it."
        raise UsageError(what, where=f"{option} {name}", mend=mend) from None
    except Exception as error:
        raise UsageError(
            f"'{module_name}' cannot be imported ({type(error).__name__}: {error})",
            where=f"{option} {name}",
            mend=f"Try: python -c 'import {module_name}'.",
        ) from error
    found: Any = module
    for part in path.split("."):
        if not hasattr(found, part):
            raise UsageError(f"'{module_name}' has no '{path}'", where=f"{option} {name}", mend="Check the spelling.")
        found = getattr(found, part)
    if not callable(found):
        raise UsageError(
            f"'{path}' is a {type(found).__name__}, which cannot be called",
            where=f"{option} {name}",
            mend="Name a function or a class.",
        )
    return found


def fingerprint(name: str, option: str) -> str:
    """What identifies a built-in or the user's own object: of the latter also the text of its module.

    Args:
        name: A built-in's name, or ``module:name``.
        option: Which option named it, for the message.

    Returns:
        The name, and for the user's own the SHA-256 of its file, so that a change of the code does not go unnoticed.

    Raises:
        UsageError: As `load`.
    """
    if not re.fullmatch(r"[\w.]+:[\w.]+", name):
        return name
    file = getattr(inspect.getmodule(load(name, option)), "__file__", None)
    return f"{name} {hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ''}"
