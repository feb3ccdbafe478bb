"""Contact sheets: the first images of each class."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from medsyn.augment.writers.base import safe_name
from medsyn.data import Dataset
from medsyn.images import contact_sheet, save_png, to_pixels
from medsyn.workspace import private_folder

OVERVIEW = 12
SHOWN = 48
"""Images of a class on the sheet of that class."""

COLUMNS = 8


def write(samples: dict[str, np.ndarray], folder: Path) -> list[str]:
    """Write an overview and a sheet a class.

    Args:
        samples: Class -> uint8 ``[n, C, H, W]``.
        folder: The set.

    Returns:
        Paths relative to the set.
    """
    shown = {label: images for label, images in samples.items() if len(images)}
    if not shown:
        return []
    overview = contact_sheet({f"{label}: synthetic": images[:OVERVIEW] for label, images in shown.items()})
    save_png(overview, folder / "contact_sheet.png", synthetic=True)
    (folder / "contact_sheets").mkdir(exist_ok=True)
    names = [f"contact_sheets/{safe_name(label)}.png" for label in shown]
    for (label, images), name in zip(shown.items(), names, strict=True):
        save_png(contact_sheet({f"{label}: synthetic": images}, columns=COLUMNS), folder / name, synthetic=True)
    return ["contact_sheet.png", *names]


def write_beside_real(samples: dict[str, np.ndarray], dataset: Dataset, folder: Path) -> None:
    """Write sheets of synthetic images above real training images: these show patients.

    Args:
        samples: Class -> uint8 ``[n, C, H, W]``.
        dataset: Opened for train.
        folder: Not one that is made to be shared.
    """
    private_folder(folder)
    train = dataset.rows("train")
    names = np.array(dataset.classes)[dataset.labels(train)]
    for label, images in samples.items():
        real = dataset.images(train[names == label][: len(images)])
        rows = {f"{label}: synthetic": images, f"{label}: REAL PATIENTS": to_pixels(real)}
        save_png(contact_sheet(rows, columns=COLUMNS), folder / f"{safe_name(label)}.png")
