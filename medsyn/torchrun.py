"""What torchrun says of the processes that it started for a command."""

from __future__ import annotations

import os


def launched() -> tuple[int, int]:
    """Rank and number of the processes that torchrun started for this command, on all nodes; (0, 1) without it."""
    if "MASTER_ADDR" not in os.environ:
        return 0, 1
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def launched_here() -> tuple[int, int]:
    """As `launched`, of this node alone."""
    if launched()[1] == 1:
        return 0, 1
    return int(os.environ.get("LOCAL_RANK", 0)), int(os.environ.get("LOCAL_WORLD_SIZE", 1))
