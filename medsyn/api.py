"""Stages, looks, readers, comparing, sending and the care of a workspace as functions for notebooks and scripts."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from medsyn import stages
from medsyn.config import STAGES, validate
from medsyn.exploration.options import ExploreOptions
from medsyn.progress import SILENT, Progress
from medsyn.workspace import GENERATOR, SYNTHETIC, Workspace

if TYPE_CHECKING:
    from medsyn.augment.stage import AugmentResult
    from medsyn.augment.verification import Verified
    from medsyn.evaluate.stage import EvaluateResult
    from medsyn.exploration.stage import ExploreResult
    from medsyn.gan.stage import TrainResult
    from medsyn.ingest.stage import IngestResult
    from medsyn.inspection.stage import InspectResult
    from medsyn.operations.gc import Collected
    from medsyn.operations.models import Listed, Promoted
    from medsyn.operations.status import Status
    from medsyn.pacs.sending import SendResult
    from medsyn.portable import Exported
    from medsyn.readers.stage import ScoreResult, StudyResult
    from medsyn.side_by_side.stage import CompareResult


F = TypeVar("F", bound=Callable[..., Any])


def _with_options(stage: str) -> Callable[[F], F]:
    """Show the options of a stage, one by one, in the signature and the docstring of its function."""

    def shown(function: F) -> F:
        signature, types = inspect.signature(function), get_type_hints(STAGES[stage])
        parameters = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        lines = [inspect.getdoc(function) or "", "", "Options:"]
        for name, field in STAGES[stage].model_fields.items():
            if name not in signature.parameters:
                default = field.get_default(call_default_factory=True)
                keyword = inspect.Parameter.KEYWORD_ONLY
                parameters.append(inspect.Parameter(name, keyword, default=default, annotation=types[name]))
                lines.append(f"    {name}: {field.description or 'as on the command line'}.")
        function.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        function.__doc__ = "\n".join(lines)
        return function

    return shown


@_with_options("ingest")
def ingest(
    *paths: str | Path, workspace: str | Path | None = None, progress: Progress = SILENT, **options: Any
) -> IngestResult:
    """Turn scans into a labelled dataset; without ``paths``, the built-in sample.

    Args:
        paths: Files and folders with DICOM, NIfTI, PNG, JPEG, TIFF or MedMNIST-layout npz, and DICOMweb services.
        workspace: Folder; default: ``MEDSYN_WORKSPACE``, else ``./medsyn-workspace``.
        progress: Listener.
        options: Fields of `medsyn.config.IngestOptions`, such as ``labels="labels.csv"``.

    Returns:
        The dataset's folder as ``path``, what it holds, and what became of every input.

    Raises:
        MedsynError: With what is wrong, where, and how to mend it.
    """
    made: IngestResult = _run("ingest", {"paths": [str(p) for p in paths], **options}, workspace, progress)
    return made


@_with_options("train-gan")
def train_gan(*, workspace: str | Path | None = None, progress: Progress = SILENT, **options: Any) -> TrainResult:
    """Train a class-conditional generator on the newest dataset; options as in `medsyn.config.TrainOptions`.

    Returns:
        The generator's folder as ``path``, its figures on tune as ``monitor``, and what went wrong as ``health``.
    """
    made: TrainResult = _run("train-gan", options, workspace, progress)
    return made


@_with_options("augment")
def augment(
    n: int = 1000, *, workspace: str | Path | None = None, progress: Progress = SILENT, **options: Any
) -> AugmentResult:
    """Generate ``n`` labelled synthetic images; options as in `medsyn.config.AugmentOptions`.

    Returns:
        The set's folder as ``path``, images a class, and what the selection left out.
    """
    made: AugmentResult = _run("augment", {"n": n, **options}, workspace, progress)
    return made


@_with_options("evaluate")
def evaluate(*, workspace: str | Path | None = None, progress: Progress = SILENT, **options: Any) -> EvaluateResult:
    """Judge the newest synthetic set; options as in `medsyn.config.EvaluateOptions`.

    Returns:
        All numbers as ``report``, the verdict first, and the page to read as ``html``.
    """
    made: EvaluateResult = _run("evaluate", options, workspace, progress)
    return made


def verify_synthetic(
    synthetic: str | Path | None = None,
    *,
    workspace: str | Path | None = None,
    progress: Progress = SILENT,
    **options: Any,
) -> Verified:
    """Check a synthetic set: every file, the manifest, and a sample of its images made again; nothing is written.

    Args:
        synthetic: Folder or name; default: the newest.
        workspace: As for `ingest`.
        progress: Listener.
        options: Fields of `medsyn.augment.verification.VerifyOptions`, such as ``share=0.05``.

    Returns:
        What was found; ``ok`` says whether nothing is wrong, ``findings`` what is.

    Raises:
        MedsynError: With what is wrong, where, and how to mend it.
    """
    from medsyn.augment import verification

    given = {key: str(value) if isinstance(value, Path) else value for key, value in options.items()}
    if synthetic is not None:
        given["synthetic"] = str(synthetic)
    checked = validate(verification.VerifyOptions, given, where="medsyn.verify_synthetic")
    return verification.run(checked, Workspace(workspace), progress)


def inspect_dataset(
    dataset: str | Path | None = None,
    *,
    modality: str | None = None,
    html: str | Path | None = None,
    workspace: str | Path | None = None,
) -> InspectResult:
    """Look at a dataset before anything learns from it: counts, confounders, grey values, leaks, inputs.

    Args:
        dataset: Folder or name; default: the newest, of ``modality`` where that is given.
        modality: Of the newest dataset.
        html: File or folder of the page; default: ``inspections/<dataset>.html`` of the workspace.
        workspace: As for `ingest`.

    Returns:
        The facts as ``report`` (`medsyn.inspection.results.Inspection`), and the page as ``html``.

    Raises:
        MedsynError: With what is wrong, where, and how to mend it.
    """
    from medsyn.inspection import stage

    return stage.run(Workspace(workspace), dataset, modality, html)


def explore(
    generator: str | Path | None = None, *, workspace: str | Path | None = None, **options: Any
) -> ExploreResult:
    """Draw what a generator has learnt: class x seed grid, latent walk, class morph, truncation sweep.

    Args:
        generator: Folder or name; default: the newest.
        workspace: As for `ingest`.
        options: Fields of `medsyn.exploration.options.ExploreOptions`, such as ``seed=40`` or ``out="pictures"``.

    Returns:
        The pictures, PNG and GIF, as ``files``.

    Raises:
        MedsynError: With what is wrong, where, and how to mend it.
    """
    from medsyn.exploration import stage

    given = {key: str(value) if isinstance(value, Path) else value for key, value in options.items()}
    if generator is not None:
        given["generator"] = str(generator)
    return stage.run(validate(ExploreOptions, given, where="medsyn.explore"), Workspace(workspace))


def send(
    synthetic: str | Path | None = None,
    *,
    to: str,
    workspace: str | Path | None = None,
    progress: Progress = SILENT,
) -> SendResult:
    """Send the DICOM files of a synthetic set to a PACS (STOW-RS); called again, it sends the rest.

    Args:
        synthetic: Folder or name; default: the newest.
        to: Root of the DICOMweb service; credentials come from the environment or netrc.
        workspace: As for `ingest`.
        progress: Listener.

    Returns:
        How many instances the server has now, and how many of them this call has sent.

    Raises:
        MedsynError: With what is wrong, where, and how to mend it.
    """
    from medsyn.pacs import sending

    return sending.send(Workspace(workspace).chosen(SYNTHETIC, synthetic), to, progress)


def status(workspace: str | Path | None = None, *, check: bool = False, progress: Progress = SILENT) -> Status:
    """What is in a workspace: results by what they were made from, what is stale, damaged, unfinished.

    Args:
        workspace: As for `ingest`.
        check: Compare SHA-256s, too: of images of datasets, weights of generators, all files of synthetic sets.
        progress: Listener.

    Returns:
        Trees of results, and what is unfinished; ``all()`` goes through every result.

    Raises:
        MissingError: There is no such folder.
    """
    from medsyn.operations.status import status as look

    return look(Workspace(workspace), check=check, progress=progress)


def list_models(modality: str | None = None, *, workspace: str | Path | None = None) -> Listed:
    """Generators of the workspace and of MLflow's registry, and which one is the champion of its modality."""
    from medsyn.operations.models import models

    return models(Workspace(workspace), modality)


def promote_model(name: str, *, workspace: str | Path | None = None, progress: Progress = SILENT) -> Promoted:
    """Make a generator the champion of its modality in MLflow's registry.

    Args:
        name: Of its folder, or a version of the registry as ``medsyn-xray/3``.
        workspace: As for `ingest`.
        progress: Listener.

    Raises:
        MedsynError: No such generator, or a registry that does not answer.
    """
    from medsyn.operations.models import promote

    return promote(Workspace(workspace), name, progress)


def export_model(
    name: str | Path,
    destination: str | Path,
    *,
    training: bool = True,
    subjects: bool = False,
    workspace: str | Path | None = None,
) -> Exported:
    """Write a generator as a folder or zip file that `augment` and `train_gan` take anywhere.

    Args:
        name: Of its folder.
        destination: A new folder, or a new file named ``*.zip``.
        training: Whether another training can start from it.
        subjects: Whether the keys of the patients it learnt from are in it.
        workspace: As for `ingest`.

    Raises:
        MedsynError: No such generator, a damaged one, or a destination that exists.
    """
    from medsyn import portable

    chosen = Workspace(workspace).find(GENERATOR, name)
    return portable.export(chosen, Path(destination), training=training, subjects=subjects)


def collect_garbage(*names: str, dry_run: bool = False, workspace: str | Path | None = None) -> Collected:
    """Remove what nobody needs: caches and what killed processes left; of results only those that are named.

    Args:
        names: Complete results, as ``synthetic/xray-003``.
        dry_run: Only tell.
        workspace: As for `ingest`.

    Returns:
        What went, or would go, and the bytes that are free by it.

    Raises:
        MedsynError: No such result, or one that may be in use.
    """
    from medsyn.operations.gc import collect

    return collect(Workspace(workspace), names, dry_run=dry_run)


def reader_study(*, workspace: str | Path | None = None, **options: Any) -> StudyResult:
    """Write a page on which readers tell real cases from synthetic ones, in the workspace's private folder.

    Args:
        workspace: As for `ingest`.
        options: Fields of `medsyn.readers.options.StudyOptions`, such as ``n=60`` or ``synthetic="xray-001"``.

    Returns:
        The page, which shows real patients, and the key, which is not for readers.

    Raises:
        MedsynError: With what is wrong, where, and how to mend it.
    """
    from medsyn.readers import stage
    from medsyn.readers.options import StudyOptions

    given = {key: str(value) if isinstance(value, Path) else value for key, value in options.items()}
    return stage.make(validate(StudyOptions, given, where="medsyn.reader_study"), Workspace(workspace))


def score_readers(
    *files: str | Path, evaluation: str | Path | None = None, workspace: str | Path | None = None
) -> ScoreResult:
    """Score the answers of readers, and add them to the report of the evaluation they belong to.

    Args:
        files: What the page of `reader_study` saved, one a reader.
        evaluation: Folder or name; default: the newest of the same dataset and synthetic set.
        workspace: As for `ingest`; the one that the study was made in.

    Returns:
        The results as ``found`` (`medsyn.readers.results.Readers`), and where they are told.

    Raises:
        MedsynError: With what is wrong, where, and how to mend it.
    """
    from medsyn.readers import stage

    return stage.score(files, Workspace(workspace), evaluation)


def compare(
    *evaluations: str | Path, html: str | Path | None = None, workspace: str | Path | None = None
) -> CompareResult:
    """Set evaluations side by side, and say where they cannot be compared.

    Args:
        evaluations: Folders or names, two or more.
        html: File or folder of the page; default: in ``comparisons/`` of the workspace.
        workspace: As for `ingest`.

    Returns:
        The facts as ``found`` (`medsyn.side_by_side.results.SideBySide`), and the page as ``html``.

    Raises:
        MedsynError: With what is wrong, where, and how to mend it.
    """
    from medsyn.side_by_side import stage

    return stage.run(evaluations, Workspace(workspace), html)


def _run(stage: str, options: dict[str, Any], workspace: str | Path | None, progress: Progress) -> Any:
    checked = validate(STAGES[stage], options, where=f"medsyn.{stage.replace('-', '_')}")
    return stages.run(stage, checked, Workspace(workspace), progress)


def make_callable(package: str, function: Callable[..., Any]) -> None:
    """Let a stage's package be called as its function.

    ``medsyn.ingest`` is both the package with the stage in it and what a notebook calls: importing the package would
    otherwise hide the function of the same name.
    """

    class Stage(ModuleType):
        # What `inspect.signature` and notebooks show of the package is the function.
        __signature__ = inspect.signature(function)

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

    module = sys.modules[package]
    module.__class__, module.__doc__ = Stage, function.__doc__
    module.__all__ = [function.__name__]  # type: ignore[attr-defined]
