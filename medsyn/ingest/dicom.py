"""DICOM: what counts as an image, and its planes with exact grey values."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.pixels import apply_color_lut, iter_pixels
from pydicom.uid import UID

from medsyn.data.grey import luminance
from medsyn.ingest import deidentify
from medsyn.ingest.deidentify import Covariates, keyed
from medsyn.ingest.intensity import Display, lookup, sigmoid, window_range
from medsyn.ingest.labels.identifiers import IDENTIFIERS
from medsyn.ingest.source import Facts, LookFor, Plane, Probe, Recipe, Refused, content, stream

_DICOMDIR = "1.2.840.10008.1.3.10"
_NOBODY = frozenset({"ANON", "ANONYM", "ANONYMOUS", "ANONYMIZED", "ANONYMISED", "UNKNOWN", "NONE", "NULL", "NA", "N/A"})
"""Placeholders of PatientID, which name no patient."""
_HEAD = frozenset({"HEAD", "BRAIN", "SKULL", "FACE", "HEADNECK", "ORBIT", "SINUS", "IAC", "PITUITARY", "TMJ", "JAW"})
"""Body Part Examined (0018,0015), PS3.16 annex L, of what shows a face."""
_ANY_MODALITY = ("", "OT", "SC")  # says nothing about the anatomy's imaging: taken where the user names the modality


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
    tags = ["SOPClassUID", "Modality", "SeriesInstanceUID", "ImageType", "InstanceNumber", "BurnedInAnnotation"]
    tags += ["ImagePositionPatient", "ImageOrientationPatient", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel"]
    tags += [*IDENTIFIERS.values(), *filter(None, [look.tag])]
    with stream(found) as file:
        header = _header(dcmread(file, force=True, stop_before_pixels=True, specific_tags=tags))
    found.names = {
        kind: keyed(look.key, f"id-{kind}", name)
        for kind, keyword in IDENTIFIERS.items()
        if (name := _text(header, keyword)) and not (kind == "patient" and name.upper() in _NOBODY)
    }
    found.tag = _text(header, look.tag) or None if look.tag else None
    sop_class = UID(str(header.get("SOPClassUID", "") or ""))
    meta = str(getattr(header, "file_meta", {}).get("MediaStorageSOPClassUID", "") or "")
    if _DICOMDIR in (sop_class, meta):
        raise Refused("dicomdir", "a DICOMDIR: an index of files, not an image")
    if not sop_class and not meta and "Rows" not in header:
        raise Refused("not_dicom", "neither an image nor another DICOM object", "failed")
    name = UID(sop_class or meta).name
    if (sop_class or meta) and ("Image Storage" not in name or "Segmentation" in name):
        raise Refused("not_an_image_class", "a DICOM object of another kind than an image")
    if "LOCALIZER" in [str(v).upper() for v in _many(header.get("ImageType"))]:
        raise Refused("localiser", "a localiser")
    if str(header.get("BurnedInAnnotation", "")).strip().upper() == "YES" and not look.allow_burned_in:
        raise Refused("burned_in", "the header says that text is burned into the pixels", "quarantined")
    found.modality = str(header.get("Modality", "") or "").strip().upper()
    found.series = str(header.get("SeriesInstanceUID", "") or "")
    found.position = _position(_numbers(header, "ImagePositionPatient"), _numbers(header, "ImageOrientationPatient"))
    found.instance = int(header.get("InstanceNumber", 0) or 0)
    rows, columns = int(header.get("Rows", 0) or 0), int(header.get("Columns", 0) or 0)
    values = rows * columns * int(header.get("NumberOfFrames", 1) or 1) * int(header.get("SamplesPerPixel", 1) or 1)
    if values > look.max_pixels:
        raise Refused("too_large", f"the header claims more than {look.max_pixels} values (--max-pixels)", "failed")


def accepts(found: Probe, dicom_modalities: list[str], named: bool) -> bool:
    """Whether a file's Modality belongs to the dataset; ``named``: the user said which one it is."""
    return found.modality in dicom_modalities or (named and found.modality in _ANY_MODALITY)


def read(found: Probe, recipe: Recipe) -> tuple[Facts, Iterator[Plane]]:
    """Read one file: its facts, and its planes frame by frame.

    Raises:
        Refused: No pixels, or pixels that do not fit the dataset.
    """
    data = content(found)
    header = dcmread(io.BytesIO(data), force=True)
    if not any(k in header for k in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise Refused("no_pixel_data", "an image header without pixels")
    if not header.get("Rows") or not header.get("Columns"):
        raise Refused("zero_size", "an image of zero rows or columns", "failed")
    facts = _facts(header, hashlib.sha256(data).hexdigest(), recipe)
    frames = int(header.get("NumberOfFrames", 1) or 1)
    if frames > 1:
        facts.volume = keyed(recipe.key, "volume", facts.digest)
    elif facts.series and found.position is not None:
        facts.volume = facts.series
    return facts, _planes(header, found, recipe, frames)


def _facts(header: Dataset, digest: str, recipe: Recipe) -> Facts:
    key = recipe.key
    patient, study, series = (_text(header, k) for k in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID"))
    if patient and patient.upper() not in _NOBODY:
        # Without IssuerOfPatientID: the same patient with and without it must not become two.
        subject, origin = keyed(key, "subject", "", patient), "patient"
    elif study:
        subject, origin = keyed(key, "subject-study", study), "study"
    else:
        subject, origin = keyed(key, "subject-file", digest), "file"
    covariates = Covariates(
        view=deidentify.view(_text(header, "ViewPosition")),
        sex=deidentify.sex(_text(header, "PatientSex")),
        age_band=deidentify.age_band(*(_text(header, k) for k in ("PatientAge", "PatientBirthDate", "StudyDate"))),
        vendor=deidentify.vendor(_text(header, "Manufacturer")),
    )
    modality = _text(header, "Modality").upper()
    known = modality in recipe.preset.dicom_modalities
    return Facts(
        digest=digest,
        modality=modality if known else recipe.preset.modality,
        subject=subject,
        subject_from=origin,  # type: ignore[arg-type]
        study=keyed(key, "study", study) if study else None,
        series=keyed(key, "series", series) if series else None,
        covariates=covariates,
        synthetic=_text(header, "SyntheticData").upper() == "YES",
        warnings=_warnings(header, modality),
    )


def _warnings(header: Dataset, modality: str) -> tuple[Literal["text", "face"], ...]:
    found: list[Literal["text", "face"]] = []
    captured = "Secondary Capture" in UID(_text(header, "SOPClassUID")).name
    if (modality in ("US", "SC", "OT") or captured) and _text(header, "BurnedInAnnotation").upper() != "NO":
        found.append("text")
    part = re.sub("[^A-Z]", "", _text(header, "BodyPartExamined").upper())
    if modality in ("CT", "MR") and part in _HEAD:
        found.append("face")
    return tuple(found)


def _planes(header: Dataset, found: Probe, recipe: Recipe, frames: int) -> Iterator[Plane]:
    photometric = _text(header, "PhotometricInterpretation").upper()
    colour = int(header.get("SamplesPerPixel", 1) or 1) > 1 or photometric == "PALETTE COLOR"
    if recipe.hounsfield and colour:
        raise Refused("no_hounsfield", "a colour image, which holds no Hounsfield units")
    for frame, stored in enumerate(iter_pixels(header)):
        if colour:
            rgb = apply_color_lut(stored, header) if photometric == "PALETTE COLOR" else stored
            plane = Plane(luminance(rgb), frame)
        else:
            values = _modality_values(stored, header, frame, recipe.hounsfield)
            plane = Plane(values, frame, valid=_not_padding(stored, header))
            if not recipe.hounsfield:
                plane.values, plane.display = _voi(values, header, frame)
            plane.inverted = photometric == "MONOCHROME1"
        plane.spacing, plane.pixel = _spacing(header, frame)
        orientation = _numbers(header, "ImageOrientationPatient", "PlaneOrientationSequence", frame)
        position = _numbers(header, "ImagePositionPatient", "PlanePositionSequence", frame)
        plane.orientation = orientation if len(orientation) == 6 else None
        plane.slice_position = _position(position, orientation)
        plane.slice_index = frame if frames > 1 else found.slice_index
        yield plane


# ---- grey values


def _modality_values(stored: np.ndarray, header: Dataset, frame: int, hounsfield: bool) -> np.ndarray:
    """Modality LUT or Rescale (PS3.3 C.11.1), per frame where functional groups say so (C.7.6.16.2.9)."""
    table = header.get("ModalityLUTSequence")
    slope = _first(header, "RescaleSlope", "PixelValueTransformationSequence", frame)
    intercept = _first(header, "RescaleIntercept", "PixelValueTransformationSequence", frame)
    if hounsfield:
        kind = str(_get(header, "RescaleType", "PixelValueTransformationSequence", frame) or "HU").strip().upper()
        if table or slope is None or intercept is None or kind not in ("HU", "US"):
            raise Refused("no_hounsfield", "no Rescale Slope and Intercept to Hounsfield units")
    if table:
        return lookup(stored, table[0], _little_endian(header))[0]
    if slope is None or intercept is None:
        return stored.astype(np.float32)
    return (stored.astype(np.float64) * slope + intercept).astype(np.float32)


def _voi(values: np.ndarray, header: Dataset, frame: int) -> tuple[np.ndarray, Display | None]:
    """VOI LUT before window (PS3.3 C.11.2); the first of several alternatives."""
    group = "FrameVOILUTSequence"
    tables = _get(header, "VOILUTSequence", group, frame)
    if tables and "LUTDescriptor" in tables[0] and "LUTData" in tables[0]:
        shown, largest = lookup(values, tables[0], _little_endian(header))
        return shown, Display(0.0, largest, "voi_lut")
    centre, width = _first(header, "WindowCenter", group, frame), _first(header, "WindowWidth", group, frame)
    if centre is None or width is None:
        return values, None
    function = str(_get(header, "VOILUTFunction", group, frame) or "LINEAR").strip().upper()
    if function == "SIGMOID":
        return (sigmoid(values, centre, width), Display(0.0, 1.0, "voi_lut")) if width > 0 else (values, None)
    return values, window_range(centre, width, function)


def _not_padding(stored: np.ndarray, header: Dataset) -> np.ndarray | None:
    """False where Pixel Padding Value .. Range Limit (PS3.3 C.7.5.1.1.2) lies."""
    padding = header.get("PixelPaddingValue")
    if padding is None or isinstance(padding, bytes):
        return None
    limit = header.get("PixelPaddingRangeLimit")
    ends = sorted((int(padding), int(padding if limit is None or isinstance(limit, bytes) else limit)))
    return (stored < ends[0]) | (stored > ends[1])


def _spacing(header: Dataset, frame: int) -> tuple[tuple[float, float] | None, tuple[float, float]]:
    """Spacing in mm by the fallback chain, and the height and width of a pixel in a common unit."""
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        pair = _numbers(header, keyword, "PixelMeasuresSequence", frame)
        if len(pair) == 2 and min(pair) > 0:
            return (pair[0], pair[1]), (pair[0], pair[1])
    ratio = _numbers(header, "PixelAspectRatio")  # vertical : horizontal, PS3.3 C.7.6.3.1.7
    return None, (ratio[0], ratio[1]) if len(ratio) == 2 and min(ratio) > 0 else (1.0, 1.0)


def _position(position: list[float], orientation: list[float]) -> float | None:
    """Place along the slice normal in mm (PS3.3 C.7.6.2.1.1)."""
    if len(position) != 3 or len(orientation) != 6:
        return None
    normal = np.cross(orientation[:3], orientation[3:])
    return float(np.dot(normal, position))


# ---- header access


def _header(header: Dataset) -> Dataset:
    if len(header) == 0 and not len(getattr(header, "file_meta", ())):
        raise Refused("not_dicom", "no DICOM element found", "failed")
    return header


def _get(header: Dataset, keyword: str, group: str, frame: int) -> Any:
    """A value from the frame's functional groups, the shared ones, or the top level, in this order."""
    per_frame = header.get("PerFrameFunctionalGroupsSequence") or []
    shared = header.get("SharedFunctionalGroupsSequence") or []
    for item in [*per_frame[frame : frame + 1], *shared[:1]]:
        inner = item.get(group)
        if inner and inner[0].get(keyword) not in (None, ""):
            return inner[0].get(keyword)
    return header.get(keyword)


def _numbers(header: Dataset, keyword: str, group: str = "", frame: int = 0) -> list[float]:
    values = _get(header, keyword, group, frame) if group else header.get(keyword)
    try:
        numbers = [float(v) for v in _many(values)]
    except (TypeError, ValueError):
        return []
    return numbers if all(np.isfinite(numbers)) else []


def _first(header: Dataset, keyword: str, group: str, frame: int) -> float | None:
    return next(iter(_numbers(header, keyword, group, frame)), None)


def _many(value: Any) -> list[Any]:
    if value is None or value == "":
        return []
    return list(value) if not isinstance(value, str | bytes) and hasattr(value, "__iter__") else [value]


def _text(header: Dataset, keyword: str) -> str:
    values = _many(header.get(keyword))
    return str(values[0]).strip().strip("\0") if values else ""


def _little_endian(header: Dataset) -> bool:
    encoding = getattr(header, "original_encoding", (None, None))[1]
    return encoding is not False
