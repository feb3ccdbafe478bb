"""Rows of all accepted images in one file, on disk until the set is complete."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np


class Staging:
    """A mapped array that grows by no byte while it is filled; one that an earlier process left is gone on with.

    Args:
        file: Where it lies.
        dtype: Of its numbers.
        shape: First the images that there will be.

    Raises:
        OSError: The disk is full.
    """

    def __init__(self, file: Path, dtype: Any, shape: tuple[int, ...]) -> None:
        self.rows = np.memmap(file, dtype, "r+" if file.exists() else "w+", shape=shape)
        if hasattr(os, "posix_fallocate"):
            # Writing to a hole of a mapped file on a full disk kills the process; asking first is an error like others.
            with open(file, "r+b") as opened:
                os.posix_fallocate(opened.fileno(), 0, self.rows.nbytes)

    def digest(self, first: int, end: int) -> str:
        """SHA-256 of rows ``first`` .. ``end`` - 1."""
        return hashlib.sha256(np.ascontiguousarray(self.rows[first:end]).data).hexdigest()
