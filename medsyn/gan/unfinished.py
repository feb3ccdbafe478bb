"""A training under way: a hidden folder in the workspace, whole after a kill at any moment."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import load_file

from medsyn.errors import DataError, EnvironmentFault, MissingError
from medsyn.generator.checkpoint import write_tensors
from medsyn.workspace import GENERATOR, Workspace, disk_errors, read_json, write_json

STATE = "state.json"
SNAPSHOT_VERSION = 4
"""Raised with every change of the plan or of what a training remembers."""

MEND = "Delete that folder to give the training up; 'medsyn train-gan' begins anew."


class Unfinished:
    """The folder ``generators/.training-<name>-<hex>``.

    ``state.json`` names the tensor file it belongs to, and is replaced last: a kill between the two leaves the
    earlier pair.

    Args:
        path: The folder.

    Raises:
        EnvironmentFault: Another process trains in it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(path.with_name(path.name + ".lock"))
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise EnvironmentFault(
                "another process is training here", where=path, mend="Wait for it, or train without --resume."
            ) from None

    @classmethod
    def create(cls, workspace: Workspace, name: str) -> Unfinished:
        """Make a new folder, and remove those that were killed before their first snapshot."""
        workspace.create()
        for dead in (workspace.path / GENERATOR.folder).glob(".training-*"):
            if dead.is_dir() and not (dead / STATE).exists():
                with suppress(EnvironmentFault):
                    cls(dead).remove()
        path = workspace.path / GENERATOR.folder / f".training-{name}-{secrets.token_hex(4)}"
        made = cls(path)
        with disk_errors(path):
            path.mkdir()
        return made

    @classmethod
    def newest(cls, workspace: Workspace, modality: str | None, digest: str | None = None) -> Unfinished:
        """The unfinished training with the newest snapshot, of one modality and dataset digest where given.

        Raises:
            MissingError: There is none of the modality.
            EnvironmentFault: It is being trained.
        """
        found = [
            path
            for path in unfinished(workspace, modality)
            if digest is None or read_json(path / STATE).get("dataset_digest") == digest
        ]
        if not found:
            of = (f" of modality '{modality}'" if modality else "") + (" on that dataset" if digest else "")
            raise MissingError(
                f"no unfinished training{of}", where=workspace.path, mend="Run 'medsyn train-gan' without --resume."
            )
        return cls(found[-1])

    def write(self, state: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
        """Replace the snapshot."""
        file = f"training-{secrets.token_hex(4)}.safetensors"
        with disk_errors(self.path):
            write_tensors(self.path / file, tensors)
            write_json(self.path / STATE, state | {"schema": SNAPSHOT_VERSION, "tensors": file})
            for old in self.path.glob("training-*.safetensors"):
                if old.name != file:
                    old.unlink()

    def read(self) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """The last snapshot.

        Raises:
            DataError: It is another version's, or damaged.
        """
        state = read_json(self.path / STATE)
        if state.get("schema") != SNAPSHOT_VERSION:
            raise DataError(
                "was begun by another version of medsyn",
                where=self.path / STATE,
                mend="Resume it with that one, or train anew without --resume.",
            )
        try:
            return state, load_file(self.path / str(state["tensors"]))
        except (OSError, KeyError, SafetensorError) as error:
            raise DataError(f"has no readable tensors ({type(error).__name__})", where=self.path, mend=MEND) from None

    def release(self) -> None:
        """Let another process resume it; without a snapshot there is nothing to resume, and it goes."""
        lock_file = self.path.with_name(self.path.name + ".lock")
        if not (self.path / STATE).exists():
            shutil.rmtree(self.path, ignore_errors=True)
            lock_file.unlink(missing_ok=True)
        self._lock.release()

    def remove(self) -> None:
        """The training is over: nothing to resume."""
        (self.path / STATE).unlink(missing_ok=True)
        self.release()


def unfinished(workspace: Workspace, modality: str | None = None) -> list[Path]:
    """Folders of unfinished trainings that can be resumed, oldest snapshot first."""
    known = sorted(_states(workspace), key=lambda file: file.stat().st_mtime_ns)
    return [f.parent for f in known if (of := _modality(f)) is not None and modality in (None, of)]


def damaged(workspace: Workspace) -> list[Path]:
    """Folders of unfinished trainings that nobody can resume."""
    return sorted(file.parent for file in _states(workspace) if _modality(file) is None)


def _states(workspace: Workspace) -> Iterator[Path]:
    return (workspace.path / GENERATOR.folder).glob(f".training-*/{STATE}")


def _modality(state: Path) -> str | None:
    """Of an unfinished training; None where its state cannot be read."""
    try:
        return str(read_json(state)["modality"])
    except (DataError, KeyError):
        return None
