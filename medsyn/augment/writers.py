"""The formats of a synthetic set: PNG with labels.csv, and MedMNIST-layout npz."""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from medsyn.images import synthetic_png
from medsyn.synthetic import MANIFEST


class PngWriter:
    """8-bit PNG below ``images/``, each saying of itself that it is synthetic."""

    def __init__(self, folder: Path, provenance: str) -> None:
        self.folder, self.provenance = folder, provenance

    def write(self, file: str, pixels: np.ndarray) -> str:
        """Write one image, uint8 ``[C, H, W]``; returns the SHA-256 of the file."""
        data = synthetic_png(pixels, self.provenance)
        path = self.folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return hashlib.sha256(data).hexdigest()


class NpzWriter:
    """``images.npz`` in MedMNIST's key layout: everything is training data, the other splits are empty."""

    def __init__(self, folder: Path, n: int, shape: tuple[int, int, int]) -> None:
        self.folder = folder
        self._staging = folder / ".images.npy"
        channels, height, width = shape
        axes = (n, height, width) if channels == 1 else (n, height, width, channels)
        self._images = np.lib.format.open_memmap(self._staging, "w+", np.uint8, axes)
        if hasattr(os, "posix_fallocate"):
            # Writing to a hole of a mapped file on a full disk kills the process; asking first is an error like others.
            with open(self._staging, "r+b") as file:
                os.posix_fallocate(file.fileno(), 0, self._staging.stat().st_size)

    def write(self, row: int, pixels: np.ndarray) -> None:
        self._images[row] = pixels[0] if pixels.shape[0] == 1 else pixels.transpose(1, 2, 0)

    def finish(self, labels: list[str], classes: list[str]) -> None:
        place = {c: i for i, c in enumerate(classes)}
        empty = np.zeros((0, *self._images.shape[1:]), np.uint8)
        arrays = {
            "train_images": self._images[: len(labels)],
            "train_labels": np.array([[place[label]] for label in labels], np.uint8),
            "val_images": empty,
            "val_labels": np.zeros((0, 1), np.uint8),
            "test_images": empty,
            "test_labels": np.zeros((0, 1), np.uint8),
        }
        np.savez_compressed(self.folder / "images.npz", **arrays)
        self._staging.unlink()


def write_tables(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Write manifest.parquet, manifest.csv and labels.csv (PNG only)."""
    pq.write_table(pa.Table.from_pylist(rows, schema=MANIFEST), folder / "manifest.parquet")
    columns = [name for name in MANIFEST.names if name != "scores"]
    rules = sorted({rule for row in rows for rule in row["scores"]})
    with open(folder / "manifest.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(columns + [f"score_{rule}" for rule in rules])
        for row in rows:
            table.writerow([row[c] for c in columns] + [row["scores"].get(rule) for rule in rules])
    files = [row for row in rows if row["file"]]
    if files:
        with open(folder / "labels.csv", "w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(["file", "label", "synthetic"])
            table.writerows([row["file"], row["label"], "true"] for row in files)


def card_text(card: Mapping[str, Any]) -> str:
    """The card as Markdown."""
    counts = "\n".join(f"| {c} | {n} |" for c, n in card["images_per_class"].items())
    rejected = ", ".join(f"{n} {reason}" for reason, n in card["rejected"].items()) or "none"
    limits = "\n".join(f"- {limit}" for limit in card["limits"])
    return f"""# Synthetic {card["modality"]} images: {card["n"]} cases

Made by medsyn {card["medsyn"]} from generator `{card["generator"]}`
(checkpoint SHA-256 `{card["checkpoint_digest"]}`), seed {card["seed"]}. No image shows a patient.

| class | images |
|---|---|
{counts}

Balance: {_told(card["balance"])}. Truncation: {card["truncation"]:g}.
Candidates drawn: {card["candidates"]}; rejected: {rejected}.
Size: {" x ".join(map(str, card["image_shape"]))} (channels, height, width), 8 bit.

Image `index` of manifest.csv is a pure function of checkpoint, seed, truncation and index.

## Limits
{limits}
"""


def _told(balance: str | Mapping[str, int]) -> str:
    return balance if isinstance(balance, str) else ", ".join(f"{n} {c}" for c, n in balance.items()) + " asked for"
