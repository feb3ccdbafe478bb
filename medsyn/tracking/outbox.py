"""When a journal is delivered: at once, later within the stage, or by a later command."""

from __future__ import annotations

import logging
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medsyn.errors import EnvironmentFault
from medsyn.tracking import delivery
from medsyn.tracking.journal import FOLDER, Journal, count
from medsyn.tracking.registry import Registered
from medsyn.tracking.store import Store, address, shown_uri
from medsyn.workspace import Workspace

log = logging.getLogger(__name__)

PAUSE = 10.0
"""Seconds at least between two attempts at a store that does not answer."""

SHARE = 20
"""A pause is so many times as long as the attempt before it: waiting takes a twentieth of a stage at most."""

AT_ONCE = 20.0
"""Seconds for which a stage stands still while it catches up."""


@dataclass(frozen=True)
class Waiting:
    """What became of earlier journals.

    Attributes:
        delivered: Journals that MLflow has now.
        elsewhere: Addresses of other stores for which journals wait, one for each.
    """

    delivered: int
    elsewhere: list[str]


class Outbox:
    """The journal of one stage, and its way to the store. No failure of tracking leaves it."""

    def __init__(self, workspace: Workspace, stage: str) -> None:
        self.workspace, self._store = workspace, Store(workspace)
        self.journal = Journal.begin(workspace, stage, address(workspace))
        self._behind = True
        self._not_before = 0.0
        self._told = self._promised = False

    def add(self, do: str, run: str, file: Path | None = None, **values: Any) -> Registered | None:
        """Note it down, and send it if the store answers."""
        if file is not None:
            values["path"] = self.journal.keep(file)
        self.journal.add(do, run, **values)
        return self._send(AT_ONCE) if time.monotonic() >= self._not_before else None

    def close(self) -> None:
        """One more attempt; what is left after it waits for the next command."""
        self._send(float("inf"))
        self.journal.close()
        if self.journal.pending and not self.journal.kept and self._promised:
            log.warning("MLflow still misses this run, and %s could not be written to the end", self.journal.folder)

    def _send(self, seconds: float) -> Registered | None:
        begun = time.monotonic()
        try:
            if self._behind:
                # First, so that runs find those that they continue.
                _earlier(self._store)
                self._behind = False
            return delivery.deliver(self._store, self.journal, seconds)
        except Exception as error:
            now = time.monotonic()
            self._not_before = now + max(PAUSE, SHARE * (now - begun))
            self._tell(error)
            return None

    def _tell(self, error: Exception) -> None:
        if not self._told:
            # The text of the error may quote the address with its password.
            self._promised = self.journal.kept
            place = self.journal.folder.parent
            then = f"what it misses waits in {place}" if self._promised else f"{place} cannot be written, so it is lost"
            log.warning("MLflow does not answer (%s); going on, %s", type(error).__name__, then)
        self._told = True


def deliver(workspace: Workspace) -> Waiting:
    """Give MLflow what it has missed.

    Raises:
        EnvironmentFault: It does not answer.
    """
    try:
        return _earlier(Store(workspace))
    except Exception as error:
        left = count(workspace)
        raise EnvironmentFault(
            f"MLflow does not answer ({type(error).__name__}); {left} journals wait",
            where=shown_uri(workspace),
            mend=f"Start it, or name another with MLFLOW_TRACKING_URI. Nothing is lost: see {workspace.path / FOLDER}.",
        ) from error


def _earlier(store: Store) -> Waiting:
    delivered, elsewhere, mine = 0, [], address(store.workspace)
    with closing(Journal.waiting(store.workspace)) as journals:
        for journal in journals:
            if journal.store != mine:
                elsewhere.append(journal.store or "the workspace's own database")
                continue
            delivery.deliver(store, journal)
            journal.close()
            delivered += 1
    if delivered:
        log.info("MLflow has now got %d journals that it had missed", delivered)
    return Waiting(delivered, elsewhere)
