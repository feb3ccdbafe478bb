"""Whole ingests of what a test makes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from medsyn.config import IngestOptions
from medsyn.ingest import stage
from medsyn.workspace import Workspace

Pictures = Callable[..., tuple[Path, Path]]


def go(
    workspace: Workspace, folder: Path | list[str], labels: Path | None = None, **more: object
) -> stage.IngestResult:
    paths = folder if isinstance(folder, list) else [str(folder)]
    values = {"paths": paths, "labels": labels and str(labels), "modality": "xray", "size": 32, "workers": 1}
    values["max_failures"] = 1.0
    return stage.run(IngestOptions.model_validate({**values, **more}), workspace)
