"""The record of every look at a test split: it cannot be prevented, so it is shown."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock

from medsyn.evaluate.results import Look
from medsyn.workspace import Workspace


def record(workspace: Workspace, dataset_digest: str, synthetic: str, evaluation: str) -> list[Look]:
    """Add this look, before the test split is opened, and return all looks at the same dataset, oldest first.

    Args:
        workspace: Where ``looks.jsonl`` lies.
        dataset_digest: Content digest of the dataset.
        synthetic: Name of the synthetic set.
        evaluation: What the evaluation is called.
    """
    file = workspace.path / "looks.jsonl"
    with FileLock(file.with_name(".looks.lock")):
        earlier = _read(file, dataset_digest)
        look = Look(
            number=len(earlier) + 1,
            when=datetime.now(UTC).isoformat(timespec="seconds"),
            evaluation=evaluation,
            synthetic=synthetic,
        )
        with open(file, "a", encoding="utf-8") as out:
            out.write(json.dumps({"dataset_digest": dataset_digest, **look.model_dump()}) + "\n")
    return [*earlier, look]


def _read(file: Path, dataset_digest: str) -> list[Look]:
    if not file.exists():
        return []
    looks = []
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # a line cut short by a power failure
        if entry.pop("dataset_digest", None) == dataset_digest:
            looks.append(Look(**entry))
    return looks
