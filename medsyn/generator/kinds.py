"""Parts of config.json: each names its kind, and gives that kind's sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from medsyn.errors import DataError

Part = TypeVar("Part")


def kind_and_sizes(config: Mapping[str, Any], known: Mapping[str, Part], what: str) -> tuple[Part, dict[str, Any]]:
    """What makes a part of a generator, and the sizes to make it with.

    Args:
        config: The part's ``kind`` and all its sizes.
        known: What makes such parts, by kind.
        what: Such a part, in words.

    Raises:
        DataError: A kind that this medsyn does not know.
    """
    kind: Any = config.get("kind")
    if kind not in known:
        raise DataError(f"{what} '{kind}' is not known", where="config.json", mend="Upgrade medsyn.")
    return known[kind], {name: size for name, size in config.items() if name != "kind"}
