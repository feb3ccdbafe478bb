"""A toy whose modes are known: bright squares, class 0 in the upper half, class 1 in the lower."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from helpers import SMALL, coarse, shown_as_stored

from medsyn.config import TrainOptions
from medsyn.data import DatasetWriter
from medsyn.gan import TrainResult, run
from medsyn.workspace import DATASET, Workspace

SIDE = 16
CENTRES = {"lower": [(11, 3), (11, 8), (11, 12)], "upper": [(4, 3), (4, 8), (4, 12)]}


def toy_images(per_mode: int, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """Squares at known places with a little noise: uint16 ``[n, 1, 16, 16]`` and their class names."""
    rng = np.random.default_rng(seed)
    images, labels = [], []
    for label, centres in CENTRES.items():
        for y, x in centres:
            for _ in range(per_mode):
                image = rng.normal(0.15, 0.02, (SIDE, SIDE))
                image[y - 2 : y + 3, x - 2 : x + 3] += 0.7
                images.append((image.clip(0, 1) * 65535).astype(np.uint16)[None])
                labels.append(label)
    return np.stack(images), labels


def write_dataset(
    workspace: Workspace,
    images: np.ndarray,
    labels: list[str | None],
    *,
    synthetic: bool | Sequence[bool] = False,
    name: str = "toy",
    modality: str = "xray",
) -> Path:
    """Commit images as a dataset; two images a subject."""
    with workspace.build(DATASET, name) as build:
        writer = DatasetWriter(build.path, size=images.shape[-1], dtype="uint16", channels=images.shape[1])
        for i, (image, label) in enumerate(zip(images, labels, strict=True)):
            key = hashlib.sha256(f"{label} {i}".encode()).hexdigest()
            record = shown_as_stored(
                i,
                images.shape[-1],
                image_key=key,
                subject=f"{label}-{i // 2}",
                modality="DX",
                source_digest=key,
                synthetic=synthetic if isinstance(synthetic, bool) else synthetic[i],
                label=label,
            )
            writer.add(record, image)
        # The modes of the toy are one picture each with a little noise: alike by design.
        written = writer.finish(key=b"k" * 32, name=name, modality=modality, join_alike=False)
        return build.commit(written.meta)


@pytest.fixture
def toy(workspace: Workspace) -> Path:
    """The toy as a dataset in `workspace`: 240 images, 6 modes."""
    return write_dataset(workspace, *toy_images(40))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> tuple[Workspace, TrainResult]:
    """A generator of the toy after 6,000 images, and its workspace."""
    workspace = Workspace(tmp_path_factory.mktemp("trained")).create()
    shutil.copy(empty_store, workspace.path / "mlflow.db")
    write_dataset(workspace, *toy_images(40))
    with coarse():  # in whatever module it is asked for first
        return workspace, run(TrainOptions(budget="6kimg", threads=1, knobs=SMALL), workspace)


class Listener:
    """Keeps what is said; interrupts the training after so many updates."""

    def __init__(self, interrupt_after: int | None = None) -> None:
        self.said: list[str] = []
        self.updates = 0
        self._interrupt_after = interrupt_after

    def say(self, text: str) -> None:
        self.said.append(text)

    @contextmanager
    def task(self, label: str, total: float) -> Iterator[Listener]:
        yield self

    def update(self, done: float, note: str = "") -> None:
        self.updates += 1
        if self.updates == self._interrupt_after:
            raise KeyboardInterrupt
