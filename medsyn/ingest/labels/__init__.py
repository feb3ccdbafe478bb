"""Labels: which class, patient and further targets each file has, and who says so."""

from medsyn.ingest.labels.source import LabelSource
from medsyn.ingest.labels.values import Joined, LabelRow, Target

__all__ = ["Joined", "LabelRow", "LabelSource", "Target"]
