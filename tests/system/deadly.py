"""Files of tests that kill whoever reads them; a module that workers import quickly."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass

from medsyn.ingest import isolation
from medsyn.ingest.source import Refused


@dataclass(frozen=True)
class Leaf:
    number: int
    path: str
    does: Callable[[], object] = bool
    refused: Refused | None = None


def read(leaves: list[Leaf]) -> list[str]:
    found = []
    for leaf in leaves:
        isolation.at(leaf.number)
        if not leaf.refused:
            leaf.does()
        found.append(leaf.refused.reason if leaf.refused else "good")
    return found


def die() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)
