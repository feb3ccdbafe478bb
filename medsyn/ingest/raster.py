"""PNG, JPEG, TIFF and BMP."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator

from PIL import Image, ImageOps

from medsyn.data.grey import grey
from medsyn.ingest.deidentify import keyed
from medsyn.ingest.source import Facts, Plane, Probe, Recipe, Refused, content

_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"BM")
_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "MPO")


def looks_like(head: bytes) -> bool:
    """Whether a file's first bytes are those of a picture that is read here."""
    return head.startswith(_MAGIC)


def read(found: Probe, recipe: Recipe) -> tuple[Facts, Iterator[Plane]]:
    """Read one picture; the pages of a TIFF become the slices of one volume.

    Raises:
        Refused: A plain picture where Hounsfield units are stored, or one that is too large.
    """
    if recipe.hounsfield:
        raise Refused("no_hounsfield", "a plain picture, which holds no Hounsfield units")
    data = content(found)
    digest = hashlib.sha256(data).hexdigest()
    image = Image.open(io.BytesIO(data), formats=_FORMATS)
    pages = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
    if float(image.width) * image.height * pages > recipe.max_pixels:
        raise Refused("too_large", f"the header claims more than {recipe.max_pixels} values (--max-pixels)", "failed")
    facts = Facts(
        digest=digest,
        modality=recipe.preset.modality,
        subject=keyed(recipe.key, "subject-file", digest),
        subject_from="file",
        volume=keyed(recipe.key, "volume", digest) if pages > 1 else None,
        synthetic=str(image.info.get("Synthetic", "")).lower() == "true",  # as `medsyn augment` writes it
    )
    return facts, _planes(image, pages)


def _planes(image: Image.Image, pages: int) -> Iterator[Plane]:
    for page in range(pages):
        if pages > 1:
            image.seek(page)
        upright = ImageOps.exif_transpose(image)
        index = page if pages > 1 else None
        yield Plane(grey(upright if upright is not None else image), frame=page, slice_index=index)
