"""What may leave a header: keyed hashes, and four coarse facts by allow-list. Nothing else does."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass

IDENTIFIERS = {
    "sop": "SOPInstanceUID",
    "series": "SeriesInstanceUID",
    "study": "StudyInstanceUID",
    "accession": "AccessionNumber",
    "patient": "PatientID",
}
"""Kind of identifier -> keyword of the DICOM element that holds it (PS3.3 C.7 and C.12.1), the finest first."""

# ViewPosition (0018,5101), PS3.3 C.8.11.5 and usual practice.
VIEWS = frozenset(
    {"AP", "PA", "LL", "RL", "LLD", "RLD", "LLO", "RLO", "LAT", "LATERAL"}
    | {"CC", "MLO", "ML", "LM", "LMO", "XCC", "XCCL", "XCCM", "FB", "SIO"}
)
SEXES = frozenset("MFO")
_WORDS_OF_SEX = {"MALE": "M", "FEMALE": "F", "OTHER": "O"}

VENDORS = {  # what Manufacturer (0008,0070) begins with or holds as a word -> name in the index
    "siemens": "Siemens",
    "ge": "GE",
    "general electric": "GE",
    "philips": "Philips",
    "canon": "Canon",
    "toshiba": "Toshiba",
    "hitachi": "Hitachi",
    "fujifilm": "Fujifilm",
    "fuji": "Fujifilm",
    "agfa": "Agfa",
    "carestream": "Carestream",
    "kodak": "Kodak",
    "konica": "Konica Minolta",
    "hologic": "Hologic",
    "lorad": "Hologic",
    "samsung": "Samsung",
    "shimadzu": "Shimadzu",
    "mindray": "Mindray",
    "esaote": "Esaote",
    "bruker": "Bruker",
    "neusoft": "Neusoft",
    "united imaging": "United Imaging",
    "varian": "Varian",
    "swissray": "Swissray",
    "sectra": "Sectra",
    "picker": "Picker",
    "marconi": "Marconi",
    "elscint": "Elscint",
    "imatron": "Imatron",
    "acuson": "Acuson",
}


def keyed(key: bytes, domain: str, *parts: str) -> str:
    """HMAC-SHA-256 of an identifier, 32 hexadecimal digits.

    Args:
        key: Project key.
        domain: ``subject``, ``study``, ``series``, ``image``...: equal identifiers of two domains must not match.
        parts: The identifier.
    """
    message = "\x1f".join((domain, *parts)).encode()
    return hmac.digest(key, message, "sha256").hex()[:32]


@dataclass(frozen=True)
class Covariates:
    """The allow-listed facts about a patient and an image."""

    view: str | None = None
    sex: str | None = None
    age_band: str | None = None
    vendor: str | None = None


def view(text: str) -> str | None:
    """A view code of the allow-list, else None."""
    code = text.strip().upper()
    return code if code in VIEWS else None


def sex(text: str) -> str | None:
    """``M``, ``F``, ``O``, else None."""
    code = _WORDS_OF_SEX.get(text.strip().upper(), text.strip().upper())
    return code if code in SEXES else None


def vendor(text: str) -> str | None:
    """A known manufacturer's name; ``other`` for any other text, because it may hold anything; None where empty."""
    words = f" {re.sub(r'[^a-z]+', ' ', text.lower()).strip()} "
    if not words.strip():
        return None
    return next((name for word, name in VENDORS.items() if f" {word} " in words), "other")


def age_band(age: str = "", born: str = "", studied: str = "") -> str | None:
    """Age by decade, ``0-9`` ... ``80+``.

    Args:
        age: DICOM age string (``045Y``, ``018M``) or a number of years.
        born: Birth date YYYYMMDD, used with ``studied`` where there is no age.
        studied: Study date YYYYMMDD.
    """
    years = _years(age.strip())
    if years is None:
        dates = [re.fullmatch(r"(\d{4})[.-]?(\d{2})[.-]?(\d{2})", text.strip()) for text in (born, studied)]
        if None in dates:
            return None
        (y0, m0, d0), (y1, m1, d1) = (tuple(int(g) for g in match.groups()) for match in dates if match)
        years = y1 - y0 - ((m1, d1) < (m0, d0))
    if not 0 <= years <= 130:
        return None
    decade = int(years) // 10 * 10
    return "80+" if decade >= 80 else f"{decade}-{decade + 9}"


def _years(age: str) -> float | None:
    match = re.fullmatch(r"(\d{1,3}(?:\.\d+)?)\s*([DWMY]?)", age.upper())
    if not match:
        return None
    return float(match[1]) / {"D": 365.25, "W": 52.18, "M": 12, "Y": 1, "": 1}[match[2]]
