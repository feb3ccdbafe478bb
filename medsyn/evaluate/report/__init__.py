"""The report of an evaluation: one HTML file that opens anywhere, offline."""

from medsyn.evaluate.report.render import write

__all__ = ["write"]
