"""The four stages by name, each imported only when it runs."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from medsyn.config import STAGES
from medsyn.errors import UsageError
from medsyn.progress import SILENT, Progress
from medsyn.torchrun import launched
from medsyn.workspace import Workspace, disk_errors

MODULES = {
    "ingest": "medsyn.ingest.stage",
    "train-gan": "medsyn.gan.stage",
    "augment": "medsyn.augment.stage",
    "evaluate": "medsyn.evaluate.stage",
}


def run(name: str, options: Any, workspace: Workspace, progress: Progress = SILENT) -> Any:
    """Run one stage.

    Args:
        name: A key of `medsyn.config.STAGES`.
        options: That stage's options.
        workspace: Where it reads and writes.
        progress: Listener.

    Returns:
        The stage's own result type.

    Raises:
        MedsynError: As the stage says; `EnvironmentFault` where the disk refuses; `UsageError` where torchrun has
            started several processes for a stage that is none of theirs.
    """
    if not isinstance(options, STAGES[name]):
        raise TypeError(f"stage '{name}' takes {STAGES[name].__name__}, not {type(options).__name__}")
    if name != "train-gan" and launched()[1] > 1:
        raise UsageError(
            f"torchrun started {launched()[1]} processes for '{name}', which takes one",
            where="torchrun",
            mend=f"Run 'medsyn {name}' without it.",
        )
    with disk_errors(workspace.path):
        return import_module(MODULES[name]).run(options, workspace, progress)
