"""Secondary Capture images: valid, readable by others, made of nothing but their input, and synthetic by their word."""

from __future__ import annotations

import io
import pickle
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from augment.small import KINDS, ORIGIN, digest, digests_of_another_process, encode, pixels, tool

from medsyn.augment.writers import DicomEncoder
from medsyn.augment.writers.base import patient_id

both = pytest.mark.parametrize("kind", KINDS)


def header(kind: str = "grey8", **changed: object) -> pydicom.Dataset:
    label, index = str(changed.pop("label", "normal")), int(str(changed.pop("index", 123)))
    (data,) = encode("dicom", kind, label, index, replace(ORIGIN, **changed)).values()  # type: ignore[arg-type]
    return pydicom.dcmread(io.BytesIO(data))


def examined(file: Path) -> str:
    """What dciodvfy says of a file."""
    return subprocess.run([tool("dciodvfy"), str(file)], capture_output=True, text=True).stderr


@pytest.fixture
def file(tmp_path: Path, kind: str) -> Path:
    ((name, data),) = encode("dicom", kind).items()
    assert name == "dicom/normal/00000123.dcm"
    (tmp_path / "a.dcm").write_bytes(data)
    return tmp_path / "a.dcm"


@both
def test_it_is_a_valid_secondary_capture(file: Path) -> None:
    said = examined(file)
    assert "SCImage" in said
    assert not [line for line in said.splitlines() if line.startswith("Error")], said


def test_the_examination_would_find_a_fault(tmp_path: Path) -> None:
    broken = header()
    del broken.ConversionType
    broken.save_as(tmp_path / "a.dcm")
    assert "Error - Missing attribute Type 1 Required Element=<ConversionType>" in examined(tmp_path / "a.dcm")


def test_it_says_that_it_is_synthetic_and_what_made_it() -> None:
    found = header(label="opacity")
    assert found.SyntheticData == "YES"
    assert found.ConversionType == "SYN"
    assert list(found.ImageType) == ["DERIVED", "SECONDARY", "OTHER"]
    assert (found.BurnedInAnnotation, found.LossyImageCompression, found.Modality) == ("NO", "00", "OT")
    assert found.PatientName == "SYNTHETIC^000123"
    assert found.PatientID == "SYNTHETIC-0123456789ab-7-000123" == patient_id(ORIGIN.checkpoint_digest, 7, 123)
    assert "opacity" in found.ImageComments
    (made_by,) = [
        item
        for item in found.ContributingEquipmentSequence
        if item.PurposeOfReferenceCodeSequence[0].CodeValue == "109100"
    ]
    assert (made_by.Manufacturer, made_by.SoftwareVersions) == ("medsyn", "1.2.3")
    for fact in (
        f"run={'f' * 32}",
        f"checkpoint={ORIGIN.checkpoint_digest}",
        "seed=7",
        "truncation=0.9",
        "index=123",
        "class=opacity",
    ):
        assert fact in made_by.ContributionDescription
    assert found.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian


def test_it_claims_nothing_that_nobody_measured() -> None:
    found = header()
    absent = ("PatientIdentityRemoved", "PixelSpacing", "ImagerPixelSpacing", "ImagePositionPatient", "KVP")
    absent += ("ImageOrientationPatient", "BodyPartExamined", "FrameOfReferenceUID", "AcquisitionDate")
    assert [keyword for keyword in absent if keyword in found] == []
    assert not found.PatientOrientation
    assert [str(e) for e in found.iterall() if e.VR in ("DA", "TM", "DT") and e.value] == []


@both
def test_the_same_input_makes_the_same_bytes_at_any_time_and_place(kind: str) -> None:
    assert encode("dicom", kind) == encode("dicom", kind)
    assert digests_of_another_process()[f"dicom {kind}"] == digest("dicom", kind)


def test_uids_follow_from_what_made_the_image_and_meet_no_other() -> None:
    others = [
        header(index=124),
        header(seed=8),
        header(truncation=0.8),
        header(checkpoint_digest="f" * 64),
    ]
    one = header()
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        assert len({getattr(found, keyword) for found in (one, *others)}) == 5
    assert len({one.StudyInstanceUID, one.SeriesInstanceUID, one.SOPInstanceUID}) == 3
    assert len({found.PatientID for found in (one, others[0], others[1], others[3])}) == 4
    deep = header("grey16")
    assert (deep.PatientID, deep.StudyInstanceUID) == (one.PatientID, one.StudyInstanceUID)
    assert deep.SOPInstanceUID != one.SOPInstanceUID == one.file_meta.MediaStorageSOPInstanceUID


@pytest.mark.parametrize("label", ["pneumonie aiguë", "肺炎 + épanchement", "a\\b=c^d", "x" * 2000])
def test_any_label_is_kept_whole(tmp_path: Path, label: str) -> None:
    found = header(label=label)
    assert found.ImageComments == f"Synthetic. Class: {label}"
    found.save_as(tmp_path / "a.dcm")
    assert "Error" not in examined(tmp_path / "a.dcm")


@both
def test_pydicom_reads_the_pixels(file: Path, kind: str) -> None:
    assert np.array_equal(_channels_last(kind), pydicom.pixels.pixel_array(file))


@both
def test_dcmtk_reads_the_pixels(file: Path, kind: str, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    done = subprocess.run(
        [tool("dcmdump"), "--write-pixel", str(tmp_path / "raw"), str(file)], capture_output=True, text=True, check=True
    )
    assert not done.stderr
    assert "SyntheticData" in done.stdout or "(0008,001c) CS [YES]" in done.stdout
    (raw,) = (tmp_path / "raw").iterdir()
    wanted = _channels_last(kind)
    assert np.array_equal(np.frombuffer(raw.read_bytes(), wanted.dtype)[: wanted.size], wanted.ravel())


@both
def test_simpleitk_reads_the_pixels(file: Path, kind: str) -> None:
    sitk = pytest.importorskip("SimpleITK")
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(file))[0], _channels_last(kind))


@both
def test_monai_reads_the_pixels(file: Path, kind: str) -> None:
    from monai.transforms import LoadImage

    found = np.asarray(LoadImage(reader="PydicomReader", image_only=True)(file))  # [W, H], as MONAI has it
    assert np.array_equal(np.swapaxes(found, 0, 1).squeeze(), _channels_last(kind))


def test_it_can_be_handed_to_another_process() -> None:
    encoder = DicomEncoder(ORIGIN)
    assert pickle.loads(pickle.dumps(encoder)) == encoder


def _channels_last(kind: str) -> np.ndarray:
    return pixels(kind).transpose(1, 2, 0).squeeze()
