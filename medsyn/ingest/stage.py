"""The ingest stage: from files to a committed dataset."""

from __future__ import annotations

import datetime
import json
import secrets
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from filelock import FileLock

from medsyn import compute, tracking
from medsyn.config import IngestOptions
from medsyn.data.sample import write_sample
from medsyn.data.schema import ImageRecord
from medsyn.data.writer import DatasetWriter, ties
from medsyn.errors import DataError, UsageError
from medsyn.ingest import isolation, reading, scan, selection, series
from medsyn.ingest.deidentify import keyed
from medsyn.ingest.isolation import Mapper
from medsyn.ingest.labels import LabelRow, LabelTable
from medsyn.ingest.ledger import Ledger, Row, write_paths
from medsyn.ingest.reading import FileResult
from medsyn.ingest.scan import Input
from medsyn.ingest.source import LookFor, Probe, Recipe
from medsyn.progress import SILENT, Progress, track
from medsyn.workspace import DATASET, Workspace, disk_errors, read_json

SAMPLE_SIDE = 128
IN_PROCESS = 64
"""Below this number of files, starting worker processes takes longer than the work."""


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
        UsageError: Nothing says which modality this is, or labels come without scans.
    """
    if options.paths:
        return _ingest(options, workspace, progress, sample=False)
    if options.labels is not None:
        raise UsageError("labels without scans", where="--labels", mend="Name the folder of the scans, too.")
    with disk_errors(workspace.path), workspace.scratch() as folder:
        progress.say(f"no path given: simulating {options.sample_subjects} patients (built-in sample, no real person)")
        with progress.task("Simulating films", options.sample_subjects) as task:
            labels = write_sample(
                folder,
                subjects=options.sample_subjects,
                seed=options.seed,
                size=SAMPLE_SIDE,
                progress=lambda done, _: task.update(done),
            )
        own = {
            "paths": [str(folder / "films")],
            "labels": str(labels),
            "label_columns": ["label"],
            "file_column": "file",
        }
        simulated = options.model_copy(update={**own, "subject_from": None})
        return _ingest(simulated, workspace, progress, sample=True)


def _ingest(options: IngestOptions, workspace: Workspace, progress: Progress, *, sample: bool) -> IngestResult:
    table = None
    if options.labels is not None:
        table = LabelTable.open(options.labels, options.label_columns[0], options.file_column, options.subject_from)
        for line in table.told:
            progress.say(line)
        if options.classes:
            table.check_classes(options.classes)
    inputs = list(scan.find(options.paths, options.max_pixels))
    for reason, n in Counter(i.refused.reason for i in inputs if i.refused).items():
        progress.say(f"folders left out: {n} {reason} (see the ledger)")
    with _mapper(options.workers, len(inputs)) as mapper:
        ledger = Ledger()
        tag = (options.label_from or "").partition("tag:")[2] or None
        look = LookFor(workspace.project_key(), tag, options.allow_burned_in, options.max_pixels)
        chunks = [inputs[i : i + reading.CHUNK] for i in range(0, len(inputs), reading.CHUNK)]
        probed = track(progress, "Looking at files", mapper(partial(scan.probe_chunk, look=look), chunks), len(chunks))
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
        settled = series.settle_all(wanted, options.slices)
        for p in wanted:
            if refused := settled.refused.get(p.number):
                ledger.add(Row(p.number, p.kind, refused.outcome, refused.reason, refused.detail))
        wanted = [p for p in wanted if p.number not in settled.refused]
        caveats += settled.sentences()
        if options.window:
            preset = preset.model_copy(update={"window": options.window})
        recipe = Recipe(
            look.key,
            preset,
            selection.side(options, wanted, preset.size),
            hounsfield,
            window_source="user" if options.window else "preset",
            slices=options.slices,
            colour=(options.colour or preset.colour) == "rgb",
            max_pixels=options.max_pixels,
            mask_label=options.mask_label,
        )
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
    warned: Counter[str] = field(default_factory=Counter)

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
            self.caveats += [f"{self.warned[kind]} {text}" for kind, text in _WARNINGS.items() if self.warned[kind]]
            if self.warned["synthetic"]:
                self.progress.say(f"{self.warned['synthetic']} {_WARNINGS['synthetic']}")
            paths = self.workspace.private / f"{name}-{secrets.token_hex(8)}-paths.csv"
            extra = {
                "source": "built-in sample" if self.sample else "files",
                "options": kept_options,
                "mlflow_run": run.id,
                "paths_list": paths.name,
                "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            }
            # Of two ingests under one name at once, the second must see the patients of the first.
            with FileLock(self.workspace.private / f".{name}.lock"):
                earlier, earlier_ties = _earlier(self.workspace, name)
                written = writer.finish(
                    key=self.recipe.key,
                    name=name,
                    modality=modality,
                    classes=self.options.classes,
                    caveats=self.caveats,
                    earlier=earlier,
                    earlier_ties=earlier_ties,
                    extra=extra,
                )
                self.ledger.correct(written.dropped)
                _check_classes(written.meta["fingerprint"], [] if self.sample else self.options.paths)
                self.ledger.write(build.path)
                try:
                    # Before the commit: a dataset that is there has its list, whatever happens next.
                    write_paths(paths, ((i.number, i.relative if self.sample else i.path) for i in self.inputs))
                    path = build.commit(written.meta)
                except BaseException:
                    paths.unlink(missing_ok=True)
                    raise
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
        subject = also = None
        if row and row.subject:
            also = keyed(self.recipe.key, "subject", "", row.subject)
            if origin != "patient":
                subject, also, origin = also, None, "table"
        self.warned.update(dict.fromkeys(result.facts.warnings, len(result.images)))
        self.warned["synthetic"] += len(result.images) if result.facts.synthetic else 0
        self.subject_from[origin if origin != "file" or kind != "nifti" else "volume"] += len(result.images)
        for image in result.images:
            record = image.record
            if row:
                _apply(row, record)
            record.subject = subject or record.subject
            record.also_subject = also if also != record.subject else None
            writer.add(record, image.pixels)

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
    with isolation.workers(workers or compute.cores()) as mapper:
        yield mapper


def _earlier(workspace: Workspace, name: str) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Earlier datasets of this name: subject -> split, of which the oldest word counts, and the ties of all images."""
    known: dict[str, str] = {}
    tied: set[tuple[str, str]] = set()
    for folder in workspace.all(DATASET):
        if read_json(folder / DATASET.main_file).get("name") == name:
            rows = pq.read_table(folder / "splits.parquet").to_pylist()
            images = pq.read_table(folder / "index.parquet", columns=["study", "pixel_digest"]).to_pylist()
            for row, image in zip(rows, images, strict=True):
                known.setdefault(row["subject"], row["split"])
                tied.update(ties(row["subject"], row.get("also_subject"), image["study"], image["pixel_digest"]))
    return known, sorted(tied)


_WARNINGS = {
    "synthetic": "images say that they are synthetic: no patient is behind them, and a result on them says nothing "
    "about patients",
    "text": "images of kinds that often carry burned-in names (ultrasound, secondary capture) do not say "
    "BurnedInAnnotation=NO: look at them before sharing",
    "face": "images show heads: faces can be recognised from head volumes",
}
_ONLY_IDENTICAL = "; only pixel-identical images are recognised as one patient's, not near-duplicates"


def _subject_caveats(subject_from: Mapping[str, int]) -> list[str]:
    texts = {
        "study": "images without patient id: each study counts as one subject, and a patient may be in two splits",
        "file": "images without patient id (has the CSV one? name it with --subject-from): each file counts as one "
        "subject, and a patient may be in two splits" + _ONLY_IDENTICAL,
        "volume": "images of volumes without patient id: each file counts as one subject" + _ONLY_IDENTICAL,
        "image": "images of an npz file: it holds no patient ids, each image counts as one subject, "
        "and a patient may be in two splits" + _ONLY_IDENTICAL,
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
