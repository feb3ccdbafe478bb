"""What of an archive is wanted: DICOM keywords and values, each searched for where it belongs, and checked again."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydicom.datadict import DicomDictionary, dictionary_VR, tag_for_keyword

from medsyn.errors import UsageError

WHERE = "--query"
_STUDY = frozenset(
    {"PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "PatientAge"}
    | {"StudyInstanceUID", "StudyID", "StudyDate", "StudyTime", "StudyDescription", "AccessionNumber"}
    | {"ReferringPhysicianName", "ModalitiesInStudy"}
)
_SERIES = frozenset(
    {"Modality", "SeriesInstanceUID", "SeriesNumber", "SeriesDate", "SeriesTime", "SeriesDescription", "ProtocolName"}
    | {"BodyPartExamined", "Laterality", "PatientPosition", "OperatorsName", "PerformingPhysicianName"}
    | {"Manufacturer", "ManufacturerModelName", "StationName", "InstitutionName", "InstitutionalDepartmentName"}
    | {"PerformedProcedureStepStartDate", "PerformedProcedureStepStartTime"}
)
"""Keywords of the patient's, study's and series' modules (PS3.3 table A.1-1); all others are of single instances."""
_TEXT = frozenset({"AE", "AS", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_NUMBER = frozenset({"DS", "FD", "FL", "IS", "SL", "SS", "UL", "US"})


@dataclass(frozen=True)
class Query:
    """What is wanted; values may name a patient and go nowhere but to the server.

    Attributes:
        values: DICOM keyword -> value: with ``*`` and ``?`` in texts, ``A-B`` of dates and times, ``A,B`` of UIDs.
    """

    values: Mapping[str, str]

    @classmethod
    def of(cls, values: Mapping[str, str]) -> Query:
        """Check the keywords and the form of the values.

        Raises:
            UsageError: An unknown keyword, one that nothing can be searched by, or a value of another form; the message
                holds no value.
        """
        for keyword, value in values.items():
            if tag_for_keyword(keyword) is None:
                known = [entry[4] for entry in DicomDictionary.values()]
                close = difflib.get_close_matches(keyword, known, 1)
                mend = f"Did you mean {close[0]}?" if close else "Use keywords of DICOM, as in Modality=CR."
                raise UsageError(f"'{keyword}' is no DICOM keyword", where=WHERE, mend=mend)
            kind = _kind(keyword)
            if kind not in _TEXT | _NUMBER | {"DA", "TM", "UI"}:
                raise UsageError(f"nothing can be searched by {keyword}, which is of kind {kind}", where=WHERE)
            if not value.strip():
                raise UsageError(f"{keyword} has no value", where=WHERE, mend="Write KEYWORD=VALUE, as in Modality=CR.")
            form = _FORMS.get(kind)
            if form and not re.fullmatch(form[0], value):
                raise UsageError(f"the value of {keyword} has another form than {form[1]}", where=WHERE)
        return cls(dict(values))

    def of_level(self, what: str) -> dict[str, str]:
        """What to ask for ``studies``, ``series`` or ``instances``.

        A series' Modality narrows the search for its study, too.
        """
        asked = {k: v for k, v in self.values.items() if _level(k) == what}
        if what == "studies" and "Modality" in self.values:
            asked.setdefault("ModalitiesInStudy", self.values["Modality"])
        return asked

    def fails(self, what: str, answer: Mapping[str, Any]) -> str | None:
        """The keyword in which an answer is other than what was asked for, None where it is that.

        A server must ignore what it cannot search by, and then answers with everything (PS3.18 8.3.4.4).
        """
        for keyword, wanted in self.values.items():
            if _level(keyword) == what and not _matches(wanted, answer, keyword):
                return keyword
        return None


def _kind(keyword: str) -> str:
    """Value representation; where DICOM allows several, the first."""
    return dictionary_VR(keyword).split()[0]


_DATE, _TIME, _UID = r"\d{8}", r"\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?", r"[0-9.]{1,64}"
_FORMS = {
    "DA": (f"{_DATE}|{_DATE}-({_DATE})?|-{_DATE}", "YYYYMMDD, YYYYMMDD-YYYYMMDD, YYYYMMDD- or -YYYYMMDD"),
    "TM": (f"{_TIME}|{_TIME}-({_TIME})?|-{_TIME}", "HHMMSS, HHMMSS-HHMMSS, HHMMSS- or -HHMMSS"),
    "UI": (f"{_UID}(,{_UID})*", "a UID, or several with commas between"),
} | dict.fromkeys(_NUMBER, (r"-?\d+(\.\d+)?", "a number"))


def _level(keyword: str) -> str:
    return "studies" if keyword in _STUDY else "series" if keyword in _SERIES else "instances"


def _matches(wanted: str, answer: Mapping[str, Any], keyword: str) -> bool:
    """Whether any value of an element fits (PS3.4 C.2.2.2); one that is missing or empty fits nothing."""
    tag = f"{tag_for_keyword(keyword):08X}"
    element = answer.get(tag)
    values = element.get("Value") if isinstance(element, Mapping) else None
    texts: list[str] = []
    for value in values if isinstance(values, list) else []:
        texts += map(str, value.values() if isinstance(value, Mapping) else [value])  # a name has three writings
    kind = _kind(keyword)
    return any(_fits(wanted, text.strip(), kind) for text in texts if text.strip())


def _fits(wanted: str, text: str, kind: str) -> bool:
    if kind == "UI":
        return text in wanted.split(",")
    if kind in _NUMBER:
        try:
            return float(text) == float(wanted)
        except ValueError:
            return False
    if kind in ("DA", "TM"):
        # Each figure that is left out may be any.
        length = 8 if kind == "DA" else 12
        low, dash, high = wanted.replace(".", "").partition("-")
        at = text.replace(".", "").replace(":", "").ljust(length, "0")
        return low.ljust(length, "0") <= at <= ((high or "9") if dash else low).ljust(length, "9")
    # Servers may take capitals for small letters, and commas for several values, which is more than the standard asks.
    patterns = {wanted, *wanted.split(",")}
    return any(
        re.fullmatch(re.escape(p.strip()).replace(r"\*", ".*").replace(r"\?", "."), text, re.IGNORECASE | re.DOTALL)
        for p in patterns
    )
