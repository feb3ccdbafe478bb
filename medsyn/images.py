"""Pictures of pictures: grids and contact sheets as PNG."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np


def contact_sheet(rows: Mapping[str, np.ndarray], gap: int = 2, columns: int | None = None) -> np.ndarray:
    """Lay out the images of each class, with the class name above them.

    Args:
        rows: Title -> uint8 ``[n, C, H, W]``.
        gap: Pixels between images.
        columns: Images in one line; default: all of a class.

    Returns:
        uint8 ``[H', W', 3]``.
    """
    from PIL import Image, ImageDraw, ImageFont

    shapes = {images.shape[1:] for images in rows.values() if len(images)}
    _, height, width = next(iter(shapes))
    scale = max(1, -(-96 // height))
    columns = columns or max(len(images) for images in rows.values())
    cell_h, cell_w, title = height * scale + gap, width * scale + gap, 20
    lines = {name: max(1, -(-len(images) // columns)) for name, images in rows.items()}
    size = (columns * cell_w + gap, sum(n * cell_h + title for n in lines.values()) + gap)
    sheet = Image.new("RGB", size, (24, 24, 27))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=13)
    top = 0
    for name, images in rows.items():
        pen.text((gap + 2, top + 3), name, fill=(228, 228, 231), font=font)
        for place, image in enumerate(images):
            line, column = divmod(place, columns)
            grey = image[0] if image.shape[0] == 1 else image.transpose(1, 2, 0)
            tile = (
                Image.fromarray(grey).convert("RGB").resize((width * scale, height * scale), Image.Resampling.BICUBIC)
            )
            sheet.paste(tile, (gap + column * cell_w, top + title + line * cell_h))
        top += title + lines[name] * cell_h
    return np.asarray(sheet)


def to_pixels(images: np.ndarray, bits: int = 8) -> np.ndarray:
    """Images in [0, 1] as they are written: uint8 or uint16 of the same shape; what is not finite becomes black."""
    kinds: dict[int, type[np.uint8 | np.uint16]] = {8: np.uint8, 16: np.uint16}
    dtype = kinds[bits]
    return np.rint(np.nan_to_num(images).clip(0, 1) * np.iinfo(dtype).max).astype(dtype)


def from_pixels(pixels: np.ndarray) -> np.ndarray:
    """What `to_pixels` has made: float32 in [0, 1], of the same shape."""
    return pixels.astype(np.float32) / np.iinfo(pixels.dtype).max


def synthetic_png(pixels: np.ndarray, provenance: str) -> bytes:
    """A generated image as PNG that says of itself, in its text, that it is synthetic.

    Args:
        pixels: uint8 ``[C, H, W]``, C 1 (grey) or 3 (RGB), or uint16 with C 1.
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


def save_png(pixels: np.ndarray, path: Path, *, synthetic: bool = False) -> None:
    """Write uint8 ``[H, W]`` or ``[H, W, 3]`` as PNG, which may say in its text that it is synthetic."""
    from PIL import Image

    if synthetic:
        path.write_bytes(synthetic_png(np.atleast_3d(pixels).transpose(2, 0, 1), "A sheet of generated images."))
    else:
        Image.fromarray(pixels).save(path, format="PNG")
