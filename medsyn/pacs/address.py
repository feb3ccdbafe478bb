"""Where a DICOMweb service is: its root, as it may be shown."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from medsyn.errors import UsageError

USER, PASSWORD, TOKEN = "MEDSYN_PACS_USER", "MEDSYN_PACS_PASSWORD", "MEDSYN_PACS_TOKEN"
ROOT = "Name the root below which /studies lies, as in https://pacs.example.org/dicom-web."


def is_url(path: str) -> bool:
    """Whether something that is named as an input is a server."""
    return re.match(r"(?i)https?://", path) is not None


def checked_url(url: str) -> str:
    """The root of a service in one way of writing: scheme and host in small letters, no slash at the end.

    Raises:
        UsageError: Not such a URL, or one with credentials or a query in it; the message does not repeat them.
    """
    where = "the address of the PACS"
    try:
        parts = urlsplit(url.strip())
        host, port = (parts.hostname or ""), parts.port
    except ValueError:
        host = ""
    if not host or parts.scheme.lower() not in ("http", "https"):
        raise UsageError("is not a URL of http or https", where=where, mend=ROOT)
    if "@" in url:  # a password with a slash in it looks like a path
        mend = f"Leave them out: set {USER} and {PASSWORD}, or {TOKEN}, or use ~/.netrc."
        raise UsageError("holds credentials, which shells and logs remember", where=where, mend=mend)
    if parts.query or parts.fragment:
        raise UsageError("holds a query ('?' or '#')", where=where, mend="Name the root alone; search with --query.")
    place = f"[{host}]" if ":" in host else host
    return f"{parts.scheme.lower()}://{place}{f':{port}' if port else ''}{parts.path.rstrip('/')}"


def is_here(url: str) -> bool:
    """Whether a service runs on this machine."""
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")
