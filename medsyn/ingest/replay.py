"""From the journal into the dataset: every image with what labels and patients' names say of it."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from medsyn.config import IngestOptions
from medsyn.data import Dataset
from medsyn.data.writer import DatasetWriter
from medsyn.errors import DataError
from medsyn.ingest import caveats
from medsyn.ingest.block import Columns
from medsyn.ingest.journal import Journal, Stored
from medsyn.ingest.labels.values import check_map
from medsyn.workspace import DATASET, Workspace


@dataclass(frozen=True)
class Places:
    """Blocks of the journal in the order of the dataset, int64 ``[n]``, and how many images each holds."""

    blocks: np.ndarray
    images: np.ndarray

    def of(self, rows: np.ndarray) -> Iterator[tuple[int, int]]:
        """Block of some images, and place therein."""
        ends = np.cumsum(self.images)
        which = np.searchsorted(ends, rows, "right")
        yield from zip(self.blocks[which].tolist(), (rows - ends[which] + self.images[which]).tolist(), strict=True)


def replay(
    journal: Journal, writer: DatasetWriter, workspace: Workspace, options: IngestOptions, where: str
) -> tuple[Places, list[str]]:
    """Put all images of the journal into a dataset.

    Args:
        journal: After reading.
        writer: Of the new dataset.
        workspace: With the earlier datasets, which hold pixels that the journal does not hold any more.
        options: With the classes that there may be, and other names for labels.
        where: The scans, for messages.

    Returns:
        Where the journal holds the images of the dataset, in their order, and caveats.

    Raises:
        DataError: A label that is none of the classes.
        UsageError: ``--map`` names a label that does not occur.
    """
    subject_from: Counter[str] = Counter()
    warned: Counter[str] = Counter()
    blocks, images = array("q"), array("q")
    earlier = _Earlier(workspace)
    classes, label_map, own, said = options.classes or (), options.label_map, set[str](), False
    for stored in journal.stored():
        columns, n = stored.columns, len(stored.thumbnails)
        if stored.kind == "npz":
            own.update(label for label in columns["label"] if label is not None)
            columns["label"] = [label and (stored.label_map.get(label, label) or None) for label in columns["label"]]
        said |= stored.row is not None and stored.row.label is not None
        origin = _apply(stored, columns)
        subject_from[origin] += n
        warned.update({what: n * times for what, times in Counter(stored.warnings).items()})
        warned["synthetic"] += sum(columns["synthetic"])
        for label in dict.fromkeys(columns["label"]):
            if label is not None and classes and label not in classes:
                raise DataError(
                    f"unknown label '{label}'", where=where, mend=f"The classes named are: {', '.join(classes)}."
                )
        pixels, masks = earlier.read(stored) if stored.pixels is None else (stored.pixels, stored.masks)
        writer.extend(columns, pixels, masks, stored.thumbnails)
        blocks.append(stored.block)
        images.append(n)
    if not said:  # nobody has looked at these labels yet
        check_map(label_map, own, where, show=True)
    return Places(np.array(blocks), np.array(images)), caveats.tell(warned, subject_from)


class _Earlier:
    """Pixels that lie in datasets of earlier runs."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._open: dict[str, Dataset] = {}

    def read(self, stored: Stored) -> tuple[np.ndarray, np.ndarray | None]:
        """Pixels and segmentations of a block; zeros for an image that has none."""
        read = [self._dataset(name).one(image) for name, image in stored.kept]
        pixels, masks = np.stack([pixels for pixels, _ in read]), None
        if any(mask is not None for _, mask in read):
            none = np.zeros(pixels.shape[2:], np.uint8)
            masks = np.stack([none if mask is None else mask for _, mask in read])
        return pixels, masks

    def _dataset(self, name: str) -> Dataset:
        if name not in self._open:
            self._open[name] = Dataset.open(self._workspace.path / DATASET.folder / name)
        return self._open[name]


def _apply(stored: Stored, columns: Columns) -> str:
    """Put what the labels say into columns, where the header says nothing else; what tells whose images they are."""
    row, claim, origin = stored.row, stored.claim, stored.subject_from
    if row is not None:
        columns["label"] = [row.label if label is None else label for label in columns["label"]]
        for name, value in (
            ("official_split", row.official_split),
            ("view", row.covariates.view),
            ("sex", row.covariates.sex),
            ("age_band", row.covariates.age_band),
        ):
            columns[name] = [own or value for own in columns[name]]
        columns["targets"] = [{**(targets or {}), **row.targets} or None for targets in columns["targets"]]
    if claim is not None and origin == "patient":
        columns["also_subject"] = [claim.subject if claim.subject != own else None for own in columns["subject"]]
    elif claim is not None:
        n = len(columns["subject"])
        columns["subject"], columns["also_subject"], origin = [claim.subject] * n, [claim.also] * n, claim.origin
    return origin
