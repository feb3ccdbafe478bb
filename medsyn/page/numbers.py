"""How numbers, dates and durations are written on a page: one way each."""

from __future__ import annotations

import math
from datetime import UTC, datetime

MINUS, THIN, DASH = "\u2212", "\u202f", "\u2013"  # minus sign, narrow no-break space, en dash for "not available"


def number(value: float | None, digits: int = 3) -> str:
    """A number with a fixed count of decimals and a true minus sign; an en dash where there is none."""
    if value is None or math.isnan(value):
        return DASH
    if math.isinf(value):
        return f"{MINUS if value < 0 else ''}∞"
    text = f"{abs(value):.{digits}f}"
    return f"{MINUS}{text}" if value < 0 and float(text) else text


def signed(value: float | None, digits: int = 3) -> str:
    """A difference: as `number`, with a plus sign where it is above zero once rounded."""
    text = number(value, digits)
    return f"+{text}" if text[0].isdigit() and float(text) else text


def count(value: int) -> str:
    """A whole number, its thousands set apart from five digits on."""
    return f"{value:,}".replace(",", THIN) if abs(value) >= 10_000 else str(value)


def p_value(value: float) -> str:
    """A p-value with its relation: ``< 0.001`` where three decimals would show zero."""
    return "< 0.001" if value < 0.001 else f"= {number(value)}"


def day(iso: str) -> str:
    """An ISO 8601 moment as ``2026-01-31 09:05 UTC``; what is no such moment stays as it is."""
    try:
        moment = datetime.fromisoformat(iso)
    except ValueError:
        return iso
    if moment.tzinfo is None:
        return f"{moment:%Y-%m-%d %H:%M}"
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def duration(seconds: float) -> str:
    """Seconds as ``41 s``, ``12 min 4 s`` or ``2 h 5 min``."""
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    if hours:
        return f"{hours}{THIN}h {minutes}{THIN}min"
    return f"{minutes}{THIN}min {rest}{THIN}s" if minutes else f"{rest}{THIN}s"


_MODALITIES = {
    "xray": "X-ray",
    "mri": "MRI",
    "ct": "CT",
    "ultrasound": "Ultrasound",
    "mammography": "Mammography",
    "angiography": "Angiography",
    "nuclear": "Nuclear medicine",
}


def modality_name(key: str) -> str:
    return _MODALITIES.get(key, key)
