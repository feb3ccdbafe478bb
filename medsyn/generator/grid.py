"""A picture of what a generator makes: one class a row, the same noise in every row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from medsyn.generator.model import Generator
from medsyn.workspace import atomic_file

COLUMNS = 10


def save_grid(generator: Generator, path: Path, seed: int = 0) -> None:
    """Write a PNG of `COLUMNS` samples of every class (synthetic only, so it may be shown and logged)."""
    classes = len(generator.classes)
    images = generator.sample(np.repeat(np.arange(classes), COLUMNS), seed, np.tile(np.arange(COLUMNS), classes))
    _, height, width = generator.image_shape
    grid = images.reshape(classes, COLUMNS, -1, height, width).transpose(0, 3, 1, 4, 2)
    pixels = np.round(grid.reshape(classes * height, COLUMNS * width, -1) * 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as partial:
        Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(partial, format="PNG")
