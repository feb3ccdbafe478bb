"""Classes by the value of a DICOM element."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set

from pydicom.datadict import dictionary_VR, tag_for_keyword

from medsyn.errors import DataError, UsageError
from medsyn.ingest.labels.values import Joined, LabelRow, check_map, meaning
from medsyn.ingest.source import Probe

MOST_CLASSES = 50
"""Values of an element above which it is no class."""

_OPEN_VR = frozenset({"CS", "SH", "LO", "IS", "DS", "US", "SS", "UL", "SL", "AS", "FL", "FD"})
"""Value representations (PS3.5 6.2) of codes and short texts: no person names, dates, times, UIDs or free text."""
_OF_PATIENTS = frozenset(
    {"PatientSex", "PatientAge", "PatientSize", "PatientWeight", "SmokingStatus", "PregnancyStatus"}
    | {"PatientSexNeutered", "PatientSpeciesDescription", "PatientBreedDescription", "EthnicGroup"}
)
"""Of the patient's group (0010,xxxx), what names nobody."""
_NAMES_SOMEBODY = frozenset(
    {"AccessionNumber", "StudyID", "InstitutionName", "InstitutionalDepartmentName", "StationName"}
    | {"DeviceSerialNumber", "DetectorID", "GantryID", "PlateID", "CassetteID", "ImageID", "AcquisitionID"}
    | {"RequestedProcedureID", "ScheduledProcedureStepID", "PerformedProcedureStepID", "FillerOrderNumber"}
    | {"FillerOrderNumberImagingServiceRequest", "PlacerOrderNumberImagingServiceRequest", "AdmissionID"}
    | {"ServiceEpisodeID", "IssuerOfAdmissionID", "CurrentPatientLocation", "ClinicalTrialSubjectID"}
    | {"ClinicalTrialSubjectReadingID", "OrderEnteredBy", "OrderEntererLocation", "OrderCallbackPhoneNumber"}
)
"""Further elements that PS3.15 annex E removes because they point at a person or a place."""


def check(keyword: str) -> None:
    """Refuse an element that cannot or must not be a class.

    Raises:
        UsageError: No element of the standard's dictionary, or one that may name a person, a place or a day.
    """
    number = tag_for_keyword(keyword)
    if number is None:
        raise UsageError(
            f"no DICOM element is called '{keyword}'",
            where="--label-from",
            mend="Say a keyword of the standard, such as tag:BodyPartExamined.",
        )
    person = number >> 16 == 0x0010 and keyword not in _OF_PATIENTS
    if person or keyword in _NAMES_SOMEBODY or dictionary_VR(number) not in _OPEN_VR:
        raise UsageError(
            f"'{keyword}' may name a person, a place or a day, and classes are written into every dataset and report",
            where="--label-from",
            mend="Take another element, or give the classes with --labels.",
        )


def join(
    wanted: Iterable[Probe], numbers: Set[int], keyword: str, label_map: Mapping[str, str], classes: Sequence[str]
) -> Joined:
    """The value that the first look found is the class.

    Args:
        wanted: Files that will be read.
        numbers: Of them those that have no label of their own.
        keyword: Of the element, for messages.
        label_map: Value -> class.
        classes: The classes there are, or none.

    Raises:
        DataError: Too many values, or one that is none of the classes; values are not named, being a header's.
        UsageError: The map names a value that does not occur.
    """
    where = f"--label-from tag:{keyword}"
    tags = {p.number: p.tag for p in wanted if p.tag and p.number in numbers}
    values = set(tags.values())
    check_map(label_map, values, where, show=False)
    targets = meaning(values, label_map, classes)
    there = {target.value for target in targets.values() if target.value is not None}
    if len(there) > MOST_CLASSES:
        raise DataError(
            f"the element has {len(there)} different values: that is no class",
            where=where,
            mend="Take another element, or join values with --map.",
        )
    unknown = there - {*classes} if classes else set()
    if unknown:
        raise DataError(
            f"{len(unknown)} values of the element are none of the classes",
            where=where,
            mend=f"The classes named are: {', '.join(classes)}. Correct --classes, or leave values out with --map.",
        )
    return Joined({n: LabelRow(*targets[tag]) for n, tag in tags.items()}, where=where)
