"""What is in a workspace: results by what they were made from, what is stale, damaged, unfinished."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from medsyn.errors import DataError, MissingError
from medsyn.operations import damage, gc
from medsyn.operations.items import Item, read, size
from medsyn.operations.lineage import lineage
from medsyn.operations.underway import Begun, begun
from medsyn.progress import SILENT, Progress
from medsyn.workspace import KINDS, Workspace, free_bytes


@dataclass(frozen=True)
class Status:
    """A workspace at one moment.

    Attributes:
        workspace: The folder.
        bytes: Of everything in it.
        free_bytes: On its disk.
        results: Trees of results, oldest first: below each what was made from it.
        unfinished: What was begun, and how to go on with it.
        removable: Bytes that `medsyn gc` would free.
        other: Bytes of what is no result: folder or file of the workspace -> bytes.
    """

    workspace: Path
    bytes: int
    free_bytes: int
    results: list[Item]
    unfinished: list[Begun]
    removable: int
    other: dict[str, int]

    def all(self) -> Iterator[Item]:
        """Every result."""
        waiting = list(self.results)
        while waiting:
            item = waiting.pop()
            waiting += item.derived
            yield item

    def error(self) -> DataError | None:
        """That something is damaged, to end a command or a script with."""
        damaged = sorted((item.kind, item.name) for item in self.all() if item.damaged)
        if not damaged:
            return None
        shown = ", ".join(f"{kind} {name}" for kind, name in damaged[:5])
        return DataError(
            f"{len(damaged)} damaged: {shown}" + (", ..." if len(damaged) > 5 else ""),
            where=self.workspace,
            mend="Put the files back, or make it again and remove the damaged one: medsyn gc FOLDER/NAME.",
        )


def status(workspace: Workspace, *, check: bool = False, progress: Progress = SILENT) -> Status:
    """Look at a workspace; nothing is written, and what is at work in it is not disturbed.

    Args:
        workspace: The workspace.
        check: Compare the SHA-256 of every file that has one, which takes as long as reading them.
        progress: Listener.

    Raises:
        MissingError: There is no such folder.
    """
    if not workspace.path.is_dir():
        raise MissingError("no workspace yet", where=workspace.path, mend="Run 'medsyn ingest' first, or name another.")
    results = {kind: read(workspace, kind) for kind in KINDS}
    every = [result for one in results.values() for result in one]
    for result in every:
        damage.glance(result)
    if check:
        damage.thoroughly(every, progress)
    lines = lineage(results)
    other = _other(workspace)
    return Status(
        workspace=workspace.path,
        bytes=sum(result.item.bytes for result in every) + sum(other.values()),
        free_bytes=free_bytes(workspace.path),
        results=lines.roots,
        unfinished=begun(workspace, lines.by_dataset, lines.by_generator),
        removable=sum(one.bytes for one in gc.removable(workspace)),
        other=other,
    )


def _other(workspace: Workspace) -> dict[str, int]:
    """Bytes of what is no result; what is under way counts with its kind's folder."""
    found: dict[str, int] = {}
    folders = {kind.folder for kind in KINDS}
    for path in sorted(workspace.path.iterdir()):
        if path.name in folders:
            hidden = [p for p in path.iterdir() if p.name.startswith(".")]
            bytes_ = sum(size(p)[0] if p.is_dir() else p.stat().st_size for p in hidden)
            name = f"{path.name} (hidden)"
        else:
            name, bytes_ = path.name, size(path)[0] if path.is_dir() else path.stat().st_size
        if bytes_:
            found[name] = bytes_
    return found
