"""Whole sets of a tiny generator, quickly: the selection is fitted once, and nothing is tracked."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from augment.small import SIDE
from helpers import blobs, closed_form_generator, fresh_workspace, make_dataset

from medsyn import tracking
from medsyn.augment.selection import fitting
from medsyn.augment.stage import run
from medsyn.config import AugmentOptions
from medsyn.progress import SILENT, Progress, Silent
from medsyn.workspace import Workspace, read_json

ALL = ["png", "dicom", "nifti", "npz"]


def prepare(folder: Path, empty_store: Path) -> Workspace:
    """A workspace with a generator that makes 4 candidates at a time, and its fitted selection."""
    workspace = fresh_workspace(folder, empty_store)
    images, labels = blobs(160, side=SIDE)
    dataset = make_dataset(workspace, images, labels)
    closed_form_generator(workspace, dataset, batch=4)
    key = fitting.key_of(dataset.path, dataset.classes, "cpu")
    fitting.fitted(workspace, dataset.path, key, dataset.classes, "cpu", SILENT)
    return workspace


def with_a_generator_of_likenesses(workspace: Workspace) -> None:
    """Add one whose images are mixtures of 2 pictures a class: many are near-duplicates."""
    images, labels = blobs(160, side=SIDE)
    pictures, weights = images[:4], np.random.default_rng(0).uniform(0.2, 0.8, 160)[:, None, None, None]
    mixed = weights * pictures[labels] + (1 - weights) * pictures[labels + 2]
    closed_form_generator(workspace, make_dataset(workspace, mixed, labels, modality="mri"), batch=4, name="alike")


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Workspace:
    """As `prepare`, for all tests of a module: what they add stays there."""
    return prepare(tmp_path_factory.mktemp("ready"), empty_store)


def copied(workspace: Workspace, folder: Path) -> Workspace:
    """Another workspace with the same generator, dataset and selection, and no set."""
    left_out = shutil.ignore_patterns("synthetic", "evaluations", "mlartifacts")
    return Workspace(shutil.copytree(workspace.path, folder / "workspace", ignore=left_out)).create()


def augment(workspace: Workspace, progress: Progress = SILENT, **options: Any) -> Path:
    """Make a set, 24 PNGs unless told otherwise; returns its folder."""
    given = {"n": 24, "balance": "equal", "formats": ["png"], "workers": 1, "threads": 1} | options
    with tracking.off():
        return run(AugmentOptions(**given), workspace, progress).path


def contents(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a set but card.json, by path."""
    files = (p for p in folder.rglob("*") if p.is_file() and p.name != "card.json")
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def seal(folder: Path) -> None:
    """Write sums and their digest anew, as who changes a set on purpose would."""
    sums = folder / "SHA256SUMS"
    names = [line.partition("  ")[2] for line in sums.read_text().splitlines()]
    sums.write_text("".join(f"{_digest(folder / n)}  {n}\n" for n in names if (folder / n).is_file()))
    change_card(folder, sums_digest=_digest(sums))


def change_card(folder: Path, **values: object) -> None:
    card = folder / "card.json"
    card.write_text(json.dumps(read_json(card) | values))


def hidden(workspace: Workspace) -> list[str]:
    """What lies beside the sets and is none; locks do not count."""
    names = (p.name for p in (workspace.path / "synthetic").iterdir())
    return sorted(name for name in names if name.startswith(".") and not name.endswith(".lock"))


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


class Stopping(Silent):
    """Raises once so many images are there, and keeps what is said."""

    def __init__(self, at: int | None = None, error: type[BaseException] = RuntimeError) -> None:
        self.at, self.error, self.said = at, error, list[str]()

    def say(self, text: str) -> None:
        self.said.append(text)

    @contextmanager
    def task(self, label: str, total: float) -> Iterator[Stopping]:
        yield self

    def update(self, done: float, note: str = "") -> None:
        if self.at is not None and done >= self.at:
            raise self.error
