"""The built-in sample: chest films made by medsyn's own simulator, written as DICOM files; no image is shipped."""

from medsyn.data.sample.dicom_files import write_sample

__all__ = ["write_sample"]
