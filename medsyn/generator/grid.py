"""A picture of what a generator makes: one class a row, the same noise in every row."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from medsyn.generator.model import Generator
from medsyn.images import contact_sheet, save_png, to_pixels
from medsyn.workspace import atomic_file

COLUMNS = 10


def save_grid(generator: Generator, path: Path, seed: int = 0) -> None:
    """Write a PNG of `COLUMNS` samples of every class (synthetic only, so it may be shown and logged)."""
    index = np.arange(COLUMNS)
    rows = {
        label: to_pixels(generator.sample(np.full(COLUMNS, place), seed, index))
        for place, label in enumerate(generator.classes)
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as partial:
        save_png(contact_sheet(rows), partial)
