"""The record of every look at a test split: it cannot be prevented, so it is shown."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock

from medsyn.evaluate.results import Look
from medsyn.workspace import Workspace


def digest(image_keys: Sequence[str]) -> str:
    """What identifies a test split: its images, whatever is added to the other splits."""
    return hashlib.sha256("\n".join(sorted(image_keys)).encode()).hexdigest()


def record(workspace: Workspace, test_digest: str, synthetic: str, evaluation: str) -> list[Look]:
    """Add this look, before anything is predicted on test, and return all looks at the same images, oldest first.

    A look counts from here on, also when the evaluation is broken off.

    Args:
        workspace: Where ``looks.jsonl`` lies.
        test_digest: Of the test split.
        synthetic: Name of the synthetic set.
        evaluation: What the evaluation will be called.
    """
    file = workspace.path / "looks.jsonl"
    with FileLock(file.with_name(".looks.lock")):
        earlier = _read(file, test_digest)
        look = Look(
            number=len(earlier) + 1,
            when=datetime.now(UTC).isoformat(timespec="seconds"),
            evaluation=evaluation,
            synthetic=synthetic,
        )
        with open(file, "a", encoding="utf-8") as out:
            out.write(json.dumps({"test_digest": test_digest, **look.model_dump()}) + "\n")
    return [*earlier, look]


def _read(file: Path, test_digest: str) -> list[Look]:
    if not file.exists():
        return []
    looks = []
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # a line cut short by a power failure
        if entry.pop("test_digest", None) == test_digest:
            looks.append(Look(**entry))
    return looks
