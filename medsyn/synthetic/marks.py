"""What each file of a synthetic set says of itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


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
            return bool(image.info.get("Synthetic") == "true")
    if path.suffix == ".dcm":
        from pydicom import dcmread

        return bool(dcmread(path, stop_before_pixels=True).get("SyntheticData") == "YES")
    import nibabel

    header: Any = nibabel.load(path).header
    sidecar = json.loads(path.with_name(path.name.removesuffix(".nii.gz") + ".json").read_bytes())
    named = bytes(header["intent_name"].item()).rstrip(b"\0")
    return named == b"synthetic" and sidecar.get("Synthetic") is True
