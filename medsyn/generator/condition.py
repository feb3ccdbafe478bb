"""What a generator can be asked for: a vector with a schema, so that further labels need no new checkpoint format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from medsyn.errors import DataError

CLASS = "class"


def width(schema: Mapping[str, Any]) -> int:
    """Length of a condition vector.

    Args:
        schema: ``condition_schema`` of dataset.json: name -> ``{"kind": "categorical", "values": [...]}``,
            each one block of the vector; the classes come first.

    Raises:
        DataError: No classes first, or a kind that this medsyn does not know.
    """
    if next(iter(schema), None) != CLASS:
        raise DataError("the condition schema does not begin with the classes", where="config.json")
    for name, block in schema.items():
        if block.get("kind") != "categorical":
            raise DataError(
                f"condition '{name}' is of kind '{block.get('kind')}'", where="config.json", mend="Upgrade medsyn."
            )
    return sum(len(block["values"]) for block in schema.values())


def of_classes(labels: torch.Tensor, schema: Mapping[str, Any]) -> torch.Tensor:
    """Condition vectors that say the class and leave every other block at zero, which means unknown.

    Args:
        labels: Class indices, int64 ``[n]``.
        schema: See `width`.

    Returns:
        float32 ``[n, width]``.
    """
    out = torch.zeros(len(labels), width(schema), device=labels.device)
    return out.scatter_(1, labels[:, None], 1.0)
