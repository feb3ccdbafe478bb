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

SKETCH = 64
"""Image keys that stand for a test set: the smallest hashes, so that sets that share images share some of them."""


def sketch(image_keys: Sequence[str]) -> list[str]:
    """What a test set is recognised by, also as a part of a larger one (bottom-k sketch, Cohen and Kaplan 2007)."""
    return sorted(hashlib.sha256(key.encode()).hexdigest()[:16] for key in image_keys)[:SKETCH]


def record(workspace: Workspace, image_keys: Sequence[str], synthetic: str, evaluation: str) -> list[Look]:
    """Add this look, before anything is predicted on test, and return all looks at test images of it, oldest first.

    A look counts from here on, also when the evaluation is broken off. Looks count together where their test sets
    share images: as other folds, as another split, after images were added.

    Args:
        workspace: Where ``looks.jsonl`` lies.
        image_keys: Of all test images.
        synthetic: Name of the synthetic set.
        evaluation: What the evaluation will be called.
    """
    file, mine = workspace.path / "looks.jsonl", sketch(image_keys)
    with FileLock(file.with_name(".looks.lock")):
        earlier = _read(file, set(mine))
        look = Look(
            number=len(earlier) + 1,
            when=datetime.now(UTC).isoformat(timespec="seconds"),
            evaluation=evaluation,
            synthetic=synthetic,
        )
        with open(file, "a", encoding="utf-8") as out:
            out.write(json.dumps({"sketch": mine, **look.model_dump()}) + "\n")
    return [*earlier, look]


def _read(file: Path, mine: set[str]) -> list[Look]:
    if not file.exists():
        return []
    found: list[Look] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # a line cut short by a power failure
        if mine & set(entry.pop("sketch", [])):
            found.append(Look(**entry | {"number": len(found) + 1}))
    return found
