"""Spoiling DICOM: elements that lie, wrong kinds, sequences without end."""

from __future__ import annotations

import io
import struct

from pydicom import dcmread
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from fuzzing.blindly import FLOATS, Random, number_of

_LIES: dict[str, str] = {
    **dict.fromkeys(("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "SamplesPerPixel"), "US"),
    **dict.fromkeys(("PlanarConfiguration", "PixelRepresentation", "PixelPaddingValue"), "US"),
    **dict.fromkeys(("NumberOfFrames", "InstanceNumber"), "IS"),
    **dict.fromkeys(("WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept", "PixelSpacing"), "DS"),
    **dict.fromkeys(("ImagePositionPatient", "ImageOrientationPatient", "PixelAspectRatio"), "DS"),
}
_WORDS = {
    "PhotometricInterpretation": ("MONOCHROME1", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "PALETTE COLOR", "X"),
    "Modality": ("CT", "MR", "US", "PT", "SEG", "", "X" * 3000),
    "VOILUTFunction": ("LINEAR", "LINEAR_EXACT", "SIGMOID", "X"),
    "ImageType": ("ORIGINAL\\PRIMARY\\MOSAIC", "DERIVED", "LOCALIZER", "\\" * 3000),
}
_SYNTAXES = (
    *("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99", "1.2.3"),
    *("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"),
    *("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.5"),
)


def dicom(data: bytes, rng: Random) -> bytes:
    if rng.random() < 0.05:
        return _deep(data, int(2 ** rng.integers(1, 15)))
    header = dcmread(io.BytesIO(data), force=True)
    for _ in range(int(rng.integers(1, 4))):
        _lie(header, rng)
    buffer = io.BytesIO()
    header.save_as(buffer, enforce_file_format=False)
    return buffer.getvalue()


def _deep(data: bytes, depth: int) -> bytes:
    """Sequences in sequences, of undefined length, before everything else."""
    opened = bytes.fromhex("00523092 5351 0000 ffffffff feff00e0 ffffffff")
    closed = bytes.fromhex("feff0de0 00000000 feffdde0 00000000")
    start = 144 + int.from_bytes(data[140:144], "little")
    return data[:start] + opened * depth + closed * depth + data[start:]


def _lie(header: Dataset, rng: Random) -> None:
    kind = int(rng.integers(8))
    if kind <= 3:
        keyword = str(rng.choice(list(_LIES)))
        vr = _LIES[keyword]
        if vr == "US":
            _set(header, keyword, vr, struct.pack("<H", number_of(rng)))
        else:
            many = int(rng.choice((1, 1, 2, 3, 6, 500)))
            words = [str(rng.choice(FLOATS)) if vr == "DS" else str(number_of(rng, 64)) for _ in range(many)]
            _set(header, keyword, vr, "\\".join(words).encode())
    elif kind == 4:
        keyword = str(rng.choice(list(_WORDS)))
        _set(header, keyword, "CS", str(rng.choice(_WORDS[keyword])).encode())
    elif kind == 5:
        header.file_meta.TransferSyntaxUID = str(rng.choice(_SYNTAXES))
    elif kind == 6:
        del header[list(header.keys())[int(rng.integers(len(header)))]]
    else:  # a wrong VR
        element = header[list(header.keys())[int(rng.integers(len(header)))]]
        raw = element.value if isinstance(element.value, bytes) else str(element.value).encode()
        header[element.tag] = DataElement(element.tag, "UN", raw)


def _set(header: Dataset, keyword: str, vr: str, value: bytes) -> None:
    """As it stands in a file: nothing checks it before it is read."""
    tag = Tag(keyword)
    header[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)
