"""Images of one file on their way from a worker to the dataset: packed once, unpacked once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Columns = dict[str, list[Any]]
"""Column of a `medsyn.data.schema.ImageRecord` -> its value for each of some images."""


@dataclass(frozen=True)
class Block:
    """Some images of one file, in their order.

    Attributes:
        images: How many.
        columns: `Columns` as JSON; a value that all share stands there once.
        pixels: ``[n, C, H, W]`` of the dataset's dtype.
        masks: uint8 ``[n, H, W]``, zeros where an image has none; None where none has one.
        thumbnails: uint8 ``[n, SIDE, SIDE]``.
    """

    images: int
    columns: str
    pixels: bytes
    masks: bytes | None
    thumbnails: bytes

    @classmethod
    def pack(cls, columns: Columns, pixels: np.ndarray, masks: np.ndarray | None, thumbnails: np.ndarray) -> Block:
        """Make one of arrays as above."""
        packed = None if masks is None else masks.tobytes()
        return cls(len(pixels), json.dumps(_fold(columns)), pixels.tobytes(), packed, thumbnails.tobytes())


def unpack(columns: str, images: int) -> Columns:
    """The columns of a `Block`."""
    return {name: v * images if len(v) == 1 else v for name, v in json.loads(columns).items()}


def _fold(columns: Mapping[str, list[Any]]) -> Columns:
    # By identity: 0.0 equals -0.0, and True equals 1.
    return {name: v[:1] if all(one is v[0] for one in v) else v for name, v in columns.items()}
