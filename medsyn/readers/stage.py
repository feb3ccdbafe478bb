"""Making a study and scoring it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from medsyn.config import load_preset
from medsyn.data import Dataset
from medsyn.data.lookup import by_digest
from medsyn.errors import DataError, EnvironmentFault, MissingError, UsageError
from medsyn.evaluate.inputs import foreign
from medsyn.images import to_pixels
from medsyn.readers import answers, cases, page, report, scoring, study
from medsyn.readers.options import StudyOptions
from medsyn.readers.results import Readers
from medsyn.readers.study import Case, Source, Study
from medsyn.synthetic import SyntheticSet
from medsyn.synthetic.lineage import training_subjects
from medsyn.workspace import DATASET, EVALUATION, SYNTHETIC, Workspace, read_json


@dataclass(frozen=True)
class StudyResult:
    """What `make` wrote.

    Attributes:
        study: Its number.
        page: For readers; it shows real patients.
        key: What each case is; never for readers.
        classes: Of the cases.
        cases: How many; half of them real.
        splits: Split -> real cases from it.
        simulated: The built-in sample: no image shows a person.
    """

    study: str
    page: Path
    key: Path
    classes: list[str]
    cases: int
    splits: dict[str, int]
    simulated: bool


@dataclass(frozen=True)
class ScoreResult:
    """What `score` found.

    Attributes:
        found: The results.
        page: They alone, as HTML.
        evaluation: The evaluation whose report tells them now, or None.
        warnings: Why not, and what else to know.
    """

    found: Readers
    page: Path
    evaluation: Path | None
    warnings: list[str]


@dataclass(frozen=True)
class _Made:
    """Synthetic images: float32 ``[n, C, H, W]`` in [0, 1], class indices, where from, whom the generator knew."""

    images: np.ndarray
    labels: np.ndarray
    source: Source
    learnt: frozenset[str]


def make(options: StudyOptions, workspace: Workspace) -> StudyResult:
    """Draw cases and write the page for readers, and the key beside it in the workspace's private folder.

    The same options give the same study in the same workspace; without its project key nobody can compute the order.

    Raises:
        MissingError: No synthetic set, or not its dataset.
        DataError: Too few cases of a class, other classes or image shape.
        UsageError: More classes than there are keys, or a page below a file.
        EnvironmentFault: The page cannot be written.
    """
    path = _set(options, workspace)
    dataset = Dataset.open(_dataset(options, workspace, path), splits=cases.SPLITS)
    if not 2 <= len(dataset.classes) <= len(page.KEYS):
        raise UsageError(
            f"has {len(dataset.classes)} classes, and a page can ask for 2 to {len(page.KEYS)}", where=dataset.path
        )
    made = _synthetic(path, options, dataset, workspace)
    key = workspace.project_key()
    order = cases.secret(key, "order", dataset.digest, made.source.digest, options.n, options.seed)
    drawn = cases.draw(dataset, made.learnt, made.labels, options.n, order)
    named = [
        Case(case=cases.secret(key, order, k)[:12], truth=d.truth, label=dataset.classes[d.label], image=d.source)
        for k, d in enumerate(drawn)
    ]
    found = Study.of(
        key,
        dataset=Source(name=dataset.path.name, digest=dataset.digest),
        synthetic=made.source,
        modality=dataset.modality,
        image_shape=list(dataset.image_shape),
        simulated=dataset.meta.get("source") == "built-in sample",
        classes=dataset.classes,
        splits=dict(Counter(str(dataset.table.at[d.source, "split"]) for d in drawn if d.truth == "real")),
        n=options.n,
        seed=options.seed,
        cases=named,
    )
    folder = study.save(found, workspace)
    file = _page(options, folder, found)
    _write(found, _pixels(dataset, made.images, drawn), file, named=options.out is not None)
    return StudyResult(found.study, file, folder / study.FILE, found.classes, found.n, found.splits, found.simulated)


def score(files: Sequence[str | Path], workspace: Workspace, evaluation: str | Path | None = None) -> ScoreResult:
    """Score answers, and add them to the report of the newest evaluation of the same set and dataset.

    Args:
        files: What the page saved, one a reader, all of one study.
        workspace: Where the study was made.
        evaluation: Folder or name of the evaluation to add them to; default: the newest that fits.

    Raises:
        UsageError: No file, several studies, a reader twice.
        DataError: Not such a file, changed since it was saved, or of an evaluation of something else.
        MissingError: The study was made elsewhere, or there is no such evaluation.
        EnvironmentFault: The results cannot be written.
    """
    paths = [Path(file) for file in files]
    given = [answers.read(path) for path in paths]
    answers.check_together(given, paths)
    asked = study.load(workspace, given[0].study, paths[0])
    for one, path in zip(given, paths, strict=True):
        answers.check(one, asked, path)
    target, warnings = _evaluation(workspace, asked, evaluation)
    found = scoring.score(asked, given)
    written = report.write(found, study.folder_of(workspace, asked.study))
    if target is not None:
        try:
            report.add(found, target)
        except DataError as error:
            if evaluation is not None:
                raise
            target, warnings = None, [*warnings, error.line()]
    return ScoreResult(found, written, target, warnings)


# ---- what a study is made from


def _set(options: StudyOptions, workspace: Workspace) -> Path:
    if not options.synthetic:
        return workspace.latest(SYNTHETIC, options.modality)
    path = Path(options.synthetic)
    inside = {p.name for p in workspace.all(SYNTHETIC)}
    return path if path.exists() and path.name not in inside else workspace.find(SYNTHETIC, options.synthetic)


def _dataset(options: StudyOptions, workspace: Workspace, path: Path) -> Path:
    if options.dataset:
        return workspace.find(DATASET, options.dataset)
    card = path / SYNTHETIC.main_file
    if not card.is_file():
        return workspace.latest(DATASET, options.modality)
    found = by_digest(workspace, str(read_json(card).get("dataset_digest")))
    if found is None:
        raise MissingError(
            "the dataset that its generator learnt from is not in this workspace",
            where=path,
            mend="Name one with --dataset.",
        )
    return found


def _synthetic(path: Path, options: StudyOptions, dataset: Dataset, workspace: Workspace) -> _Made:
    if not (path / SYNTHETIC.main_file).is_file():
        read = foreign.read(path, options.synthetic_labels, dataset.classes, dataset.image_shape, dataset.modality)
        return _Made(read.images, read.labels, Source(name=path.name, digest=read.card["digest"]), frozenset())
    opened = SyntheticSet.open(path)
    if list(opened.card.get("image_shape", [])) != list(dataset.image_shape):
        raise DataError(
            f"has images of shape {opened.card.get('image_shape')}, but dataset {dataset.path.name} has "
            f"{list(dataset.image_shape)}",
            where=path,
            mend="Readers would know them by their size: name the dataset that the generator learnt from.",
        )
    digest = str(opened.card.get("checkpoint_digest"))
    record = training_subjects(workspace, digest)
    learnt = pq.read_table(record, columns=["subject"])["subject"].to_pylist() if record else []
    return _Made(
        opened.images(), opened.labels(dataset.classes), Source(name=path.name, digest=digest), frozenset(learnt)
    )


def _pixels(dataset: Dataset, synthetic: np.ndarray, drawn: Sequence[cases.Drawn]) -> list[np.ndarray]:
    """Every case as uint8 ``[C, H, W]``: real ones as classifiers and generators see them."""
    rows = np.array([d.source for d in drawn if d.truth == "real"], np.int64)
    real = iter(to_pixels(dataset.images(rows, load_preset(dataset.modality).window)))
    return [next(real) if d.truth == "real" else to_pixels(synthetic[d.source]) for d in drawn]


def _page(options: StudyOptions, folder: Path, found: Study) -> Path:
    if options.out is None:
        return folder / study.PAGE
    file = Path(options.out)
    return file / f"read-{found.study}.html" if file.is_dir() or not file.suffix else file


def _write(found: Study, pixels: Sequence[np.ndarray], file: Path, *, named: bool) -> None:
    try:
        page.write(found, pixels, file)
    except FileExistsError:
        raise UsageError("lies below a file", where=file, mend="Name another --out.") from None
    except EnvironmentFault as fault:
        if not named:
            raise
        raise EnvironmentFault(fault.what, where=file, mend="Name another --out.") from fault


# ---- which evaluation it belongs to


def _evaluation(workspace: Workspace, asked: Study, named: str | Path | None) -> tuple[Path | None, list[str]]:
    if named is not None:
        path = workspace.find(EVALUATION, named)
        if not _fits(path, asked):
            raise DataError(
                f"is not about set {asked.synthetic.name} and dataset {asked.dataset.name}, which the readers saw",
                where=path,
                mend="Name another --evaluation, or none.",
            )
        return path, []
    fitting = next((p for p in reversed(workspace.all(EVALUATION)) if _fits(p, asked)), None)
    if fitting is not None:
        return fitting, []
    return None, [
        f"No evaluation of {asked.synthetic.name} with {asked.dataset.name} is in this workspace, so no report tells "
        "these results yet: run medsyn evaluate, then score again."
    ]


def _fits(path: Path, asked: Study) -> bool:
    facts = read_json(path / EVALUATION.main_file)
    synthetic, digest = facts.get("synthetic", {}), facts.get("dataset", {}).get("digest")
    known = synthetic.get("checkpoint_digest") in (asked.synthetic.digest, "unknown")
    return digest == asked.dataset.digest and synthetic.get("name") == asked.synthetic.name and known
