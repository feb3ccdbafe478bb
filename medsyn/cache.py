"""What takes long to compute, by digest of everything it depends on: one more ratio costs only that ratio."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from filelock import FileLock

from medsyn.workspace import Workspace, atomic_file, private_folder

VERSION = 3
"""Counts up whenever code that fills the cache computes something else."""


def digest(*parts: Any) -> str:
    """SHA-256 of arrays (type, shape and bytes) and of what JSON can write."""
    found = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            found.update(f"{part.dtype}{part.shape}".encode())
            found.update(np.ascontiguousarray(part).tobytes())
        else:
            found.update(json.dumps(part, sort_keys=True, default=str).encode())
        found.update(b"\x1f")
    return found.hexdigest()


class Cache:
    """Arrays in ``cache/`` of a workspace; the folder may be deleted at any time.

    Args:
        workspace: Where it lies.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.path = workspace.path / "cache"

    def get(self, kind: str, key: str, *names: str) -> dict[str, np.ndarray] | None:
        """What was put under this key, or None; of some names, or all of it."""
        try:
            with np.load(self._file(kind, key), allow_pickle=False) as arrays:
                return {name: arrays[name] for name in names or arrays.files}
        except (OSError, ValueError, EOFError, KeyError, BadZipFile):  # not there, or damaged: computed again
            return None

    def has(self, kind: str, key: str) -> bool:
        return self._file(kind, key).is_file()

    def put(self, kind: str, key: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep arrays under a key."""
        file = self._file(kind, key)
        private_folder(self.path)  # features are of patients
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(file) as partial, open(partial, "wb") as out:
            given: dict[str, Any] = dict(arrays)
            np.savez(out, **given)

    @contextmanager
    def alone(self, kind: str) -> Iterator[None]:
        """Let one process at a time compute this kind: the others wait, and then find what it has put."""
        private_folder(self.path)
        with FileLock(self.path / f"{kind}.lock"):
            yield

    def _file(self, kind: str, key: str) -> Path:
        return self.path / kind / key[:2] / f"{key[:40]}.npz"
