"""What a table may name its cases by, from the finest to the coarsest."""

from __future__ import annotations

import re
from collections.abc import Iterator

from medsyn.data.tables import FILE_COLUMNS

SUBJECT_COLUMNS = (
    *("patient_id", "patientid", "patient", "subject_id", "subjectid", "subject", "participant_id", "participant"),
    *("patient_number", "patient_no", "pid", "mrn"),
)

COLUMNS: dict[str, tuple[str, ...]] = {
    "file": FILE_COLUMNS,
    "sop": (
        *("sopinstanceuid", "sop_instance_uid", "sop_uid", "sopuid", "sop", "instance_uid", "instanceuid"),
        *("image_uid", "dicom_id", "dicom_uid"),
    ),
    "series": ("seriesinstanceuid", "series_instance_uid", "series_uid", "seriesuid", "series_id", "series"),
    "study": ("studyinstanceuid", "study_instance_uid", "study_uid", "studyuid", "study_id", "studyid", "study"),
    "accession": (
        *("accessionnumber", "accession_number", "accession_no", "accession", "acc_no", "acc"),
        *("accession_id", "accessionno"),
    ),
    "patient": SUBJECT_COLUMNS,
}
"""Kind -> the usual names of its column, as `tables.find_column` compares them."""

_LONGEST = 16  # digits of an identifier (VR SH, PS3.5 6.2)


def mended(text: str, kind: str) -> Iterator[tuple[str, str]]:
    """What an identifier may have been before a spreadsheet changed it: what was done, and the text then."""
    plain = re.sub(r"^(\d+)\.0+$", r"\1", text)
    if plain != text:
        yield "without '.0'", plain
    if plain.isdecimal():
        yield from ((f"with zeros in front, {n} digits", plain.zfill(n)) for n in range(len(plain) + 1, _LONGEST + 1))
        if plain.startswith("0"):
            yield "without zeros in front", plain.lstrip("0")
    if text.upper() != text:
        yield "in capitals", text.upper()
    if text.lower() != text:
        yield "in small letters", text.lower()
    if kind == "patient":  # of a BIDS dataset
        yield "with 'sub-' in front", f"sub-{text}"
