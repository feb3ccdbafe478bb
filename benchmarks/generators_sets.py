"""The scans of benchmarks/generators.py: what a generator may learn from, and what it must never see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch.nn import functional as F

from medsyn import Workspace
from medsyn.compute import numpy_rng
from medsyn.data import DatasetWriter, ImageRecord
from medsyn.data.digest import digest
from medsyn.workspace import DATASET

FULL_SCALE = 65535


class Scans(NamedTuple):
    """Labelled images, float32 ``[n, 1, side, side]`` in [0, 1], with the subject of each."""

    images: np.ndarray
    labels: np.ndarray
    units: np.ndarray

    def take(self, rows: np.ndarray) -> Scans:
        return Scans(self.images[rows], self.labels[rows], self.units[rows])


@dataclass(frozen=True)
class Spec:
    """One set of scans, and how it is measured.

    Attributes:
        title: What the page calls it.
        read: Folder and side -> all scans.
        classes: Names, in the order of the labels.
        modality: Preset that `medsyn.train_gan` takes.
        side: Of the images.
        held_out: Images held out, or their share.
        budget: Of a training, as `medsyn train-gan` takes it.
        credit: Whose scans they are.
    """

    title: str
    read: Callable[[Path, int], Scans]
    classes: tuple[str, ...]
    modality: str
    side: int
    held_out: float
    budget: str
    credit: str


@dataclass(frozen=True)
class Split:
    """One draw of a set.

    Attributes:
        classes: Names.
        modality: Preset.
        train: What every generator learns from.
        pool: All that is not held out, ``train`` among it: the floor is drawn from it.
        held_out: The references; no subject of it is in ``pool``.
    """

    classes: tuple[str, ...]
    modality: str
    train: Scans
    pool: Scans
    held_out: Scans


def split(spec: Spec, scans: Scans, seed: int, train: int | None = None) -> Split:
    """Hold subjects out at random, and take ``train`` images of the others, or all."""
    order = numpy_rng("benchmark split", seed).permutation(np.unique(scans.units))
    wanted = spec.held_out if spec.held_out >= 1 else spec.held_out * len(scans.labels)
    held = _of_first(scans.units, order, wanted)
    pool = scans.take(~held)
    learnt = pool if train is None else pool.take(_of_first(pool.units, order[::-1], train))
    missing = set(range(len(spec.classes))) - set(learnt.labels.tolist())
    if missing:
        raise ValueError(f"no training image of class {spec.classes[min(missing)]}")
    return Split(spec.classes, spec.modality, learnt, pool, scans.take(held))


def _of_first(units: np.ndarray, order: np.ndarray, most: float) -> np.ndarray:
    """Images of as many units, in their order, as have ``most`` images together."""
    names, counts = np.unique(units, return_counts=True)
    of = dict(zip(names, counts, strict=True))
    ends = np.cumsum([of.get(unit, 0) for unit in order])
    return np.isin(units, order[ends <= most])


def commit(scans: Scans, classes: tuple[str, ...], modality: str, workspace: Workspace) -> Path:
    """Commit scans as a dataset with train and tune only, as `medsyn ingest` would from a given training split."""
    side = scans.images.shape[-1]
    with workspace.build(DATASET, "benchmark") as build:
        writer = DatasetWriter(build.path, size=side, dtype="uint16", channels=scans.images.shape[1])
        for number, (image, label, unit) in enumerate(zip(*scans, strict=True)):
            stored = np.round(image * FULL_SCALE).astype(np.uint16)
            record = ImageRecord(
                source=number,
                image_key=str(number),
                subject=str(unit),
                modality=modality,
                source_digest=digest(stored),
                source_height=side,
                source_width=side,
                slope=1.0,
                intercept=0.0,
                unit="relative",
                display_low=0.0,
                display_high=float(FULL_SCALE),
                display_source="dtype",
                label=classes[label],
                official_split="train",
            )
            writer.add(record, stored)
        written = writer.finish(key=b"benchmark", name="benchmark", modality=modality, classes=classes)
        return build.commit(written.meta)


def _pneumoniamnist(folder: Path, side: int) -> Scans:
    """The official training films; films that are equal pixel by pixel count as one subject."""
    with np.load(folder / "pneumoniamnist.npz") as file:
        pixels, labels = file["train_images"], file["train_labels"].ravel().astype(np.int64)
    units = np.unique(pixels.reshape(len(pixels), -1), axis=0, return_inverse=True)[1].ravel()
    images = torch.from_numpy(pixels[:, None].astype(np.float32) / 255)
    if side != pixels.shape[-1]:
        images = F.interpolate(images, (side, side), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    return Scans(images.numpy(), labels, units.astype(str))


def _folder(name: str, subject: str, classes: tuple[str, ...]) -> Callable[[Path, int], Scans]:
    def read(folder: Path, side: int) -> Scans:
        table = pd.read_csv(folder / name / "labels.csv", dtype=str)
        table = table[table["label"].isin(classes)].reset_index(drop=True)
        images = np.stack([_square(folder / name / file, side) for file in table["file"]])[:, None]
        units = table[subject].fillna("image " + table.index.to_series().astype(str))
        labels = table["label"].map({c: i for i, c in enumerate(classes)}).to_numpy(np.int64)
        return Scans(images.astype(np.float32) / 255, labels, units.to_numpy(str))

    return read


def _square(file: Path, side: int) -> np.ndarray:
    with Image.open(file) as opened:
        scan = opened.convert("L")
    longest = max(scan.size)
    canvas = Image.new("L", (longest, longest))
    canvas.paste(scan, ((longest - scan.width) // 2, (longest - scan.height) // 2))
    return np.asarray(canvas.resize((side, side), Image.Resampling.LANCZOS))


_TUMOURS, _FILMS = ("glioma", "meningioma", "pituitary"), ("no_finding", "pneumonia")
SETS: dict[str, Spec] = {
    "pneumoniamnist": Spec(
        title="PneumoniaMNIST",
        read=_pneumoniamnist,
        classes=("normal", "pneumonia"),
        modality="xray",
        side=32,
        held_out=1000,
        budget="10m",
        credit="Kermany et al. 2018, MedMNIST v2 (Yang et al. 2023), CC BY 4.0",
    ),
    "mri": Spec(
        title="Brain MR with tumours",
        read=_folder("mri", "dup_group", _TUMOURS),
        classes=_TUMOURS,
        modality="mri",
        side=64,
        held_out=0.3,
        budget="30m",
        credit="Kaggle masoudnickparvar/brain-tumor-mri-dataset (Cheng 2017, SARTAJ, Br35H)",
    ),
    "xray": Spec(
        title="NIH chest films",
        read=_folder("xray", "patient_id", _FILMS),
        classes=_FILMS,
        modality="xray",
        side=64,
        held_out=0.3,
        budget="30m",
        credit="NIH Clinical Center, ChestX-ray14 (Wang et al. 2017)",
    ),
}
