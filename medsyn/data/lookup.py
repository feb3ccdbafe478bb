"""Finding the dataset that something was made from."""

from __future__ import annotations

from pathlib import Path

from medsyn.workspace import DATASET, Workspace, read_json


def by_digest(workspace: Workspace, content_digest: str) -> Path | None:
    """The newest dataset of the workspace with this content, or None."""
    for path in reversed(workspace.all(DATASET)):
        if read_json(path / DATASET.main_file).get("content_digest") == content_digest:
            return path
    return None
