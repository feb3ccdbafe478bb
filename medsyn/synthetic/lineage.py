"""Where a synthetic set comes from."""

from __future__ import annotations

from pathlib import Path

from medsyn.errors import DataError
from medsyn.workspace import GENERATOR, Workspace, read_json


def checkpoints(workspace: Workspace, digest: str) -> list[Path]:
    """Generators of the workspace with these weights, the newest first; a folder's name says nothing of what it holds.

    Args:
        workspace: Where to look.
        digest: ``checkpoint_digest`` of a set.
    """
    return [path for path in reversed(workspace.all(GENERATOR)) if _digest(path) == digest]


def training_subjects(workspace: Workspace, digest: str) -> Path | None:
    """The table of the subjects that the generator with these weights learnt from; None where there is no record."""
    for folder in checkpoints(workspace, digest):
        record = folder / "subjects.parquet"
        if record.is_file():
            return record
    # `augment` leaves a copy, because the generator may have come from elsewhere or be gone.
    kept = workspace.private / f"subjects-{digest[:16]}.parquet"
    return kept if kept.is_file() else None


def learnt_from_synthetic(synthetic: int, images: int) -> str:
    """What whoever uses a generator must know of its training images, of which some were synthetic themselves."""
    return (
        f"The generator learnt from {synthetic} synthetic images among its {images} training images: what an earlier "
        "generator got wrong, or left out, is learnt again"
    )


def _digest(checkpoint: Path) -> str | None:
    try:
        return read_json(checkpoint / GENERATOR.main_file).get("digest")
    except DataError:  # a damaged one is nobody's
        return None
