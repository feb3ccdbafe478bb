"""The built-in samples, made by medsyn's own simulators: chest films as DICOM, brains as NIfTI; no image is shipped."""

from medsyn.data.sample.dicom_files import write_sample
from medsyn.data.sample.nifti_files import write_brains

__all__ = ["write_brains", "write_sample"]
