"""What DICOMweb servers answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
from pydicom import Dataset


def first(answer: Mapping[str, Any], tag: str) -> str:
    """The first value of an element of DICOM JSON as text, an empty one where there is none."""
    element = answer.get(tag)
    values = element.get("Value") if isinstance(element, Mapping) else None
    return str(values[0]) if isinstance(values, list) and values and isinstance(values[0], str | int | float) else ""


def plain_content_type(response: requests.Response, **_: Any) -> None:
    """JSON is JSON also with a charset, of which dicomweb-client knows nothing."""
    kind = response.headers.get("Content-Type", "").split(";")[0].strip().lower()
    if kind in ("application/dicom+json", "application/json"):
        response.headers["Content-Type"] = kind


def body_of(response: requests.Response) -> Dataset:
    """What a refusal says of single instances, where it says anything."""
    try:
        return Dataset.from_json(response.json())
    except Exception:  # whatever a page of text for people may raise
        return Dataset()


def only_part(body: bytes, content_type: str) -> bytes:
    """The part of a multipart message of one (RFC 2046 5.1.1), or a body that is no such message.

    Raises:
        requests.ConnectionError: The message has no end: the connection was lost.
        ValueError: Not a message of DICOM.
    """
    boundary = re.search(r'boundary="?([^";,]+)', content_type)
    if not content_type.lower().startswith("multipart/related") or boundary is None:
        if content_type.lower().startswith("application/dicom") and "+" not in content_type:
            return body
        raise ValueError("not DICOM")
    mark = b"--" + boundary[1].strip().encode()
    head, _, rest = body.partition(mark)
    _, gap, part = rest.partition(b"\r\n\r\n")
    end = part.rfind(b"\r\n" + mark)
    if head.strip() or not gap:
        raise ValueError("not DICOM")
    if end < 0:
        raise requests.ConnectionError("cut off")
    return part[:end]


def redirection(response: requests.Response | None) -> str:
    """Where a redirection leads, without what may be secret in it."""
    parts = urlsplit(response.headers.get("Location", "")) if response is not None else urlsplit("")
    return f"{parts.scheme}://{parts.hostname}{parts.path}" if parts.hostname else "another address"
