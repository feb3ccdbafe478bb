"""medsyn: labelled synthetic scans from few real ones, and the truth about whether they help."""

__version__ = "0.1.0"
