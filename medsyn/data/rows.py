"""Rows of raw files and of ``.npy`` files, read and written without ever holding all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medsyn.data.likeness import SIDE

PORTION = 2**22
"""Bytes that are copied at a time."""


@dataclass(frozen=True)
class Rows:
    """Some rows of a raw file, or of a ``.npy`` file behind its head.

    Attributes:
        file: The file; rows that it ends before are zeros.
        places: Which rows of it, int ``[n]``.
        shape: Of one row.
        dtype: Of its values.
        offset: Bytes before the first row.
    """

    file: Path
    places: np.ndarray
    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int = 0

    def __len__(self) -> int:
        return len(self.places)

    def read(self, of: np.ndarray | slice) -> np.ndarray:
        """Some of them, ``[m, *shape]``. Read, not mapped: mapped pages stay in memory."""
        wanted = self.places[of]
        out = np.zeros((len(wanted), *self.shape), self.dtype)
        size = self._size
        target = out.reshape(-1).view(np.uint8).data
        edges = np.flatnonzero(np.diff(wanted) != 1) + 1
        with open(self.file, "rb", buffering=0) as source:
            for low, high in zip([0, *edges], [*edges, len(wanted)], strict=True):
                if high > low:
                    source.seek(self.offset + int(wanted[low]) * size)
                    source.readinto(target[low * size : high * size])
        return out

    def save(self, file: Path) -> str:
        """Write them as ``.npy``; its SHA-256."""
        digest = hashlib.sha256()
        step = max(1, PORTION // self._size)
        with open(file, "w+b") as out:
            head = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False}
            np.lib.format.write_array_header_1_0(out, {**head, "shape": (len(self), *self.shape)})
            out.seek(0)
            digest.update(out.read())
            for start in range(0, len(self), step):
                portion = self.read(slice(start, start + step)).data
                out.write(portion)
                digest.update(portion)
        return digest.hexdigest()

    @property
    def _size(self) -> int:
        return self.dtype.itemsize * int(np.prod(self.shape))


@dataclass(frozen=True)
class Pictures:
    """Thumbnails, mostly on disk: uint8 ``[n, SIDE, SIDE]``, of which slices and rows are arrays."""

    parts: Sequence[Rows | np.ndarray] = ()

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __getitem__(self, of: np.ndarray | slice) -> np.ndarray:
        if isinstance(of, slice):
            of = np.arange(*of.indices(len(self)))
        out, start = np.empty((len(of), SIDE, SIDE), np.uint8), 0
        for part in self.parts:
            here = (of >= start) & (of < start + len(part))
            rows = of[here] - start
            out[here] = part.read(rows) if isinstance(part, Rows) else part[rows]
            start += len(part)
        return out
