"""The ingest stage: from files to a committed dataset."""

from __future__ import annotations

import datetime
import json
import secrets
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock

from medsyn import tracking
from medsyn.cluster import connected
from medsyn.config import IngestOptions
from medsyn.data.earlier import Earlier
from medsyn.data.sample import write_brains, write_sample
from medsyn.data.writer import DatasetWriter
from medsyn.errors import DataError, UsageError
from medsyn.ingest import caveats, isolation, ledger, reading
from medsyn.ingest.choice import Choice, nothing_left
from medsyn.ingest.dicomweb import Services
from medsyn.ingest.journal import Journal
from medsyn.ingest.labels import LabelSource
from medsyn.ingest.opening import continued, opened
from medsyn.ingest.replay import replay
from medsyn.ingest.source import Recipe
from medsyn.progress import SILENT, Progress
from medsyn.workspace import DATASET, Workspace, disk_errors, private_folder, read_json

SAMPLE_SIDE = 128
SAMPLES = {"xray": (write_sample, ["films"]), "mri": (write_brains, ["images", "masks"])}
"""Modality -> what simulates it, and the folders of its scans; the first is that of whoever names none."""


@dataclass(frozen=True)
class IngestResult:
    """A committed dataset.

    Attributes:
        path: Its folder.
        name: The folder's name.
        modality: Preset name.
        images: How many.
        subjects: Whom they show.
        images_per_class: class -> split -> images; empty where nothing is labelled.
        outcomes: Ledger outcome -> rows; adds up to all rows of the ledger.
        files: Inputs, the members of archives among them.
        reasons: Reason -> rows that were not ingested, most frequent first.
        caveats: What every later report must repeat.
        mlflow_run: Run id, None without tracking.
        ledger: ``ledger.csv`` of the dataset.
        ways_to_label: Options that would give labels, where nothing is labelled.
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
    reasons: dict[str, int]
    caveats: list[str]
    mlflow_run: str | None
    ledger: Path
    sample: bool
    ways_to_label: list[str] = field(default_factory=list)


def run(options: IngestOptions, workspace: Workspace, progress: Progress = SILENT) -> IngestResult:
    """Ingest scans, or the built-in sample where no path is given.

    Args:
        options: What to read and how.
        workspace: Where the dataset goes.
        progress: Listener.

    Raises:
        DataError: Input that cannot be used; the workspace then holds no new dataset.
        UsageError: Nothing says which modality this is, or labels come without scans.
        EnvironmentFault: The cluster cannot be used.
    """
    if options.paths:
        return _ingest(options, workspace, progress, sample=False)
    if options.labels is not None:
        raise UsageError("labels without scans", where="--labels", mend="Name the folder of the scans, too.")
    modality: str = options.modality or next(iter(SAMPLES))
    if modality not in SAMPLES:
        raise UsageError(
            f"there is no built-in sample of {modality}",
            where="medsyn ingest",
            mend=f"Name the folder of your scans, or take --modality {' or '.join(SAMPLES)}.",
        )
    simulate, scans = SAMPLES[modality]
    with disk_errors(workspace.path), workspace.scratch() as folder:
        progress.say(f"no path given: simulating {options.sample_subjects} patients (built-in sample, no real person)")
        with progress.task("Simulating scans", options.sample_subjects) as task:
            labels = simulate(
                folder,
                subjects=options.sample_subjects,
                seed=options.seed,
                size=SAMPLE_SIDE,
                progress=lambda done, _: task.update(done),
            )
        own = {
            "paths": [str(folder / name) for name in scans],
            "labels": str(labels),
            "label_columns": ["label"],
            "file_column": "file",
        }
        simulated = options.model_copy(update={**own, "subject_from": None, "modality": modality})
        return _ingest(simulated, workspace, progress, sample=True)


def _ingest(options: IngestOptions, workspace: Workspace, progress: Progress, *, sample: bool) -> IngestResult:
    services = Services.of(options, workspace)
    where = "" if sample else services.shown()
    options, modality = continued(services.local(), workspace)
    source = LabelSource.open(options)
    for line in source.told:
        progress.say(line)
    with (
        opened(options, workspace, sample) as journal,
        services.held(progress),
        connected(options.cluster, workspace, progress, options.paths, torch=False) as cluster,
    ):
        choice = Choice(options, workspace.project_key(), journal, progress, where, services, modality, cluster)
        choice.look(source.tables())
        recipe = choice.choose(source)
        job = _Job(
            options, workspace, progress, journal, recipe, services, choice.caveats, where, sample,
            choice.ways_to_label, cluster,
        )  # fmt: skip
        with tracking.start(workspace, "ingest", recipe.preset.modality) as run:
            return job.execute(run)


@dataclass
class _Job:
    """The second half of an ingest: read what was chosen, settle, commit."""

    options: IngestOptions
    workspace: Workspace
    progress: Progress
    journal: Journal
    recipe: Recipe
    services: Services
    caveats: list[str]
    where: str
    sample: bool
    ways_to_label: list[str]
    cluster: Executor | None

    def execute(self, run: tracking.Run) -> IngestResult:
        recipe = self.recipe
        modality = recipe.preset.modality
        name = self.options.name or modality
        # Labels as they are written may name a person: folders and DICOM elements do. So may what was searched for.
        kept_options = self.options.model_dump(exclude={"paths", "labels", "label_map", "query", "cluster"})
        kept_options["labels_renamed"] = len(self.options.label_map)
        kept_options["queried_by"] = sorted(self.options.query)
        run.params({**kept_options, "size": recipe.size, "source": "built-in sample" if self.sample else "files"})
        self._read()
        with self.workspace.build(DATASET, name) as build:
            writer = DatasetWriter(build.path, size=recipe.size, dtype=recipe.dtype, channels=recipe.shape[0])
            places, told = replay(self.journal, writer, self.workspace, self.options, self.where)
            self.caveats += told
            if not len(writer):
                raise nothing_left(
                    self.journal,
                    self.where,
                    "not one of",
                    "Check --modality, --labels and the files.",
                    "files could be ingested",
                )
            paths = self.workspace.private / f"{name}-{secrets.token_hex(8)}-paths.csv"
            extra = {
                "source": "built-in sample" if self.sample else "files",
                "options": kept_options,
                "mlflow_run": run.id,
                "journal": self.journal.name,
                "run": self.journal.run,
                "paths_list": paths.name,
                "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            }
            # Of two ingests under one name at once, the second must see the patients of the first.
            with FileLock(self.workspace.private / f".{name}.lock"):
                folders = self.workspace.all(DATASET)
                earlier = Earlier.of(p for p in folders if read_json(p / DATASET.main_file).get("name") == name)
                written = writer.finish(
                    key=recipe.key,
                    name=name,
                    modality=modality,
                    classes=self.options.classes,
                    caveats=self.caveats,
                    earlier=earlier,
                    # Simulated patients are as many as they say, though their ribs are alike.
                    join_alike=not self.sample,
                    extra=extra,
                )
                written.meta["caveats"] += caveats.unlabelled(written.meta["fingerprint"])
                self.journal.settle(written.dropped)
                if not len(written.kept):
                    raise nothing_left(
                        self.journal,
                        self.where,
                        "not one image is left of",
                        "Ingest under another --name where patients are now named in another way than before.",
                    )
                _check_classes(written.meta["fingerprint"], self.where)
                summary = ledger.write(self.journal.rows(), build.path)
                try:
                    # Before the commit: a dataset that is there has its list, whatever happens next.
                    ledger.write_paths(paths, self.journal.paths())
                    path = build.commit(written.meta)
                except BaseException:
                    paths.unlink(missing_ok=True)
                    raise
                self.journal.commit(path.name, places.of(written.kept))
        self.services.remove()
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
            reasons=summary.to_dict()["reasons"],
            caveats=list(written.meta["caveats"]),
            mlflow_run=run.id,
            ledger=path / "ledger.csv",
            sample=self.sample,
            ways_to_label=[] if fingerprint["images_per_class"] else self.ways_to_label,
        )

    def _read(self) -> None:
        recipe = self.recipe
        files = self.journal.choose(recipe, self.options.label_map)
        by_series = recipe.preset.modality in ("mri", "nuclear")
        self.services.bring((p.path for group in self.journal.groups(by_series) for p in group.files), self.progress)
        groups = self.journal.groups(by_series)
        done = 0
        with (
            isolation.mapper(self.options.workers, files, self.cluster) as over,
            self.progress.task("Reading images", files) as task,
        ):
            for results in over(partial(reading.read_task, recipe=recipe), reading.tasks(groups)):
                self.journal.read(results)
                done += len(results)
                task.update(done)
        summary = ledger.summarise(self.journal.rows())
        if summary.failed_files > self.options.max_failures * summary.files:
            folder = self.workspace.private / "ingest" / (self.journal.name or "sample")
            private_folder(folder)
            ledger.write(self.journal.rows(), folder)
            self._tell_failures(summary.examples)
            reasons = ", ".join(f"{reason} {n}" for reason, n in summary.reasons.most_common(5))
            raise DataError(
                f"{summary.failed_files} of {summary.files} files failed, more than "
                f"--max-failures {self.options.max_failures:g} allows ({reasons})",
                where=folder / "ledger.csv",
                mend="Mend the files or raise --max-failures: what was read is kept.",
            )

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


def _check_classes(fingerprint: Mapping[str, Any], where: str) -> None:
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
            where=where,
            mend="Two classes of at least two subjects are needed: add scans or leave the class out.",
        )
