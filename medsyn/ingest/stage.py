"""The ingest stage: from files to a committed dataset."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import secrets
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from medsyn import tracking
from medsyn.config import IngestOptions
from medsyn.data import Dataset
from medsyn.data.sample import write_sample
from medsyn.data.schema import ImageRecord
from medsyn.data.settling import ties
from medsyn.data.writer import DatasetWriter
from medsyn.errors import DataError, EnvironmentFault, UsageError
from medsyn.ingest import caveats, isolation, ledger, masks, reading, scan, selection, series, subjects
from medsyn.ingest.journal import Journal, Stored
from medsyn.ingest.labels import LabelSource
from medsyn.ingest.masks import MaskLabel
from medsyn.ingest.source import LookFor, Recipe
from medsyn.progress import SILENT, Progress, track
from medsyn.workspace import DATASET, Workspace, disk_errors, read_json

SAMPLE_SIDE = 128
T = TypeVar("T")


@dataclass(frozen=True)
class IngestResult:
    """A committed dataset.

    Attributes:
        path: Its folder.
        images_per_class: class -> split -> images; empty where nothing is labelled.
        outcomes: Ledger outcome -> rows; adds up to all rows of the ledger.
        files: Inputs, the members of archives among them.
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
    files: int
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
    source = LabelSource.open(options)
    for line in source.told:
        progress.say(line)
    with _journal(options, workspace, sample) as (journal, name_of_journal):
        job = _Job(options, workspace, progress, journal, name_of_journal, sample)
        job.look()
        recipe = job.choose(source)
        with tracking.start(workspace, "ingest", recipe.preset.modality) as run:
            return job.execute(recipe, run)


@contextmanager
def _journal(options: IngestOptions, workspace: Workspace, sample: bool) -> Iterator[tuple[Journal, str]]:
    """The journal of this ingest and its name, held by this process alone.

    Raises:
        EnvironmentFault: Another ingest holds it.
    """
    if sample:  # simulated anew every time
        with workspace.scratch() as folder:
            journal = Journal(folder / "journal.sqlite", adding=False)
            try:
                yield journal, ""
            finally:
                journal.close()
        return
    workspace.create()
    paths = hashlib.sha256("\n".join(sorted(map(os.path.abspath, options.paths))).encode("utf-8", "surrogateescape"))
    name = options.name or f"{options.modality or 'auto'}-{paths.hexdigest()[:12]}"
    folder = workspace.private / "ingest" / name
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        lock = FileLock(folder / ".lock", timeout=0).acquire()
    except Timeout:
        raise EnvironmentFault(
            "another ingest of these scans is running", where=folder, mend="Wait for it, or give another --name."
        ) from None
    with lock:
        journal = Journal(folder / "journal.sqlite", adding=options.name is not None)
        try:
            there = {p.name: read_json(p / DATASET.main_file) for p in workspace.all(DATASET)}
            journal.reconcile({n: m.get("run") if m.get("journal") == name else None for n, m in there.items()})
            yield journal, name
        finally:
            journal.close()


@dataclass
class _Job:
    """One ingest: look at the files, choose, read, settle, commit."""

    options: IngestOptions
    workspace: Workspace
    progress: Progress
    journal: Journal
    journal_name: str
    sample: bool

    def __post_init__(self) -> None:
        tag = (self.options.label_from or "").partition("tag:")[2] or None
        key = self.workspace.project_key()
        self.look_for = LookFor(key, tag, self.options.allow_burned_in, self.options.max_pixels)
        self.where = "" if self.sample else ", ".join(self.options.paths)
        self.caveats: list[str] = []

    def look(self) -> None:
        """Find the files and take a first look at each."""
        options, journal = self.options, self.journal
        journal.find(scan.find(options.paths, options.max_pixels), self.look_for)
        unknown = journal.count("probe IS NULL")
        known = journal.count() - unknown
        if known:
            self.progress.say(f"{known} files are known from an earlier run")
        chunks = _portions(journal.unknown(), reading.CHUNK)
        with isolation.mapper(options.workers, unknown) as over:
            probed = over(partial(scan.probe_chunk, look=self.look_for), chunks)
            for probes in track(self.progress, "Looking at files", probed, -(-unknown // reading.CHUNK)):
                journal.looked(probes)
        for reason, n in journal.folders_left_out().items():
            self.progress.say(f"folders left out: {n} {reason} (see the ledger)")

    def choose(self, source: LabelSource) -> Recipe:
        """Settle modality, series and labels: what is left will be read."""
        options, journal = self.options, self.journal
        kinds = journal.kinds()
        if not kinds:
            raise self._nothing(
                "no readable image among", "DICOM, NIfTI, PNG, JPEG, TIFF, BMP and MedMNIST-layout npz are read."
            )
        preset, why = scan.choose_modality(
            kinds, [i.member or i.path for i in journal.inputs("kind = 'npz'")], options.modality
        )
        if why != "named":
            self.progress.say(f"modality: {preset.modality} ({why})")
        if options.window:
            preset = preset.model_copy(update={"window": options.window})
        named = options.modality is not None
        for probes in _portions(journal.probes("kind = 'dicom'"), 1000):
            journal.refuse(selection.of_other_modality(probes, preset.dicom_modalities, named, preset.modality))
        self.caveats += self._settle_series()
        self._pair_masks()
        self._label(source)
        volumes = any(n for (kind, _), n in journal.kinds().items() if kind in ("dicom", "nifti"))
        hounsfield = preset.storage == "hounsfield" and volumes
        if preset.storage == "hounsfield" and not hounsfield:
            self.caveats.append("plain pictures hold no Hounsfield units: grey values are relative")
        return Recipe(
            self.look_for.key,
            preset,
            options.size or selection.native_side(journal.probes("kind = 'npz'"), journal.kinds()) or preset.size,
            hounsfield,
            window_source="user" if options.window else "preset",
            slices=options.slices,
            colour=(options.colour or preset.colour) == "rgb",
            max_pixels=options.max_pixels,
            mask_label=options.mask_label,
            target=options.label_columns[0],
        )

    def _label(self, source: LabelSource) -> None:
        journal, key = self.journal, self.look_for.key
        inputs, wanted = _Again(journal.inputs), _Again(journal.probes)
        joined, refused = selection.join(source, inputs, wanted, key)
        for line in joined.told:
            self.progress.say(line)
        if not joined.labelled:
            selection.tell_folders(journal.inputs("kind = 'raster'"), self.progress)
        journal.refuse(refused)  # from here on they are not wanted
        claims, told = subjects.require(source, inputs, wanted, joined.rows, key)
        self.caveats += joined.caveats + told
        journal.label(joined.rows, claims)

    def _settle_series(self) -> list[str]:
        told: Counter[str] = Counter()
        slices = self.journal.probes("kind = 'dicom' AND series IS NOT NULL", "series, number")
        for _, members in groupby(slices, key=lambda p: p.series):
            stacked = [p for p in members if p.frames == 1 and p.position is not None]
            if stacked:
                settled = series.settle(stacked, self.options.slices)
                self.journal.settle_series(settled.places)
                self.journal.refuse(settled.refused)
                told += settled.told
        return series.sentences(told)

    def _pair_masks(self) -> None:
        rule = self.options.mask_label
        name = MaskLabel.parse(rule).name if rule else None
        paired = masks.pair(lambda: self.journal.probes("kind IN ('nifti', 'raster')"), prefer=name)
        self.journal.refuse(paired.refused)
        self.journal.settle_masks(paired.masks)
        if paired.masks:
            self.progress.say(f"{len(paired.masks)} files have a segmentation of their own")

    def execute(self, recipe: Recipe, run: tracking.Run) -> IngestResult:
        """Read what was chosen and commit the dataset."""
        modality = recipe.preset.modality
        name = self.options.name or modality
        kept_options = self.options.model_dump(exclude={"paths", "labels"})
        run.params({**kept_options, "size": recipe.size, "source": "built-in sample" if self.sample else "files"})
        self._read(recipe)
        with self.workspace.build(DATASET, name) as build:
            writer = DatasetWriter(build.path, size=recipe.size, dtype=recipe.dtype, channels=recipe.shape[0])
            ids = self._replay(writer)
            if not len(writer):
                raise self._nothing(
                    "not one of", "Check --modality, --labels and the files.", "files could be ingested"
                )
            paths = self.workspace.private / f"{name}-{secrets.token_hex(8)}-paths.csv"
            extra = {
                "source": "built-in sample" if self.sample else "files",
                "options": kept_options,
                "mlflow_run": run.id,
                "journal": self.journal_name,
                "run": self.journal.run,
                "paths_list": paths.name,
                "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            }
            # Of two ingests under one name at once, the second must see the patients of the first.
            with FileLock(self.workspace.private / f".{name}.lock"):
                earlier, earlier_ties = _earlier(self.workspace, name)
                written = writer.finish(
                    key=recipe.key,
                    name=name,
                    modality=modality,
                    classes=self.options.classes,
                    caveats=self.caveats,
                    earlier=earlier,
                    earlier_ties=earlier_ties,
                    # Simulated patients are as many as they say, though their ribs are alike.
                    join_alike=not self.sample,
                    extra=extra,
                )
                self.journal.settle(written.dropped)
                _check_classes(written.meta["fingerprint"], [] if self.sample else self.options.paths)
                summary = ledger.write(self.journal.rows(), build.path)
                try:
                    # Before the commit: a dataset that is there has its list, whatever happens next.
                    ledger.write_paths(paths, self.journal.paths())
                    path = build.commit(written.meta)
                except BaseException:
                    paths.unlink(missing_ok=True)
                    raise
                self.journal.commit(path.name, (ids[i] for i in written.kept))
        self._track(run, written.meta, summary)
        self._tell_failures(summary.examples)
        fingerprint = written.meta["fingerprint"]
        return IngestResult(
            path=path,
            name=name,
            modality=modality,
            images=fingerprint["images"],
            subjects=fingerprint["subjects"],
            images_per_class=fingerprint["images_per_class"],
            outcomes=summary.outcomes,
            files=summary.files,
            caveats=list(written.meta["caveats"]),
            mlflow_run=run.id,
            ledger=path / "ledger.csv",
            sample=self.sample,
        )

    def _read(self, recipe: Recipe) -> None:
        files = self.journal.choose(recipe)
        groups = self.journal.groups(by_series=recipe.preset.modality in ("mri", "nuclear"))
        done = 0
        with isolation.mapper(self.options.workers, files) as over, self.progress.task("Reading images", files) as task:
            for results in over(partial(reading.read_task, recipe=recipe), reading.tasks(groups)):
                self.journal.read(results)
                done += len(results)
                task.update(done)
        failed, everything = self.journal.failures()
        if failed > self.options.max_failures * everything:
            folder = self.workspace.private / "ingest" / (self.journal_name or "sample")
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            summary = ledger.write(self.journal.rows(), folder)
            self._tell_failures(summary.examples)
            reasons = ", ".join(f"{reason} {n}" for reason, n in summary.reasons.most_common(5))
            raise DataError(
                f"{failed} of {everything} files failed, more than --max-failures {self.options.max_failures:g} "
                f"allows ({reasons})",
                where=folder / "ledger.csv",
                mend="Mend the files or raise --max-failures: what was read is kept.",
            )

    def _replay(self, writer: DatasetWriter) -> list[int]:
        """Put all images of the journal into the dataset; their ids in its order."""
        subject_from: Counter[str] = Counter()
        warned: Counter[str] = Counter()
        ids = []
        earlier = _Earlier(self.workspace)
        for stored in self.journal.images():
            record = stored.record
            origin = _apply(stored, record)
            subject_from[origin] += 1
            warned.update(stored.warnings)
            warned["synthetic"] += record.synthetic
            unknown = record.label is not None and record.label not in (self.options.classes or [record.label])
            if unknown:
                raise DataError(
                    f"unknown label '{record.label}'",
                    where=self.where,
                    mend=f"The classes named are: {', '.join(self.options.classes or ())}.",
                )
            pixels, mask = earlier.read(stored) if stored.pixels is None else (stored.pixels, stored.mask)
            writer.add(record, pixels, mask, stored.thumbnail)
            ids.append(stored.id)
        self.caveats += caveats.tell(warned, subject_from)
        if warned["synthetic"]:
            self.progress.say(f"{warned['synthetic']} images say that they are synthetic")
        return ids

    def _nothing(self, what: str, mend: str, end: str = "files") -> DataError:
        counts: Counter[str] = Counter()
        files = set()
        for row in self.journal.rows():
            files.add(row.input)
            counts[row.reason] += bool(row.reason)
        reasons = ", ".join(f"{reason} {n}" for reason, n in counts.most_common() if n)
        return DataError(f"{what} {len(files)} {end} ({reasons})", where=self.where, mend=mend)

    def _tell_failures(self, rows: Sequence[ledger.Row]) -> None:
        """Name files that failed by number, or by path where the user wants that."""
        paths = self.journal.paths_of([row.input for row in rows]) if self.options.show_paths else {}
        for row in rows:
            self.progress.say(f"failed: {paths.get(row.input, f'input {row.input}')}: {row.reason}, {row.detail}")

    def _track(self, run: tracking.Run, meta: Mapping[str, Any], summary: ledger.Summary) -> None:
        counts = {f"inputs_{outcome}": n for outcome, n in summary.outcomes.items()}
        fingerprint = meta["fingerprint"]
        run.metrics([{**counts, "images": fingerprint["images"], "subjects": fingerprint["subjects"]}])
        run.tags({"medsyn.dataset_digest": meta["content_digest"]})
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "ledger-summary.json")
            file.write_text(json.dumps(summary.to_dict(), indent=2) + "\n", encoding="utf-8")
            run.artifact(file)


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


class _Again(Iterable[T]):
    """A query that is asked anew each time: so that nobody holds all of its answer."""

    def __init__(self, query: Callable[[], Iterator[T]]) -> None:
        self._query = query

    def __iter__(self) -> Iterator[T]:
        return self._query()


def _portions(items: Iterable[T], size: int) -> Iterator[list[T]]:
    source = iter(items)
    while portion := list(islice(source, size)):
        yield portion


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
