"""The formats of a synthetic set: one file a format of single images, the npz of all, and the tables."""

from collections.abc import Callable

from medsyn.augment.writers.base import Encoder, Origin, check_depth
from medsyn.augment.writers.dicom import DicomEncoder
from medsyn.augment.writers.nifti import NiftiEncoder
from medsyn.augment.writers.png import PngEncoder

ENCODERS: dict[str, Callable[[Origin], Encoder]] = {"png": PngEncoder, "dicom": DicomEncoder, "nifti": NiftiEncoder}
"""Formats of single images, by the name that ``--format`` takes; each is built with an `Origin`."""

__all__ = ["ENCODERS", "DicomEncoder", "Encoder", "NiftiEncoder", "Origin", "PngEncoder", "check_depth"]
