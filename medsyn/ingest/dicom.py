"""DICOM: what counts as an image, and its planes with exact grey values."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from medsyn.data.grey import luminance
from medsyn.ingest import bounds, deidentify, dicom_values
from medsyn.ingest.contents import content, stream
from medsyn.ingest.deidentify import IDENTIFIERS, Covariates, keyed
from medsyn.ingest.dicom_geometry import Region, position, spacing, ultrasound_region
from medsyn.ingest.dicom_header import integer, many, numbers, text, value
from medsyn.ingest.intensity import Display
from medsyn.ingest.series import Place, chosen, stack
from medsyn.ingest.source import Facts, LookFor, Plane, Probe, Recipe, Refused, side_of_picture

_DICOMDIR = "1.2.840.10008.1.3.10"
_NOBODY = frozenset({"ANON", "ANONYM", "ANONYMOUS", "ANONYMIZED", "ANONYMISED", "UNKNOWN", "NONE", "NULL", "NA", "N/A"})
"""Placeholders of PatientID, which name no patient."""
_HEAD = frozenset({"HEAD", "BRAIN", "SKULL", "FACE", "HEADNECK", "ORBIT", "SINUS", "IAC", "PITUITARY", "TMJ", "JAW"})
"""Body Part Examined (0018,0015), PS3.16 annex L, of what shows a face."""
_ANY_MODALITY = ("", "OT", "SC")  # says nothing about the anatomy's imaging: taken where the user names the modality
_ULTRASOUND = ("US", "IVUS")
NO_PICTURE = Refused("not_an_image_class", "a DICOM object of another kind than an image")
_LOOKED_AT = [
    *("SOPClassUID", "Modality", "ImageType", "InstanceNumber", "BurnedInAnnotation", *IDENTIFIERS.values()),
    *("ImagePositionPatient", "ImageOrientationPatient", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel"),
    "SyntheticData",
]


def looks_like(head: bytes) -> bool:
    """Whether a file's first 132 bytes are DICOM's, with or without the preamble of PS3.10 7.1."""
    if head[128:132] == b"DICM":
        return True
    # A bare data set starts with group 0002 or 0008 and a short element, in either byte order.
    little = head[:2] in (b"\x02\x00", b"\x08\x00") and head[3:4] == b"\x00" and len(head) > 8
    big = head[:2] == b"\x00\x08" and head[2:3] == b"\x00" and head[4:6].isalpha() and head[4:6].isupper()
    return little or big


def probe(found: Probe, look: LookFor) -> None:
    """Read the header up to the pixels and fill ``found``.

    Raises:
        Refused: Not an image, or one that is never taken (a localiser, burned-in text).
    """
    tagged = look.tag if look.tag and tag_for_keyword(look.tag) is not None else None
    tags = [*_LOOKED_AT, *([tagged] if tagged else [])]
    with stream(found) as file:
        bounds.check_deflated(file, look.max_pixels)
        header = _header(dcmread(file, force=True, stop_before_pixels=True, specific_tags=tags))
    _check_class(header)
    kinds = [str(v).strip().upper() for v in many(value(header, "ImageType"))]
    if "LOCALIZER" in kinds:
        raise Refused("localiser", "a localiser")
    if "MOSAIC" in kinds:
        raise Refused("mosaic", "slices tiled into one picture (a Siemens mosaic): convert it with dcm2niix first")
    if text(header, "BurnedInAnnotation").upper() == "YES" and not look.allow_burned_in:
        raise Refused("burned_in", "the header says that text is burned into the pixels", "quarantined")
    found.modality = text(header, "Modality").upper()
    identifiers = {kind: text(header, keyword) for kind, keyword in IDENTIFIERS.items()}
    if identifiers["patient"].upper() in _NOBODY:
        identifiers["patient"] = ""
    found.names = {kind: keyed(look.key, f"id-{kind}", name) for kind, name in identifiers.items() if name}
    found.series = keyed(look.key, "series", identifiers["series"]) if identifiers["series"] else ""
    found.tag = (text(header, tagged) or None) if tagged else None
    found.instance = integer(header, "InstanceNumber")
    found.frames = max(1, integer(header, "NumberOfFrames", 1))
    orientation = numbers(header, "ImageOrientationPatient")
    found.position = position(numbers(header, "ImagePositionPatient"), orientation)
    found.orientation = tuple(orientation) if len(orientation) == 6 else ()
    rows, columns = integer(header, "Rows"), integer(header, "Columns")
    found.picture = _synthetic(header) and _captured(header)
    found.side = side_of_picture(rows, columns) if found.picture else None
    values = rows * columns * found.frames * integer(header, "SamplesPerPixel", 1)
    if values > look.max_pixels:
        raise Refused("too_large", f"the header claims more than {look.max_pixels} values (--max-pixels)", "failed")


def _check_class(header: Dataset) -> None:
    sop_class = UID(text(header, "SOPClassUID"))
    meta = UID(text(getattr(header, "file_meta", None) or Dataset(), "MediaStorageSOPClassUID"))
    if _DICOMDIR in (sop_class, meta):
        raise Refused("dicomdir", "a DICOMDIR: an index of files, not an image")
    if not sop_class and not meta and "Rows" not in header:
        raise Refused("not_dicom", "neither an image nor another DICOM object", "failed")
    if (sop_class or meta) and not is_picture(sop_class or meta):
        raise Refused(NO_PICTURE.reason, NO_PICTURE.detail)


def is_picture(sop_class: str) -> bool:
    """Whether objects of a SOP class hold images that are read."""
    name = UID(sop_class).name
    return ("Image Storage" in name and "Segmentation" not in name) or name == "Parametric Map Storage"


def accepts(found: Probe, dicom_modalities: list[str], named: bool) -> bool:
    """Whether a file's Modality belongs to the dataset; ``named``: the user said which one it is."""
    return found.modality in dicom_modalities or (named and found.modality in _ANY_MODALITY)


def read(found: Probe, recipe: Recipe) -> tuple[Facts, Iterator[Plane]]:
    """Read one file: its facts, and its planes frame by frame.

    Raises:
        Refused: No pixels, or pixels that do not fit the dataset.
    """
    with stream(found) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
        file.seek(0)
        header = dcmread(file, force=True)
    if not any(k in header for k in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        if b"\xe0\x7f\x10\x00" in content(found):  # Pixel Data begins, but pydicom came to the end of the file in it
            raise Refused("truncated", "the file ends within its pixels", "failed")
        raise Refused("no_pixel_data", "an image header without pixels")
    if not integer(header, "Rows") or not integer(header, "Columns"):
        raise Refused("zero_size", "an image of zero rows or columns", "failed")
    _name_transfer_syntax(header)
    dicom_values.check_transfer_syntax(header)
    bounds.check_pixels(header, recipe.max_pixels)
    facts = _facts(header, digest, recipe)
    if facts.photometric == "other":
        raise Refused("photometric", "a Photometric Interpretation that DICOM does not define", "failed")
    frames = max(1, integer(header, "NumberOfFrames", 1))
    region = ultrasound_region(header)
    notes = [facts.note] if facts.note else []
    if region is not None:
        notes.append("cropped to its ultrasound region")
    if frames > 1:
        facts.volume = keyed(recipe.key, "volume", facts.digest)
        if recipe.slices != "all":
            notes.append(f"frames chosen by --slices {recipe.slices}")
    elif facts.series and found.position is not None:
        facts.volume = keyed(recipe.key, "volume", facts.series, str(found.part)) if found.part else facts.series
    facts.note = "; ".join(notes)
    return facts, _planes(header, found, facts, recipe, frames, region)


def _name_transfer_syntax(header: Dataset) -> None:
    """Files without meta information say how they are encoded by how they could be read."""
    if not hasattr(header, "file_meta"):
        header.file_meta = FileMetaDataset()
    if not text(header.file_meta, "TransferSyntaxUID"):
        implicit, little = header.original_encoding
        plain = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else plain


def _facts(header: Dataset, digest: str, recipe: Recipe) -> Facts:
    key = recipe.key
    patient, study, series = (text(header, k) for k in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID"))
    if patient and patient.upper() not in _NOBODY:
        # Without IssuerOfPatientID: the same patient with and without it must not become two.
        subject, origin = keyed(key, "subject", "", patient), "patient"
    elif study:
        subject, origin = keyed(key, "subject-study", study), "study"
    else:
        subject, origin = keyed(key, "subject-file", digest), "file"
    covariates = Covariates(
        view=deidentify.view(text(header, "ViewPosition")),
        sex=deidentify.sex(text(header, "PatientSex")),
        age_band=deidentify.age_band(*(text(header, k) for k in ("PatientAge", "PatientBirthDate", "StudyDate"))),
        vendor=deidentify.vendor(text(header, "Manufacturer")),
    )
    modality = text(header, "Modality").upper()
    known = modality in recipe.preset.dicom_modalities
    return Facts(
        digest=digest,
        modality=modality if known else recipe.preset.modality,
        subject=subject,
        subject_from=origin,  # type: ignore[arg-type]
        study=keyed(key, "study", study) if study else None,
        series=keyed(key, "series", series) if series else None,
        covariates=covariates,
        photometric=dicom_values.photometric(header),
        note="PET values in the unit of the file, not SUV" if modality == "PT" else "",
        synthetic=_synthetic(header),
        warnings=_warnings(header, modality),
    )


def _synthetic(header: Dataset) -> bool:
    """Synthetic Data (0008,001C), PS3.3 C.12.1."""
    return text(header, "SyntheticData").upper() == "YES"


def _captured(header: Dataset) -> bool:
    return "Secondary Capture" in UID(text(header, "SOPClassUID")).name


def _warnings(header: Dataset, modality: str) -> tuple[Literal["text", "face"], ...]:
    found: list[Literal["text", "face"]] = []
    often = modality in (*_ULTRASOUND, "SC", "OT") or _captured(header)
    if often and text(header, "BurnedInAnnotation").upper() != "NO":
        found.append("text")
    part = re.sub("[^A-Z]", "", text(header, "BodyPartExamined").upper())
    if modality in ("CT", "MR") and part in _HEAD:
        found.append("face")
    return tuple(found)


def _planes(
    header: Dataset, found: Probe, facts: Facts, recipe: Recipe, frames: int, region: Region | None
) -> Iterator[Plane]:
    colour = dicom_values.is_colour(header)
    if recipe.hounsfield and colour:
        raise Refused("no_hounsfield", "a colour image, which holds no Hounsfield units")
    geometry = [_geometry(header, frame) for frame in range(frames)]
    volumes = _stack(geometry) if frames > 1 else [(found.part, found.slice_index)]
    wanted = _wanted(volumes, recipe.slices) if frames > 1 else range(1)
    for frame, stored in zip(wanted, dicom_values.stored_values(header, wanted), strict=False):
        if region is not None:
            stored = stored[slice(*region.rows), slice(*region.columns)]
        if colour:
            plane = _colour_plane(stored, header, frame, recipe.colour, facts.synthetic)
        else:
            values = dicom_values.modality_values(stored, header, frame, recipe.hounsfield)
            plane = Plane(values, frame, valid=dicom_values.not_padding(stored, header))
            if not recipe.hounsfield:
                plane.values, plane.display = dicom_values.voi(values, header, frame)
            plane.inverted = facts.photometric == "MONOCHROME1"
        plane.spacing, plane.pixel = spacing(header, frame)
        if region is not None and region.spacing is not None:
            plane.spacing = plane.pixel = region.spacing
        plane.orientation, plane.slice_position = geometry[frame]
        part, plane.slice_index = volumes[frame]
        if frames > 1 and part:
            plane.volume = keyed(recipe.key, "volume", facts.digest, str(part))
        yield plane


def _colour_plane(stored: np.ndarray, header: Dataset, frame: int, kept: bool, as_shown: bool) -> Plane:
    rgb, largest = dicom_values.colours(stored, header)
    display = Display(0.0, largest, "dtype")
    if kept:
        return Plane(rgb.astype(np.float32), frame, display=display)
    return Plane(luminance(rgb), frame, display=display if as_shown else None)


def _geometry(header: Dataset, frame: int) -> tuple[list[float] | None, float | None]:
    orientation = numbers(header, "ImageOrientationPatient", "PlaneOrientationSequence", frame)
    place = numbers(header, "ImagePositionPatient", "PlanePositionSequence", frame)
    return orientation if len(orientation) == 6 else None, position(place, orientation)


def _stack(geometry: Sequence[tuple[list[float] | None, float | None]]) -> list[tuple[int, int | None]]:
    """Volume and place of every frame; frames without places of their own, as of a cine, are one stack as they come."""
    places = [
        Place(at, tuple(orientation), frame, frame)
        for frame, (orientation, at) in enumerate(geometry)
        if orientation is not None and at is not None
    ]
    if len(places) < len(geometry) or len({p.position for p in places}) == 1:
        return [(0, frame) for frame in range(len(geometry))]
    stacks = stack(places)
    return list(zip(stacks.part, stacks.index, strict=True))


def _wanted(volumes: Sequence[tuple[int, int | None]], rule: str) -> Sequence[int]:
    if rule == "all":
        return range(len(volumes))
    taken: list[int] = []
    for part in sorted({part for part, _ in volumes}):
        frames = sorted((i for i, v in enumerate(volumes) if v[0] == part), key=lambda i: volumes[i][1] or 0)
        taken += [frames[i] for i in chosen(len(frames), rule)]
    return sorted(taken)


def _header(header: Dataset) -> Dataset:
    if len(header) == 0 and not len(getattr(header, "file_meta", ())):
        raise Refused("not_dicom", "no DICOM element found", "failed")
    return header
