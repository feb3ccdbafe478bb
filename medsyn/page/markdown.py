"""Text inside Markdown."""

from __future__ import annotations

import re


def plain(text: object) -> str:
    """Text that Markdown shows as it is, also inside a table: a class label may hold anything."""
    return re.sub(r"([\\`*_\[\]<>|#~$&])", r"\\\1", " ".join(str(text).split()))
