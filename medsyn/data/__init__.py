"""Labelled images on disk: the format, reading, writing, splits, and the built-in sample."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medsyn.data.dataset import Dataset
    from medsyn.data.schema import CLASS_TASK, SPLITS, ImageRecord, Split
    from medsyn.data.writer import DatasetWriter

__all__ = ["CLASS_TASK", "SPLITS", "Dataset", "DatasetWriter", "ImageRecord", "Split"]

_WHERE = {"Dataset": "dataset", "DatasetWriter": "writer"}


def __getattr__(name: str) -> Any:
    """Import on first use: a process that reads scans must not pay for pandas and SciPy."""
    if name in __all__:
        return getattr(import_module(f"medsyn.data.{_WHERE.get(name, 'schema')}"), name)
    raise AttributeError(f"module 'medsyn.data' has no attribute '{name}'")
