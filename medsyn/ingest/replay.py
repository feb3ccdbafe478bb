"""From the journal into the dataset: every image with what labels and patients' names say of it."""

from __future__ import annotations

from array import array
from collections import Counter

import numpy as np

from medsyn.config import IngestOptions
from medsyn.data import Dataset
from medsyn.data.schema import ImageRecord
from medsyn.data.writer import DatasetWriter
from medsyn.errors import DataError
from medsyn.ingest import caveats
from medsyn.ingest.journal import Journal
from medsyn.ingest.journal_rows import Stored
from medsyn.ingest.labels.values import check_map
from medsyn.workspace import DATASET, Workspace


def replay(
    journal: Journal, writer: DatasetWriter, workspace: Workspace, options: IngestOptions, where: str
) -> tuple[array[int], list[str]]:
    """Put all images of the journal into a dataset.

    Args:
        journal: After reading.
        writer: Of the new dataset.
        workspace: With the earlier datasets, which hold pixels that the journal does not hold any more.
        options: With the classes that there may be, and other names for labels.
        where: The scans, for messages.

    Returns:
        The journal's ids of the images in the order of the dataset, and caveats.

    Raises:
        DataError: A label that is none of the classes.
        UsageError: ``--map`` names a label that does not occur.
    """
    subject_from: Counter[str] = Counter()
    warned: Counter[str] = Counter()
    ids = array("q")
    earlier = _Earlier(workspace)
    classes, label_map, own, said = options.classes or (), options.label_map, set[str](), False
    for stored in journal.images():
        record = stored.record
        if stored.kind == "npz" and record.label is not None:
            own.add(record.label)
            record.label = stored.label_map.get(record.label, record.label) or None
        said |= stored.row is not None and stored.row.label is not None
        origin = _apply(stored, record)
        subject_from[origin] += 1
        warned.update(stored.warnings)
        warned["synthetic"] += record.synthetic
        if record.label is not None and classes and record.label not in classes:
            raise DataError(
                f"unknown label '{record.label}'", where=where, mend=f"The classes named are: {', '.join(classes)}."
            )
        pixels, mask = earlier.read(stored) if stored.pixels is None else (stored.pixels, stored.mask)
        writer.add(record, pixels, mask if record.has_mask else None, stored.thumbnail)
        ids.append(stored.id)
    if not said:  # nobody has looked at these labels yet
        check_map(label_map, own, where, show=True)
    return ids, caveats.tell(warned, subject_from)


class _Earlier:
    """Pixels that lie in datasets of earlier runs."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._open: dict[str, Dataset] = {}

    def read(self, stored: Stored) -> tuple[np.ndarray, np.ndarray | None]:
        assert stored.dataset is not None
        assert stored.image is not None
        if stored.dataset not in self._open:
            self._open[stored.dataset] = Dataset.open(self._workspace.path / DATASET.folder / stored.dataset)
        return self._open[stored.dataset].one(stored.image)


def _apply(stored: Stored, record: ImageRecord) -> str:
    """Put what the labels say into a record, where the header says nothing else; what tells whose image it is."""
    row, claim, origin = stored.row, stored.claim, stored.subject_from
    if row is not None:
        record.label = row.label if record.label is None else record.label
        record.official_split = record.official_split or row.official_split
        record.view = record.view or row.covariates.view
        record.sex = record.sex or row.covariates.sex
        record.age_band = record.age_band or row.covariates.age_band
        record.targets = {**(record.targets or {}), **row.targets} or None
    if claim is not None and origin == "patient":
        record.also_subject = claim.subject if claim.subject != record.subject else None
    elif claim is not None:
        record.subject, record.also_subject, origin = claim.subject, claim.also, claim.origin
    return origin
