"""Labelled sheets of tiles, as PNG and as frames of a GIF."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from medsyn.images import to_pixels
from medsyn.workspace import atomic_file

BACKGROUND, RAISED, MUTED, TEXT, ACCENT = (24, 24, 27), (63, 63, 70), (161, 161, 170), (244, 244, 245), (94, 234, 212)
SMALLEST, LARGEST = 112, 224
"""Sides of a tile in pixels: smaller images are enlarged by a whole number, larger ones reduced."""

MARGIN, GAP, LINE = 20, 4, 22
LABEL_WIDTH = 130
FRAME_MS, REST_MS = 110, 900
SAYS = "Synthetic images, not patients."


@dataclass(frozen=True)
class Row:
    """Tiles beside each other.

    Attributes:
        label: To the left of them.
        tiles: float32 ``[n, C, H, W]`` in [0, 1].
        heading: Above them, where a group of rows begins.
    """

    label: str
    tiles: np.ndarray
    heading: str = ""


@dataclass(frozen=True)
class Bar:
    """How far a frame is on the way from one end to the other, ``share`` in [0, 1]."""

    start: str
    end: str
    share: float


def sheet(
    title: str, note: str, rows: Sequence[Row], columns: Sequence[str] = (), footer: str = "", bar: Bar | None = None
) -> Image.Image:
    """Draw rows of tiles.

    Args:
        title: First line.
        note: Below it, what to look for.
        rows: All with the same number of tiles, one at least.
        columns: Above the tiles; none, or one for each.
        footer: Where the images come from.
        bar: Of an animation.

    Returns:
        RGB.
    """
    height, width = _tile(rows[0].tiles[0]).shape[:2]
    labelled = any(row.label for row in rows)
    left = MARGIN + (LABEL_WIDTH if labelled else 0)
    count = len(rows[0].tiles)
    total = max(left + count * (width + GAP) - GAP + MARGIN, 520)
    notes = _wrapped(note, total - 2 * MARGIN, 13)
    top = MARGIN + 28 + len(notes) * 18 + 10 + (34 if bar else 0) + (LINE if columns else 0)
    headings = sum(bool(row.heading) for row in rows) * (LINE + 8)
    foot = _wrapped(f"{SAYS} {footer}", total - 2 * MARGIN, 11)
    canvas = Image.new(
        "RGB", (total, top + headings + len(rows) * (height + GAP) + 10 + len(foot) * 16 + MARGIN), BACKGROUND
    )
    pen = ImageDraw.Draw(canvas)
    y = MARGIN
    pen.text((MARGIN, y), _fitted(title, total - 2 * MARGIN, 18), fill=TEXT, font=_font(18))
    y += 28
    for line in notes:
        pen.text((MARGIN, y), line, fill=MUTED, font=_font(13))
        y += 18
    y += 10
    if bar:
        _draw_bar(pen, bar, y, total)
        y += 34
    for place, column in enumerate(columns):
        x = left + place * (width + GAP) + width // 2
        pen.text((x, y + LINE // 2), _fitted(column, width, 12), fill=MUTED, font=_font(12), anchor="mm")
    y += LINE if columns else 0
    for row in rows:
        if row.heading:
            pen.text((MARGIN, y + LINE // 2 + 6), row.heading, fill=ACCENT, font=_font(14), anchor="lm")
            y += LINE + 8
        if row.label:
            label = _fitted(row.label, LABEL_WIDTH - 12, 13)
            pen.text((left - 12, y + height // 2), label, fill=TEXT, font=_font(13), anchor="rm")
        for place, image in enumerate(row.tiles):
            canvas.paste(Image.fromarray(_tile(image)), (left + place * (width + GAP), y))
        y += height + GAP
    y += 10
    for line in foot:
        pen.text((MARGIN, y), line, fill=MUTED, font=_font(11))
        y += 16
    return canvas


def save_png(picture: Image.Image, path: Path) -> None:
    """Write a sheet that says in its text, too, that it is synthetic."""
    info = PngImagePlugin.PngInfo()
    info.add_text("Synthetic", "true")
    with atomic_file(path) as partial:
        picture.save(partial, "PNG", optimize=True, pnginfo=info)


def save_gif(frames: Sequence[Image.Image], leg: int, path: Path, *, grey: bool) -> None:
    """Write an endless animation.

    Args:
        frames: Of one size.
        leg: The first frame of every so many stays longer.
        path: Where to.
        grey: Keep all 256 greys, and no colour: a palette chosen frame by frame would flicker.
    """
    pictures = [f.convert("L") if grey else f.quantize(256, dither=Image.Dither.NONE) for f in frames]
    durations = [FRAME_MS if number % leg else REST_MS for number in range(len(frames))]
    with atomic_file(path) as partial:
        pictures[0].save(
            partial,
            "GIF",
            save_all=True,
            append_images=pictures[1:],
            duration=durations,
            loop=0,
            comment=SAYS.encode(),
        )


def _draw_bar(pen: ImageDraw.ImageDraw, bar: Bar, y: int, total: int) -> None:
    side = (total - 2 * MARGIN) // 3
    start, end = _fitted(bar.start, side, 14), _fitted(bar.end, side, 14)
    pen.text((MARGIN, y + 11), start, fill=TEXT, font=_font(14), anchor="lm")
    pen.text((total - MARGIN, y + 11), end, fill=TEXT, font=_font(14), anchor="rm")
    left = MARGIN + pen.textlength(start, _font(14)) + 14
    right = total - MARGIN - pen.textlength(end, _font(14)) - 14
    pen.rounded_rectangle((left, y + 8, right, y + 14), 3, fill=RAISED)
    at = left + bar.share * (right - left)
    pen.ellipse((at - 7, y + 4, at + 7, y + 18), fill=ACCENT)


def _tile(image: np.ndarray) -> np.ndarray:
    """One image ``[C, H, W]`` in [0, 1] as uint8 ``[h, w, 3]`` of a size to look at."""
    grey = to_pixels(image)
    flat = np.repeat(grey.transpose(1, 2, 0), 3, 2) if len(grey) == 1 else grey.transpose(1, 2, 0)
    h, w = flat.shape[:2]
    side = max(h, w)
    factor = -(-SMALLEST // side) if side < SMALLEST else min(1.0, LARGEST / side)
    size = (round(w * factor), round(h * factor))
    return np.asarray(
        Image.fromarray(flat).resize(size, Image.Resampling.BICUBIC if factor > 1 else Image.Resampling.LANCZOS)
    )


def _fitted(text: str, width: float, size: int) -> str:
    """Text cut to a width in pixels."""
    text = " ".join(text.split())
    if _font(size).getlength(text) <= width:
        return text
    while text and _font(size).getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


def _wrapped(text: str, width: float, size: int) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and _font(size).getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which matplotlib brings along: labels may be Greek or Cyrillic."""
    import matplotlib

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)
