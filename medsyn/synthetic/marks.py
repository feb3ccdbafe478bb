"""What each file of a synthetic set says of itself."""

from __future__ import annotations

import json
from pathlib import Path


def says_synthetic(path: Path) -> bool:
    """Whether a PNG, DICOM or NIfTI file says that it is synthetic, where `augment` writes it.

    PNG: the text ``Synthetic``. DICOM: Synthetic Data (0008,001C), PS3.3 C.12.1. NIfTI: ``intent_name``, and
    ``Synthetic`` in the sidecar of JSON.

    Raises:
        Exception: Of the library that reads the format, where the file is damaged.
    """
    if path.suffix == ".png":
        from PIL import Image

        with Image.open(path, formats=("PNG",)) as image:
            return image.info.get("Synthetic") == "true"
    if path.suffix == ".dcm":
        from pydicom import dcmread

        return dcmread(path, stop_before_pixels=True).get("SyntheticData") == "YES"
    import nibabel

    header = nibabel.load(path).header  # type: ignore[attr-defined]
    sidecar = json.loads(path.with_name(path.name.removesuffix(".nii.gz") + ".json").read_bytes())
    return bytes(header["intent_name"].item()).rstrip(b"\0") == b"synthetic" and sidecar.get("Synthetic") is True
