"""Writes the simulated chest films as DICOM computed radiographs, with their labels in a CSV file."""

from __future__ import annotations

import csv
import datetime
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

from medsyn.data.sample.anatomy import Anatomy, Lesion, View, sample_anatomy, sample_lesions, sample_pose
from medsyn.data.sample.radiograph import FULL_SCALE, Film, Technique, expose, sample_technique
from medsyn.data.sample.thorax import project

__all__ = ["LABELS", "write_sample"]

LABELS = ("normal", "opacity", "nodule")
_SHARES = (0.48, 0.31, 0.21)
_CHANGE = 0.12
_VENDORS = (("Ostrava Imaging (fictional)", "OI Lumen 3"), ("Kettering & Vole (fictional)", "KV-DirectPlate"))
_SITES = ("Saint Orrin Hospital (fictional)", "Lower Mereth Clinic (fictional)", "Tarn Valley Infirmary (fictional)")
_ONSETS = ("Bra", "Vel", "Tor", "Mi", "Quen", "Sha", "Dro", "Lis", "Ar", "Zen", "Fol", "Ku")
_CODAS = ("dax", "mira", "lund", "vane", "kesh", "tosh", "rill", "bek", "noor", "quist", "zell", "phor")
_PRIVATE_GROUP = 0x0019
_RESCALE = -1024


@dataclass(frozen=True)
class _Subject:
    """Everything that a subject's films have in common."""

    index: int
    name: str
    patient_id: str
    sex: str
    born: datetime.date
    site: str
    physician: str
    anatomy: Anatomy
    films: tuple[tuple[str, datetime.date], ...]
    lesions: dict[str, tuple[Lesion, ...]]


def _generator(seed: int, *keys: int) -> np.random.Generator:
    """A stream that depends on the seed and the keys alone, so that no draw elsewhere can move it."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, *keys])))


def _invented_name(rng: np.random.Generator) -> str:
    family, given = (rng.choice(_ONSETS) + rng.choice(_CODAS) for _ in range(2))
    return f"{family}^{given}"


def _subject(seed: int, index: int) -> _Subject:
    """Draw a subject: who they are, their anatomy, and the label and date of each of their films."""
    rng = _generator(seed, index)
    sex = str(rng.choice(["F", "M"]))
    age = float(np.clip(rng.normal(55, 18), 18, 92))
    first = datetime.date(2019, 1, 7) + datetime.timedelta(days=int(rng.integers(0, 1400)))
    born = first - datetime.timedelta(days=int(age * 365.25))
    usual = str(rng.choice(LABELS, p=_SHARES))
    other = str(rng.choice(LABELS[1:], p=[0.7, 0.3])) if usual == "normal" else "normal"
    day, films = first, []
    for _ in range(int(rng.choice([1, 2, 3, 4], p=[0.35, 0.38, 0.18, 0.09]))):
        films.append((other if rng.random() < _CHANGE else usual, day))
        day += datetime.timedelta(days=int(rng.integers(2, 240)))
    return _Subject(
        index=index,
        name=_invented_name(rng),
        patient_id=f"SIM{int(rng.integers(0, 10**4)):04d}{index:05d}",
        sex=sex,
        born=born,
        site=str(rng.choice(_SITES)),
        physician=_invented_name(rng),
        anatomy=sample_anatomy(rng, age=age, sex=sex),
        films=tuple(films),
        lesions={label: sample_lesions(_generator(seed, index, 0, 1), label) for label in LABELS},
    )


def _store_values(film: Film, kind: str, inverted: bool) -> tuple[NDArray[np.uint16], Dataset]:
    """Stored pixels and the grayscale elements that turn them back into the film (PS3.3 C.7.6.3, C.11.1, C.11.2)."""
    extra = Dataset()
    extra.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    if kind == "lut":
        pixels, table = film.codes, film.tone
        if inverted:
            pixels, table = FULL_SCALE - pixels, FULL_SCALE - table[::-1]
        item = Dataset()
        item.add_new("LUTDescriptor", "US", [FULL_SCALE + 1, 0, 12])
        item.LUTExplanation = "CHEST"
        item.add_new("LUTData", "OW", table.astype("<u2").tobytes())
        extra.VOILUTSequence = Sequence([item])
        return pixels, extra
    shown = film.tone[film.codes]
    pixels = FULL_SCALE - shown if inverted else shown
    if kind == "window":
        # Squeezed into part of the range, so that ignoring the window gives a visibly flat film.
        low, high = 420, 3380
        pixels = np.round(low + pixels * ((high - low) / FULL_SCALE)).astype(np.uint16)
        extra.RescaleIntercept, extra.RescaleSlope, extra.RescaleType = _RESCALE, 1, "US"
        # PS3.3 C.11.2.1.2.1: the ends of a linear window lie at centre - 0.5 -+ (width - 1) / 2.
        extra.WindowCenter = (low + high + 1) / 2 + _RESCALE
        extra.WindowWidth = high - low + 1
    return pixels.astype(np.uint16), extra


def _dataset(
    subject: _Subject,
    number: int,
    film: Film,
    technique: Technique,
    field: float,
    view: str,
    rng: np.random.Generator,
    seed: int,
) -> FileDataset:
    """Assemble one film's Computed Radiography object (PS3.3 A.2), invented identity included."""
    kind = str(rng.choice(["window", "lut", "none"], p=[0.45, 0.3, 0.25]))
    # Polarity and vendor are drawn apart from the disease, or a model could read the label off the processing.
    pixels, grayscale = _store_values(film, kind, bool(rng.random() < 0.4))
    _, day = subject.films[number]
    key = [str(seed), str(subject.index), str(number)]
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["image", *key])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = generate_uid(entropy_srcs=["medsyn", "sample"])
    meta.ImplementationVersionName = "MEDSYN_SAMPLE"
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ImageType = ["DERIVED", "PRIMARY"]
    ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    stamp = day.strftime("%Y%m%d")
    clock = f"{int(rng.integers(7, 22)):02d}{int(rng.integers(0, 60)):02d}{int(rng.integers(0, 60)):02d}"
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = stamp
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = clock
    ds.AccessionNumber = f"A{int(rng.integers(0, 10**8)):08d}"
    ds.Modality = "CR"
    ds.Manufacturer, ds.ManufacturerModelName = _VENDORS[technique.vendor]
    ds.InstitutionName = subject.site
    ds.ReferringPhysicianName = subject.physician
    ds.StudyDescription = "CHEST PORTABLE" if view == "AP" else "CHEST PA"
    ds.PatientName, ds.PatientID = subject.name, subject.patient_id
    ds.PatientBirthDate, ds.PatientSex = subject.born.strftime("%Y%m%d"), subject.sex
    ds.PatientAge = f"{int((day - subject.born).days // 365.25):03d}Y"
    ds.BodyPartExamined, ds.ViewPosition, ds.PatientOrientation = "CHEST", view, ["L", "F"]
    ds.KVP = technique.kvp
    spacing = round(field * 10 / film.codes.shape[0], 4)
    ds.ImagerPixelSpacing = [spacing, spacing]
    ds.StudyInstanceUID = generate_uid(entropy_srcs=["study", *key])
    ds.SeriesInstanceUID = generate_uid(entropy_srcs=["series", *key])
    ds.StudyID, ds.SeriesNumber, ds.InstanceNumber = str(number + 1), 1, 1
    ds.ImageComments = f"Simulated film of {subject.name.replace('^', ' ')}, not a real person"
    ds.SamplesPerPixel, ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 1, 16, 12, 11, 0
    ds.Rows, ds.Columns = pixels.shape
    ds.BurnedInAnnotation, ds.LossyImageCompression, ds.PresentationLUTShape = "NO", "00", "IDENTITY"
    ds.update(grayscale)
    if ds.PhotometricInterpretation == "MONOCHROME1":
        ds.PresentationLUTShape = "INVERSE"
    block = ds.private_block(_PRIVATE_GROUP, "MEDSYN SAMPLE", create=True)
    block.add_new(0x01, "LO", f"operator {_invented_name(rng).replace('^', ' ')}")
    ds.add_new("PixelData", "OW", pixels.astype("<u2").tobytes())
    return ds


def write_sample(
    folder: Path,
    *,
    subjects: int = 300,
    seed: int = 0,
    size: int = 128,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Simulate a labelled set of chest films and write it as DICOM.

    Each subject has one to four films (Computed Radiography Image Storage, 12 bits in uint16) that share the anatomy
    and differ in positioning, exposure, inspiration and noise; views PA and AP, both photometric interpretations,
    three kinds of VOI transformation (window, VOI LUT sequence, none), two invented vendors, invented identities.
    Nothing of the acquisition depends on the label. Subject i is the same whatever the number of subjects, and the
    same arguments give byte-identical files on one machine.

    Args:
        folder: where to write films/<name>.dcm and labels.csv; made if missing.
        subjects: how many people to simulate, at least 1; about two films each.
        seed: non-negative; a different seed gives other people.
        size: rows and columns of every film, 16 to 2048.
        progress: called after each subject with the number done and the total.

    Returns:
        Path of labels.csv, with columns file (path relative to folder, forward slashes) and label (normal, opacity
        or nodule).

    Raises:
        ValueError: if subjects, seed or size is out of range.
        OSError: if the folder cannot be written.
    """
    if subjects < 1:
        raise ValueError(f"subjects must be at least 1, got {subjects}")
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}")
    if not 16 <= size <= 2048:
        raise ValueError(f"size must be between 16 and 2048 pixels, got {size}")
    folder = Path(folder)
    (folder / "films").mkdir(parents=True, exist_ok=True)
    rows = []
    for index in range(subjects):
        subject = _subject(seed, index)
        for number, (label, _) in enumerate(subject.films):
            rng = _generator(seed, index, 1 + number)
            view: View = "AP" if rng.random() < 0.4 else "PA"
            pose = sample_pose(rng, view)
            technique = sample_technique(rng, portable=view == "AP", vendor=int(rng.integers(0, 2)))
            film = expose(project(subject.anatomy, pose, subject.lesions[label], size=size), technique, rng)
            # A separate stream, as the number of draws the quantum noise takes depends on the disease.
            header = _generator(seed, index, 1 + number, 1)
            dataset = _dataset(subject, number, film, technique, pose.field, view, header, seed)
            name = f"films/subject{index:05d}_{number + 1}.dcm"
            dataset.save_as(folder / name, enforce_file_format=True)
            rows.append((name, label))
        if progress is not None:
            progress(index + 1, subjects)
    table = folder / "labels.csv"
    with table.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("file", "label"))
        writer.writerows(rows)
    return table
