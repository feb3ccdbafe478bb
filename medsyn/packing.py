"""What no image is packed like: an entry of a zip archive that would grow beyond reason."""

from __future__ import annotations

import zipfile

MAX_RATIO = 500
"""Packing that no image reaches: deflate's best is 1,032, and that only for nothing but zeros."""
RATIO_FROM = 2**26
"""Unpacked bytes below which any packing will do."""


def is_bomb(entry: zipfile.ZipInfo) -> bool:
    """Whether an entry says that it would grow to more than any image does."""
    return entry.file_size > max(RATIO_FROM, MAX_RATIO * entry.compress_size)
