"""NIfTI-1: one slice a file, with a sidecar of JSON."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass

import numpy as np

from medsyn.augment.writers.base import Origin, place

INTENT = b"synthetic"
"""``intent_name``: NIfTI has no element of its own that says so."""


@dataclass(frozen=True)
class NiftiEncoder:
    """``<k>.nii.gz`` below ``nifti/``, grey of 8 or 16 bit or RGB24, and ``<k>.json`` beside it.

    The array is ``[W, H, 1]``, the first axis along a row from the left, the second one down from the top. sform and
    qform codes are 0 and the voxels have no unit: no direction and no size in a patient is claimed.
    """

    origin: Origin
    name: str = "nifti"

    def encode(self, pixels: np.ndarray, label: str, index: int) -> dict[str, bytes]:
        """See `base.Encoder`."""
        data = pixels.transpose(1, 2, 0).astype(pixels.dtype.newbyteorder("<")).tobytes()  # in a file, i runs fastest
        facts = self.origin.of(index)
        sidecar = {"Synthetic": True, "Label": label, "Modality": self.origin.modality, "Generator": facts}
        return {
            place("nifti", label, index, "nii.gz"): gzip.compress(self._header(pixels, index) + data, 6, mtime=0),
            place("nifti", label, index, "json"): (json.dumps(sidecar, indent=1, ensure_ascii=False) + "\n").encode(),
        }

    def _header(self, pixels: np.ndarray, index: int) -> bytes:
        from nibabel.nifti1 import Nifti1Header

        channels, height, width = pixels.shape
        header = Nifti1Header(endianness="<")
        header.set_data_dtype(pixels.dtype if channels == 1 else np.dtype([(c, pixels.dtype) for c in "RGB"]))
        header.set_data_shape((width, height, 1))
        header.set_slope_inter(1, 0)
        header["vox_offset"] = header.single_vox_offset
        header["intent_name"] = INTENT
        header["descrip"] = (
            f"Synthetic, no patient; medsyn checkpoint {self.origin.checkpoint_digest[:12]} "
            f"seed {self.origin.seed} index {index}"
        )[:79].encode()
        return header.binaryblock + bytes(4)  # no extensions
