"""What is spoilt: tiny files of every kind made on the fly, and small real ones where they are at hand."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
from PIL import Image
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.fileset import FileSet
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
    generate_uid,
)

READERS = ("dicom", "nifti", "raster", "npz", "zip", "dicomdir", "labels")
CASES = (("patient", "P"), ("study", "1.2."), ("sop", "1.3."), ("accession", "A"))
"""Kind of identifier of the scans that tables of labels are joined to -> what stands before their number."""
TABLE_OPTIONS: dict[str, list[object]] = {
    "label_columns": [["label"], ["Finding"], ["label", "Finding"], ["sex"], [""]],
    "file_column": ["file", "StudyInstanceUID", "patient_id", "label"],
    "subject_from": ["patient_id", "file", "folder:1", "case"],
    "label_map": [{"0": "no", "1": "yes"}, {"a": ""}, {"x": "y"}],
    "classes": [["a", "b"], ["0", "1"]],
    "label_from": ["folder"],
    "show_paths": [True],
}
"""Options of an ingest -> values that tables of labels are tried with."""
MAX_REAL = 150_000
"""Bytes of the real files taken: small ones make many cases a second."""


def corpus(real: Path | None) -> dict[str, list[bytes]]:
    """Seeds for each reader; ``real``: the folder of `MEDSYN_TEST_DATA`, or None."""
    found: dict[str, list[bytes]] = defaultdict(list)
    found["dicom"], found["nifti"], found["raster"] = list(_dicom()), list(_nifti()), list(_raster())
    found["npz"], found["dicomdir"] = list(_npz()), [_dicomdir()]
    if real is not None:
        folders = [("dicom", "dicom", 80), ("nifti", "nifti", 12), ("raster", "xray", 8), ("raster", "mri", 4)]
        for reader, folder, most in folders:
            files = (f for f in sorted((real / folder).rglob("*")) if f.is_file() and f.stat().st_size <= MAX_REAL)
            data = (f.read_bytes() for f in files if f.suffix not in (".csv", ".txt"))
            found[reader] += itertools.islice(data, most)
    found["zip"] = list(_zip(found))
    found["labels"] = list(_tables())
    return found


def _tables() -> Iterator[bytes]:
    """Tables of twelve scans in every form that is read."""
    numbers = range(1, 13)
    by_file = pd.DataFrame({"file": [f"{n}/im{n}.png" for n in numbers], "label": ["ab"[n % 2] for n in numbers]})
    by_name = by_file.assign(file=[f"im{n}" for n in numbers], patient_id=[n // 2 for n in numbers], age="04{}Y")
    by_study = pd.DataFrame({"StudyInstanceUID": [f"1.2.{n}" for n in numbers], "label": [n % 3 - 1 for n in numbers]})
    by_patient = pd.DataFrame({"patient_id": [f"P{n}" for n in numbers], "Finding": 1.0, "label": [0, 1] * 6})
    by_patient["sex"], by_patient["view"] = "F", "AP"
    several = by_file.assign(SOPInstanceUID=[f"1.3.{n}" for n in numbers], accession=[f"A{n}" for n in numbers])
    for frame in (by_file, by_name, by_study, by_patient, several):
        for separator in ",;\t":
            yield frame.to_csv(index=False, sep=separator).encode()
        yield b"\xef\xbb\xbf" + frame.to_csv(index=False, quoting=csv.QUOTE_ALL, lineterminator="\r\n").encode()
        buffer = io.BytesIO()
        frame.to_parquet(buffer, index=False)
        yield buffer.getvalue()


def _values(*shape: int, seed: int = 0, dtype: type = np.uint16) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 250, shape).astype(dtype)


def _save(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _dicom() -> list[bytes]:
    grey, colour = _values(24, 20), _values(24, 20, 3, dtype=np.uint8)
    picture = Image.fromarray(colour[..., 0])
    lut = Dataset()
    lut.LUTDescriptor, lut.LUTData = [256, 0, 16], list(range(0, 65536, 256))
    lut["LUTDescriptor"].VR = lut["LUTData"].VR = "US"
    palette = {f"{c}PaletteColorLookupTableDescriptor": [256, 0, 16] for c in ("Red", "Green", "Blue")}
    palette |= {f"{c}PaletteColorLookupTableData": bytes(range(256)) * 2 for c in ("Red", "Green", "Blue")}
    measures, plane, frame = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, plane.ImagePositionPatient = [1, 2], [0, 0, 1]
    frame.PixelMeasuresSequence, frame.PlanePositionSequence = Sequence([measures]), Sequence([plane])
    rgb = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    files = [
        _file(grey, WindowCenter=100, WindowWidth=80, RescaleSlope=1, RescaleIntercept=-1024, PixelPaddingValue=3),
        _file(grey, syntax=ImplicitVRLittleEndian, VOILUTSequence=Sequence([lut])),
        _file(grey, syntax=ExplicitVRBigEndian, ModalityLUTSequence=Sequence([lut])),
        _file(grey, syntax=DeflatedExplicitVRLittleEndian),
        _file(_values(3, 24, 20), PerFrameFunctionalGroupsSequence=Sequence([frame] * 3)),
        _file(colour, **rgb),
        _file(colour[..., 0], PhotometricInterpretation="PALETTE COLOR", **palette),
        _file(colour[..., 0], syntax=JPEGBaseline8Bit, data=encapsulate([_save(picture, "JPEG")])),
        _file(colour[..., 0], syntax=JPEG2000Lossless, data=encapsulate([_save(picture, "JPEG2000", no_jp2=True)])),
    ]
    for pixels, more in ((grey, {}), (colour, rgb), (_values(2, 24, 20), {})):
        header = dcmread(io.BytesIO(_file(pixels, **more)))
        header.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
        files.append(_written(header))
    return files


def _file(pixels: np.ndarray, *, syntax: str = ExplicitVRLittleEndian, data: bytes = b"", **elements: object) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid(entropy_srcs=["a"])
    meta.TransferSyntaxUID = syntax
    header = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    header.SOPClassUID, header.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    header.StudyInstanceUID, header.SeriesInstanceUID = (generate_uid(entropy_srcs=[c]) for c in "bc")
    header.Modality, header.PatientID, header.PhotometricInterpretation = "MR", "P", "MONOCHROME2"
    header.PatientName, header.StudyDate, header.StudyTime, header.StudyID = "A^B", "20200101", "120000", "1"
    header.SeriesNumber = header.InstanceNumber = header.SamplesPerPixel = 1
    header.ImagePositionPatient, header.ImageOrientationPatient = [0, 0, 5], [1, 0, 0, 0, 1, 0]
    header.PixelSpacing = [0.5, 0.7]
    bits = pixels.dtype.itemsize * 8
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = bits, bits, bits - 1, 0
    colour = elements.get("SamplesPerPixel") == 3
    header.Rows, header.Columns = pixels.shape[-3:-1] if colour else pixels.shape[-2:]
    if pixels.ndim - colour == 3:
        header.NumberOfFrames = len(pixels)
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    header.add_new(
        "PixelData", "OW" if bits == 16 else "OB", data or pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    )
    if data:
        header["PixelData"].is_undefined_length = True
    for keyword, value in elements.items():
        setattr(header, keyword, value)
    if syntax == ExplicitVRBigEndian:
        buffer = io.BytesIO()
        dcmwrite(buffer, header, implicit_vr=False, little_endian=False, force_encoding=True)
        return buffer.getvalue()
    return _written(header)


def _written(header: Dataset) -> bytes:
    buffer = io.BytesIO()
    header.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _nifti() -> list[bytes]:
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    files = []
    for kind, values in (
        (nibabel.Nifti1Image, _values(9, 8, 7).astype(np.int16)),
        (nibabel.Nifti1Image, _values(9, 8, 7, 2).astype(np.float32)),
        (nibabel.Nifti2Image, _values(9, 8, 7).astype(np.uint8)),
        (nibabel.Nifti1Image, _values(9, 8).astype(np.float64)),
    ):
        image = kind(values, affine)
        image.header.set_slope_inter(0.5, 3)
        plain = image.to_bytes()
        files += [plain, gzip.compress(plain, mtime=0)]
    return files


def _raster() -> list[bytes]:
    grey, colour = Image.fromarray(_values(20, 24, dtype=np.uint8)), Image.fromarray(_values(20, 24, 3, dtype=np.uint8))
    deep, real = Image.fromarray(_values(20, 24)), Image.fromarray(_values(20, 24).astype(np.float32))
    pages = {"save_all": True, "append_images": [deep] * 3}
    exif = Image.Exif()
    exif[0x0112] = 6
    files = [_save(image, "PNG") for image in (grey, colour, deep, colour.convert("RGBA"), grey.convert("1"))]
    files += [
        _save(colour.quantize(16), "PNG"),
        _save(grey, "JPEG", exif=exif),
        _save(colour, "JPEG", progressive=True),
    ]
    files += [
        _save(colour.convert("CMYK"), "JPEG"),
        _save(grey, "BMP"),
        _save(colour, "BMP"),
        _save(grey.convert("1"), "BMP"),
    ]
    files += [_save(image, "TIFF") for image in (grey, colour, deep, real)]
    files += [_save(colour, "TIFF", compression=c) for c in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")]
    return [*files, _save(deep, "TIFF", **pages), _save(deep, "TIFF", compression="tiff_lzw", **pages)]


def _npz() -> list[bytes]:
    files = []
    for images in (_values(6, 16, 16, dtype=np.uint8), _values(6, 16, 16, 3, dtype=np.uint8), _values(6, 16, 16)):
        labels = np.arange(6)[:, None] % 2
        arrays = {f"{s}_{k}": v for s in ("train", "val", "test") for k, v in (("images", images), ("labels", labels))}
        for save in (np.savez, np.savez_compressed):
            buffer = io.BytesIO()
            save(buffer, **arrays)
            files.append(buffer.getvalue())
    return files


def _zip(found: dict[str, list[bytes]]) -> list[bytes]:
    files = []
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", compression) as file:
            for reader in ("dicom", "nifti", "raster", "npz"):
                file.writestr(zipfile.ZipInfo(f"{reader}/a"), found[reader][0], compression)
        files.append(buffer.getvalue())
    return [*files, _inside(files[1])]


def _inside(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(zipfile.ZipInfo("inner.zip"), data)
    return buffer.getvalue()


def _dicomdir() -> bytes:
    files = FileSet()
    files.UID = generate_uid(entropy_srcs=["d"])  # not drawn anew in every process
    with tempfile.TemporaryDirectory() as folder:
        files.add(dcmread(io.BytesIO(_file(_values(24, 20)))))
        files.write(folder)
        return Path(folder, "DICOMDIR").read_bytes()
