"""The journal: what was found, looked at and read, so that a killed ingest goes on and a next one only adds."""

from medsyn.ingest.journal.choosing import Choosing
from medsyn.ingest.journal.looking import Looking
from medsyn.ingest.journal.reading import Reading
from medsyn.ingest.journal.rows import Stored
from medsyn.ingest.journal.settling import Settling

__all__ = ["Journal", "Stored"]


class Journal(Looking, Choosing, Reading, Settling):
    """An SQLite file in the workspace's private folder; each step is one transaction, so a kill costs one step."""
