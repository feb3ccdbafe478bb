"""Inspecting a dataset: read its tables, look at some of its images, write one page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medsyn.data.dataset import Dataset
from medsyn.errors import EnvironmentFault, UsageError
from medsyn.inspection import counts, covariates, findings, page, pixels
from medsyn.inspection.columns import Columns
from medsyn.inspection.results import Inspection, Outliers
from medsyn.workspace import DATASET, Workspace

FOLDER = "inspections"
_FORMAT = ("schema", "axes", "shape", "dtype", "colour", "content_digest", "resplit_of")
_PATHS = ("paths", "labels")


@dataclass(frozen=True)
class InspectResult:
    """What `run` found.

    Attributes:
        report: The facts.
        html: The page, or None where none was asked for.
    """

    report: Inspection
    html: Path | None


def run(
    workspace: Workspace,
    dataset: str | Path | None = None,
    modality: str | None = None,
    html: str | Path | None = None,
    *,
    write_page: bool = True,
) -> InspectResult:
    """Inspect a dataset and write the page.

    Args:
        workspace: Where datasets are, and where the page goes.
        dataset: Folder or name; default: the newest.
        modality: Of the newest one.
        html: File or folder of the page; default: ``inspections/<dataset>.html`` of the workspace.
        write_page: Whether there is to be a page at all.

    Raises:
        MissingError: There is no such dataset.
        DataError: It is damaged.
        UsageError: The page would lie below a file.
        EnvironmentFault: The page cannot be written.
    """
    folder = workspace.chosen(DATASET, dataset, modality)
    report, gallery = inspect(folder)
    if not write_page:
        return InspectResult(report, None)
    file = Path(html) if html else workspace.create().path / FOLDER / f"{report.name}.html"
    if file.is_dir():
        file = file / f"{report.name}.html"
    try:
        page.write(report, gallery, file)
    except FileExistsError:
        raise UsageError("lies below a file", where=file, mend="Name another --html.") from None
    except EnvironmentFault as fault:
        if html is None:
            raise
        raise EnvironmentFault(fault.what, where=file, mend="Name another --html.") from fault
    return InspectResult(report, file)


def inspect(folder: Path) -> tuple[Inspection, page.Gallery]:
    """Facts and pictures of a dataset.

    Args:
        folder: Of the dataset.

    Raises:
        DataError: It is no dataset, or damaged.
    """
    dataset = Dataset.open(folder)
    meta, classes = dataset.meta, dataset.classes
    columns = Columns(folder)
    labels = columns.labels(classes)
    shards = pixels.Pixels(folder, meta, columns)
    sample = pixels.read(shards, columns, labels, classes)
    _, groups = pixels.groups_of(labels, classes)
    tables, same = covariates.examine(columns, labels, classes)
    per_class, per_subject = counts.classes(columns, labels, classes), counts.per_subject(columns, labels, classes)
    leaks, (files, inputs) = counts.leaks(columns), counts.inputs(folder)
    bright = pixels.brightness(sample, columns.unit.codes, classes)
    odd = pixels.outliers(sample, columns, dataset.image_shape[1])
    caveats = list(meta.get("caveats", []))
    report = Inspection(
        name=folder.name,
        modality=dataset.modality,
        simulated=meta.get("source") == "built-in sample",
        created=str(meta.get("created", "")),
        content_digest=dataset.digest,
        images=len(columns.images),
        subjects=int((np.bincount(columns.subject.codes) > 0).sum()),
        classes=classes,
        size=list(dataset.image_shape),
        findings=findings.gather(leaks, per_class, per_subject, tables, bright, odd, inputs, caveats),
        counts=per_class,
        per_subject=per_subject,
        targets=counts.targets(columns),
        splits=counts.splits(columns),
        leaks=leaks,
        rule=covariates.rule(sum(t.p_value is not None for t in tables)),
        covariates=tables,
        same=same,
        images_read=len(sample.rows),
        brightness=bright,
        histograms=pixels.histograms(sample, groups),
        outliers=odd,
        files=files,
        inputs=inputs,
        caveats=caveats,
        settings=_settings(meta),
    )
    return report, _gallery(shards, columns, labels, classes, odd)


def _settings(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Options of the ingest and properties of the format, as they stand in dataset.json; no path."""
    shown = {key: meta[key] for key in _FORMAT if meta.get(key) is not None}
    options = dict(meta.get("options") or {})
    return shown | {k: v for k, v in options.items() if k not in _PATHS and v not in (None, [], {})}


def _gallery(
    shards: pixels.Pixels, columns: Columns, labels: np.ndarray, classes: list[str], odd: list[Outliers]
) -> page.Gallery:
    chosen = pixels.for_display(columns, labels, classes, page.tiles_per_class(len(classes)))
    hidden = np.array([v in ("val", "test") for v in columns.split.values])[columns.split.codes]
    strange = {}
    for row in odd:
        rows = np.searchsorted(columns.images, row.images)
        rows = rows[~hidden[rows]]
        if len(rows):
            strange[row.kind] = {int(columns.images[r]): p for r, p in zip(rows, shards.pictures(rows), strict=True)}
    return page.Gallery({name: shards.pictures(rows) for name, rows in chosen.items()}, strange)
