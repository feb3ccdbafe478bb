"""Labelled images on disk: the format, reading, writing, splits, and the built-in sample."""

from medsyn.data.dataset import Dataset
from medsyn.data.schema import CLASS_TASK, SPLITS, ImageRecord, Split
from medsyn.data.writer import DatasetWriter

__all__ = ["CLASS_TASK", "SPLITS", "Dataset", "DatasetWriter", "ImageRecord", "Split"]
