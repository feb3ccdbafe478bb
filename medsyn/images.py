"""Pictures of pictures: grids and contact sheets as PNG."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np


def contact_sheet(rows: Mapping[str, np.ndarray], gap: int = 2) -> np.ndarray:
    """Lay out one row of images per class, with the class name above it.

    Args:
        rows: Title -> uint8 ``[n, C, H, W]``.
        gap: Pixels between images.

    Returns:
        uint8 ``[H', W', 3]``.
    """
    from PIL import Image, ImageDraw, ImageFont

    shapes = {images.shape[1:] for images in rows.values() if len(images)}
    _, height, width = next(iter(shapes))
    scale = max(1, -(-96 // height))
    cell_h, cell_w, title = height * scale + gap, width * scale + gap, 20
    columns = max(len(images) for images in rows.values())
    sheet = Image.new("RGB", (columns * cell_w + gap, len(rows) * (cell_h + title) + gap), (24, 24, 27))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=13)
    for r, (name, images) in enumerate(rows.items()):
        top = r * (cell_h + title)
        pen.text((gap + 2, top + 3), name, fill=(228, 228, 231), font=font)
        for c, image in enumerate(images):
            grey = image[0] if image.shape[0] == 1 else image.transpose(1, 2, 0)
            tile = (
                Image.fromarray(grey).convert("RGB").resize((width * scale, height * scale), Image.Resampling.BICUBIC)
            )
            sheet.paste(tile, (gap + c * cell_w, top + title))
    return np.asarray(sheet)


def synthetic_png(pixels: np.ndarray, provenance: str) -> bytes:
    """A generated image as PNG that says of itself, in its text, that it is synthetic.

    Args:
        pixels: uint8 ``[C, H, W]``, C 1 (grey) or 3 (RGB).
        provenance: What made it.
    """
    from PIL import Image, PngImagePlugin

    info = PngImagePlugin.PngInfo()
    info.add_text("Synthetic", "true")
    info.add_text("Comment", f"Synthetic image, not a patient. {provenance}")
    flat = pixels[0] if pixels.shape[0] == 1 else pixels.transpose(1, 2, 0)
    buffer = io.BytesIO()
    Image.fromarray(flat).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def save_png(pixels: np.ndarray, path: Path) -> None:
    """Write uint8 ``[H, W]`` or ``[H, W, 3]`` as PNG."""
    from PIL import Image

    Image.fromarray(pixels).save(path, format="PNG")
