"""DICOM: Secondary Capture images that say in their header that they are synthetic."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from medsyn.augment.writers.base import Origin, patient_id, place

if TYPE_CHECKING:
    from highdicom.sc import SCImage

_OF_THE_CLOCK = (
    *("InstanceCreationDate", "InstanceCreationTime", "ContentDate", "ContentTime"),
    *("DateOfSecondaryCapture", "TimeOfSecondaryCapture"),
)
"""What highdicom takes from the clock: of type 3, or 2C and not required of images without an order in time."""
_LABEL = 200
"""Characters of a label in the description, an ST, which holds 1,024 and no backslash; the comment holds all of it."""


@dataclass(frozen=True)
class DicomEncoder:
    """Secondary Capture (PS3.3 A.8.1) below ``dicom/``, grey of 8 or 16 bit or RGB of 8, explicit VR little endian.

    Each case is a patient of its own with one study, one series and one instance, whose UIDs are hashes of what made
    it. Nothing is claimed that no machine has measured: no spacing, position, orientation, exposure, date or time, and
    the Modality is OT (other).
    """

    origin: Origin
    name: str = "dicom"

    def encode(self, pixels: np.ndarray, label: str, index: int) -> dict[str, bytes]:
        """See `base.Encoder`."""
        from pydicom import dcmwrite

        buffer = io.BytesIO()
        dcmwrite(buffer, self._image(pixels, label, index), enforce_file_format=True)
        return {place("dicom", label, index, "dcm"): buffer.getvalue()}

    def _image(self, pixels: np.ndarray, label: str, index: int) -> SCImage:
        from highdicom import ContributingEquipment
        from highdicom.sc import SCImage
        from pydicom.sr.codedict import codes
        from pydicom.uid import ExplicitVRLittleEndian

        origin, grey, bits = self.origin, pixels.shape[0] == 1, 8 * pixels.dtype.itemsize
        facts = {**origin.of(index), "class": label[:_LABEL].replace("\\", "/")}
        described = f"Synthetic {origin.modality} image, no patient"
        synthesiser = ContributingEquipment(
            "medsyn",
            codes.DCM.SynthesizingEquipment,
            manufacturer_model_name="medsyn",
            software_versions=origin.version,
            contribution_description=f"{described}. " + "; ".join(f"{name}={value}" for name, value in facts.items()),
        )
        content = hashlib.sha256(pixels.tobytes()).hexdigest()
        image = SCImage(
            pixels[0] if grey else np.ascontiguousarray(pixels.transpose(1, 2, 0)),
            "MONOCHROME2" if grey else "RGB",
            bits,
            "PATIENT",
            self._uid("study", index),
            self._uid("series", index),
            1,
            self._uid("instance", index, str(bits), label, origin.version, content),
            1,
            "medsyn",
            manufacturer_model_name="medsyn",
            software_versions=origin.version,
            patient_id=patient_id(origin.checkpoint_digest, origin.seed, index),
            patient_name=f"SYNTHETIC^{index:06d}",
            study_id=str(index),
            series_description=described,
            patient_orientation=("L", "F"),
            contributing_equipment=[synthesiser],
            specific_character_set="ISO_IR 192",
            transfer_syntax_uid=ExplicitVRLittleEndian,
        )
        for keyword in _OF_THE_CLOCK:
            if keyword in image:
                delattr(image, keyword)
        for equipment in image.ContributingEquipmentSequence:  # highdicom has added itself, with the time
            equipment.pop("ContributionDateTime", None)
        image.SyntheticData = "YES"  # (0008,001C), PS3.3 C.12.1
        image.ConversionType = "SYN"
        image.StudyDescription = described
        image.DerivationDescription = "Sampled from a generative network; not derived from an image of a patient"
        image.ImageComments = f"Synthetic. Class: {label}"
        image.BurnedInAnnotation = "NO"
        image.LossyImageCompression = "00"
        # Of type 2C: required, and empty where nobody knows.
        for keyword in ("PatientOrientation", "Laterality"):
            setattr(image, keyword, None)
        if grey:  # all grey values are shown, as they are: without a window viewers choose one of their own
            image.WindowCenter, image.WindowWidth = str(2 ** (bits - 1)), str(2**bits)
        return image

    def _uid(self, kind: str, index: int, *more: str) -> str:
        from pydicom.uid import generate_uid

        origin = self.origin
        made_by = (origin.checkpoint_digest, str(origin.seed), repr(float(origin.truncation)), str(index))
        return generate_uid(entropy_srcs=["\x1f".join(("medsyn", kind, *made_by, *more))])
