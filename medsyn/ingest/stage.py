"""The ingest stage: from files to a committed dataset."""

from __future__ import annotations

import datetime
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pyarrow.parquet as pq

from medsyn import compute, tracking
from medsyn.config import IngestOptions
from medsyn.data.sample import write_sample
from medsyn.data.schema import ImageRecord
from medsyn.data.writer import DatasetWriter
from medsyn.errors import DataError, EnvironmentFault
from medsyn.ingest import reading, scan, selection
from medsyn.ingest.deidentify import keyed
from medsyn.ingest.labels import LabelRow, LabelTable
from medsyn.ingest.ledger import Ledger, Row, write_paths
from medsyn.ingest.reading import FileResult
from medsyn.ingest.scan import Input
from medsyn.ingest.source import Probe, Recipe
from medsyn.progress import SILENT, Progress, track
from medsyn.workspace import DATASET, Workspace, read_json

SAMPLE_SIDE = 128
IN_PROCESS = 64
"""Below this number of files, starting worker processes takes longer than the work."""

A = TypeVar("A")
B = TypeVar("B")
Mapper = Callable[[Callable[[A], B], Iterable[A]], Iterator[B]]


@dataclass(frozen=True)
class IngestResult:
    """A committed dataset.

    Attributes:
        path: Its folder.
        images_per_class: class -> split -> images; empty where nothing is labelled.
        outcomes: Ledger outcome -> inputs; adds up to all inputs.
        caveats: What every later report must repeat.
        mlflow_run: Run id, None without tracking.
        ledger: ``ledger.csv`` of the dataset.
        sample: Whether this is the built-in sample.
    """

    path: Path
    name: str
    modality: str
    images: int
    subjects: int
    images_per_class: dict[str, dict[str, int]]
    outcomes: dict[str, int]
    caveats: list[str]
    mlflow_run: str | None
    ledger: Path
    sample: bool


def run(options: IngestOptions, workspace: Workspace, progress: Progress = SILENT) -> IngestResult:
    """Ingest scans, or the built-in sample where no path is given.

    Args:
        options: What to read and how.
        workspace: Where the dataset goes.
        progress: Listener.

    Raises:
        DataError: Input that cannot be used; the workspace then holds no new dataset.
        UsageError: Nothing says which modality this is.
    """
    if options.paths:
        return _ingest(options, workspace, progress, sample=False)
    workspace.create()
    folder = Path(tempfile.mkdtemp(prefix=".sample-", dir=workspace.path))
    try:
        progress.say(f"no path given: simulating {options.sample_subjects} patients (built-in sample, no real person)")
        with progress.task("Simulating films", options.sample_subjects) as task:
            labels = write_sample(
                folder,
                subjects=options.sample_subjects,
                seed=options.seed,
                size=SAMPLE_SIDE,
                progress=lambda done, _: task.update(done),
            )
        own = {"paths": [str(folder / "films")], "labels": str(labels), "label_column": "label", "file_column": "file"}
        simulated = options.model_copy(update={**own, "subject_column": None})
        return _ingest(simulated, workspace, progress, sample=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _ingest(options: IngestOptions, workspace: Workspace, progress: Progress, *, sample: bool) -> IngestResult:
    table = None
    if options.labels is not None:
        table = LabelTable.open(options.labels, options.label_column, options.file_column, options.subject_column)
        for line in table.told:
            progress.say(line)
        if options.classes:
            table.check_classes(options.classes)
    inputs = scan.find(options.paths)
    with _mapper(options.workers, len(inputs)) as mapper:
        ledger = Ledger()
        chunks = [inputs[i : i + reading.CHUNK] for i in range(0, len(inputs), reading.CHUNK)]
        probed = track(progress, "Looking at files", mapper(scan.probe_chunk, chunks), len(chunks))
        probes = [p for chunk in probed for p in chunk]
        wanted = selection.readable(probes, ledger, options)
        preset, why = scan.choose_modality(wanted, options.modality)
        if why != "named":
            progress.say(f"modality: {preset.modality} ({why})")
        wanted = selection.of_modality(
            wanted, ledger, preset.dicom_modalities, options.modality is not None, preset.modality
        )
        labels, caveats = selection.join(table, inputs, wanted, ledger)
        if table is not None:
            wanted = [p for p in wanted if p.kind == "npz" or p.number in labels]
        else:
            selection.tell_folders(inputs, wanted, progress)
        hounsfield = preset.storage == "hounsfield" and any(p.kind in ("dicom", "nifti") for p in wanted)
        if preset.storage == "hounsfield" and not hounsfield:
            caveats.append("plain pictures hold no Hounsfield units: grey values are relative")
        scan.order_slices(wanted)
        recipe = Recipe(workspace.project_key(), preset, selection.side(options, wanted, preset.size), hounsfield)
        job = _Job(options, workspace, progress, recipe, ledger, inputs, labels, caveats, sample)
        with tracking.start(workspace, "ingest", preset.modality) as run:
            return job.execute(mapper, wanted, run)


@dataclass
class _Job:
    """The second half of an ingest: everything is known but the pixels."""

    options: IngestOptions
    workspace: Workspace
    progress: Progress
    recipe: Recipe
    ledger: Ledger
    inputs: Sequence[Input]
    labels: Mapping[int, LabelRow]
    caveats: list[str]
    sample: bool
    subject_from: Counter[str] = field(default_factory=Counter)

    def execute(self, mapper: Mapper, wanted: Sequence[Probe], run: tracking.Run) -> IngestResult:
        modality = self.recipe.preset.modality
        name = self.options.name or modality
        kept_options = self.options.model_dump(exclude={"paths", "labels"})
        run.params({**kept_options, "size": self.recipe.size, "source": "built-in sample" if self.sample else "files"})
        with self.workspace.build(DATASET, name) as build:
            dtype = "int16" if self.recipe.hounsfield else "uint16"
            writer = DatasetWriter(build.path, size=self.recipe.size, dtype=dtype)
            self._read(mapper, wanted, writer)
            if not writer.records:
                reasons = ", ".join(f"{reason} {n}" for reason, n in self.ledger.reasons().items())
                raise DataError(
                    f"not one of {len(self.inputs)} files could be ingested ({reasons})",
                    where="" if self.sample else ", ".join(self.options.paths),
                    mend="Check --modality, --labels and the files.",
                )
            unknown = {r.label for r in writer.records if r.label} - set(self.options.classes or ())
            if self.options.classes and unknown:
                raise DataError(
                    f"unknown label '{min(unknown)}'",
                    where=", ".join(self.options.paths),
                    mend=f"The classes named are: {', '.join(self.options.classes)}.",
                )
            self.caveats += _subject_caveats(self.subject_from)
            extra = {
                "source": "built-in sample" if self.sample else "files",
                "options": kept_options,
                "mlflow_run": run.id,
                "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            }
            written = writer.finish(
                key=self.recipe.key,
                name=name,
                modality=modality,
                classes=self.options.classes,
                caveats=self.caveats,
                earlier=_earlier(self.workspace, name),
                extra=extra,
            )
            self.ledger.correct(written.dropped)
            _check_classes(written.meta["fingerprint"], self.options.paths)
            self.ledger.write(build.path)
            path = build.commit(written.meta)
        ledger_paths = self.workspace.private / f"{path.name}-paths.csv"
        write_paths(ledger_paths, ((i.number, i.relative if self.sample else i.path) for i in self.inputs))
        self._track(run, written.meta)
        fingerprint = written.meta["fingerprint"]
        return IngestResult(
            path=path,
            name=name,
            modality=modality,
            images=fingerprint["images"],
            subjects=fingerprint["subjects"],
            images_per_class=fingerprint["images_per_class"],
            outcomes=self.ledger.outcomes(),
            caveats=list(written.meta["caveats"]),
            mlflow_run=run.id,
            ledger=path / "ledger.csv",
            sample=self.sample,
        )

    def _read(self, mapper: Mapper, wanted: Sequence[Probe], writer: DatasetWriter) -> None:
        by_series = self.recipe.preset.modality == "mri"
        kinds = {p.number: p.kind for p in wanted}
        results = mapper(partial(reading.read_task, recipe=self.recipe), reading.plan(wanted, by_series))
        done = 0
        with self.progress.task("Reading images", len(wanted)) as task:
            for chunk in results:
                for result in chunk:
                    digest = result.facts.digest if result.facts else None
                    row = Row(result.number, kinds[result.number], result.outcome, result.reason, result.detail)
                    row.images, row.source_digest = len(result.images), digest
                    self.ledger.add(row)
                    self._store(result, kinds[result.number], writer)
                done += len(chunk)
                task.update(done)

    def _store(self, result: FileResult, kind: str, writer: DatasetWriter) -> None:
        if result.facts is None or not result.images:
            return
        row = self.labels.get(result.number)
        origin: str = result.facts.subject_from
        subject = None
        # The header names the patient better than a table, unless the user says which column to trust.
        if row and row.subject and (origin != "patient" or self.options.subject_column):
            subject, origin = keyed(self.recipe.key, "subject", "", row.subject), "table"
        self.subject_from[origin if origin != "file" or kind != "nifti" else "volume"] += len(result.images)
        for record, pixels in result.images:
            if row:
                _apply(row, record)
            record.subject = subject or record.subject
            writer.add(record, pixels)

    def _track(self, run: tracking.Run, meta: Mapping[str, Any]) -> None:
        summary = self.ledger.summary()
        counts = {f"inputs_{outcome}": n for outcome, n in summary["outcomes"].items()}
        fingerprint = meta["fingerprint"]
        run.metrics([{**counts, "images": fingerprint["images"], "subjects": fingerprint["subjects"]}])
        run.tags({"medsyn.dataset_digest": meta["content_digest"]})
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "ledger-summary.json")
            file.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
            run.artifact(file)


def _apply(row: LabelRow, record: ImageRecord) -> None:
    """Put a row's label and covariates into a record; what the header says stays."""
    record.label = row.label if record.label is None else record.label
    record.view = record.view or row.covariates.view
    record.sex = record.sex or row.covariates.sex
    record.age_band = record.age_band or row.covariates.age_band


# ---- choosing


@contextmanager
def _mapper(workers: int | None, files: int) -> Iterator[Mapper]:
    """An ordered map, over processes where that pays."""
    if workers == 1 or files < IN_PROCESS:
        yield map
        return
    try:
        with compute.executor(workers) as pool:
            yield lambda function, items: compute.map_ordered(
                pool, function, items, ahead=2 * (workers or compute.cores())
            )
    except BrokenProcessPool:
        raise EnvironmentFault(
            "the worker processes died", where="--workers", mend="Run with --workers 1; a script needs a main guard."
        ) from None


def _earlier(workspace: Workspace, name: str) -> dict[str, str]:
    """subject -> split over all earlier datasets of this name; the oldest word counts."""
    known: dict[str, str] = {}
    for folder in workspace.all(DATASET):
        if read_json(folder / DATASET.main_file).get("name") == name:
            rows = pq.read_table(folder / "splits.parquet", columns=["subject", "split"]).to_pylist()
            for row in rows:
                known.setdefault(row["subject"], row["split"])
    return known


def _subject_caveats(subject_from: Mapping[str, int]) -> list[str]:
    texts = {
        "study": "images without patient id: each study counts as one subject, and a patient may be in two splits",
        "file": "images without patient id: each file counts as one subject, "
        "and near-duplicates of one patient may straddle splits",
        "volume": "images of volumes without patient id: each file counts as one subject",
        "image": "images of an npz file: it holds no patient ids, each image counts as one subject, "
        "and a patient may be in two splits",
    }
    return [f"{subject_from[origin]} {text}" for origin, text in texts.items() if subject_from.get(origin)]


def _check_classes(fingerprint: Mapping[str, Any], paths: Sequence[str]) -> None:
    """After duplicates and conflicts are gone, a labelled dataset needs two classes of two subjects.

    Raises:
        DataError: It has not.
    """
    counts = {label: sum(splits.values()) for label, splits in fingerprint["units_per_class"].items()}
    if not counts:
        return
    thin = sorted(label for label, n in counts.items() if n < 2)
    if len(counts) < 2 or thin:
        told = (
            f"class '{thin[0]}' has fewer than 2 subjects" if thin else f"only the class '{next(iter(counts))}' is left"
        )
        raise DataError(
            f"{told}, after files that cannot be used, duplicates and contradictory labels are gone",
            where=", ".join(paths),
            mend="Two classes of at least two subjects are needed: add scans or leave the class out.",
        )
