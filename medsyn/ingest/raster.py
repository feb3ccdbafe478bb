"""PNG, JPEG, TIFF and BMP."""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from medsyn.data.grey import grey
from medsyn.ingest import masks
from medsyn.ingest.contents import content
from medsyn.ingest.deidentify import keyed
from medsyn.ingest.intensity import Display
from medsyn.ingest.source import Facts, Plane, Probe, Recipe, Refused, most_of_plane, side_of_picture

MAX_PAGES = 4096
_PNG = b"\x89PNG\r\n\x1a\n"
_MAGIC = (_PNG, b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"BM")
_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "MPO")
_COLOUR = ("RGB", "RGBA", "RGBX", "RGBa", "P", "PA", "CMYK", "YCbCr", "LAB", "HSV")


def looks_like(head: bytes) -> bool:
    """Whether a file's first bytes are those of a picture that is read here."""
    return head.startswith(_MAGIC)


def probe(found: Probe, head: bytes) -> None:
    """Note whether it is a synthetic picture, as `medsyn augment` writes it, and its side.

    Args:
        found: To be filled.
        head: The first bytes of the file.
    """
    found.picture = head.startswith(_PNG) and b"tEXtSynthetic\0true" in head
    if found.picture:
        width, height = struct.unpack(">II", head[16:24])  # of IHDR, the first chunk
        found.side = side_of_picture(height, width)


def read(found: Probe, recipe: Recipe) -> tuple[Facts, Iterator[Plane]]:
    """Read one picture; the pages of a TIFF become the slices of one volume.

    Raises:
        Refused: A plain picture where Hounsfield units are stored, or one that is too large.
    """
    if recipe.hounsfield:
        raise Refused("no_hounsfield", "a plain picture, which holds no Hounsfield units")
    data = content(found)
    digest = hashlib.sha256(data).hexdigest()
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
    except Image.DecompressionBombError:
        raise _too_large(recipe) from None
    pages = _count_pages(image, recipe)
    facts = Facts(
        digest=digest,
        modality=recipe.preset.modality,
        subject=keyed(recipe.key, "subject-file", digest),
        subject_from="file",
        volume=keyed(recipe.key, "volume", digest) if pages > 1 else None,
        photometric="rgb" if image.mode in _COLOUR else "grey",
        synthetic=str(image.info.get("Synthetic", "")).lower() == "true",  # as `medsyn augment` writes it
    )
    return facts, masks.attach(_planes(image, pages, recipe, facts.synthetic), found, recipe, facts)


def _count_pages(image: Any, recipe: Recipe) -> int:
    """Pages of a TIFF, 1 of all others; no page is decoded, and no more are counted than are read."""
    pages, pixels = 0, 0
    try:
        while True:
            plane = image.width * image.height
            pixels += plane
            if plane > most_of_plane(recipe.max_pixels, image.mode in _COLOUR) or pixels > recipe.max_pixels:
                raise _too_large(recipe)
            pages += 1
            if image.format != "TIFF":
                return pages
            if pages > MAX_PAGES:
                raise Refused("too_large", f"more than {MAX_PAGES} pages", "failed")
            image.seek(pages)
    except EOFError:
        if pages > 1:
            image.seek(0)
        return pages


def _planes(image: Any, pages: int, recipe: Recipe, as_shown: bool) -> Iterator[Plane]:
    for page in range(pages):
        if pages > 1:
            image.seek(page)
        upright = ImageOps.exif_transpose(image)
        index = page if pages > 1 else None
        if recipe.colour and image.mode in _COLOUR:
            values = np.asarray(upright.convert("RGB")).astype(np.float32)
            yield Plane(values, frame=page, display=Display(0.0, 255.0, "dtype"), slice_index=index)
        else:
            largest = 65535.0 if image.mode.startswith("I") else 255.0
            display = Display(0.0, largest, "dtype") if as_shown else None
            yield Plane(grey(upright), frame=page, display=display, slice_index=index)


def _too_large(recipe: Recipe) -> Refused:
    return Refused("too_large", f"the header claims too much for --max-pixels {recipe.max_pixels}", "failed")
