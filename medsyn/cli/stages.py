"""The four stages: ingest, train-gan, augment, evaluate."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from medsyn import manner, terminal
from medsyn.cli.application import app
from medsyn.cli.completion import of_kind
from medsyn.cli.guard import guard, log, open_workspace, options_of
from medsyn.cli.options import ClusterOption, DeviceOption, ModalityOption, SeedOption, ThreadsOption, WorkspaceOption
from medsyn.errors import ExitCode
from medsyn.workspace import DATASET, GENERATOR, SYNTHETIC, Workspace

PANEL = "From scans to a verdict"


@app.command(epilog="Example: [bold]medsyn ingest scans/ --labels labels.csv --modality xray[/]", rich_help_panel=PANEL)
def ingest(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            help="Files, folders, DICOMweb services (https://...); none: a simulated sample, xray or --modality mri."
        ),
    ] = None,
    query: Annotated[
        list[str] | None, typer.Option(help="What of a DICOMweb service: Modality=CR; repeatable, all must fit.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Of each DICOMweb service at most so many instances.")] = None,
    labels: Annotated[
        str | None, typer.Option(help="CSV or Parquet: a row for each file, series, study or patient.")
    ] = None,
    label_columns: Annotated[
        list[str] | None,
        typer.Option("--label-column", help="Its column with the class; more: further targets; default: label."),
    ] = None,
    label_from: Annotated[str | None, typer.Option(help="Class from the folder, or a DICOM tag: tag:KEYWORD.")] = None,
    label_map: Annotated[
        list[str] | None, typer.Option("--map", help="A label under another name: pos=pneumonia; repeatable.")
    ] = None,
    mask_label: Annotated[str | None, typer.Option(help="Class of a slice by its mask: lesion>0.")] = None,
    classes: Annotated[str | None, typer.Option(help="The classes there are, in order: normal,pneumonia.")] = None,
    file_column: Annotated[
        str | None, typer.Option(help="Its column that names the file, patient, study, series or SOP instance.")
    ] = None,
    subject_from: Annotated[
        str | None,
        typer.Option(
            help="Its column with the patient; or file, folder or folder:N (N-th below the path): each a patient."
        ),
    ] = None,
    modality: ModalityOption = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the dataset; one that exists is added to. Default: the modality.")
    ] = None,
    size: Annotated[int | None, typer.Option(help="Side of the stored images in pixels.")] = None,
    window: Annotated[str | None, typer.Option(help="Of CT: lung, soft, brain, bone, or centre,width.")] = None,
    slices: Annotated[str | None, typer.Option(help="Of volumes: all, middle or every=N; default: all.")] = None,
    colour: Annotated[str | None, typer.Option(help="Of colour images: grey or rgb.")] = None,
    allow_burned_in: Annotated[
        bool | None, typer.Option("--allow-burned-in", help="Take images that say they show text.")
    ] = None,
    show_paths: Annotated[
        bool | None, typer.Option("--show-paths", help="Name files by path, not by ledger number.")
    ] = None,
    max_failures: Annotated[float | None, typer.Option(help="Share of the files that may fail; default: 0.05.")] = None,
    max_pixels: Annotated[int | None, typer.Option(help="Values a file may claim to hold; default: 268435456.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; default: the cores.")] = None,
    cluster: ClusterOption = None,
    seed: Annotated[
        int | None, typer.Option(help="Of the built-in sample; splits follow the project key; default: 0.")
    ] = None,
    sample_subjects: Annotated[
        int | None, typer.Option(help="Simulated patients of the built-in sample; default: 300.")
    ] = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Turn scans (DICOM, NIfTI, images, npz) into a labelled dataset, split by patient."""
    stage("ingest", locals())


@app.command(
    "train-gan", epilog="Example: [bold]medsyn train-gan --modality xray --budget 10m[/]", rich_help_panel=PANEL
)
def train_gan(
    modality: ModalityOption = None,
    dataset: Annotated[
        str | None, typer.Option(help="Folder or name; default: the newest.", autocompletion=of_kind(DATASET))
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="Time or images shown: 90s, 10m, 2h, 50kimg; default: 10m.")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="latent-r3gan, autoencoder-r3gan, r3gan, dcgan, wgan-gp; default: latent-r3gan.")
    ] = None,
    diffaugment: Annotated[
        str | None,
        typer.Option(help="Augment real and generated alike as the preset says: off, adapt, or preset; default: off."),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(help="float32, bfloat16, or auto: bfloat16 where the processor computes in it; default: auto."),
    ] = None,
    knobs: Annotated[
        list[str] | None, typer.Option("--set", help="A part of the plan, such as gamma=0.2; may be repeated.")
    ] = None,
    init_from: Annotated[
        str | None,
        typer.Option(help="Checkpoint (folder, zip or name) to start from.", autocompletion=of_kind(GENERATOR)),
    ] = None,
    resume: Annotated[bool | None, typer.Option("--resume", help="Go on with the newest unfinished training.")] = None,
    allow_synthetic: Annotated[
        bool | None, typer.Option("--allow-synthetic", help="Learn from images marked synthetic, too; the cards tell.")
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Images a step; default: as the plan says.")] = None,
    seed: SeedOption = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Train a class-conditional generator on the training split."""
    stage("train-gan", locals())


@app.command(epilog="Example: [bold]medsyn augment --n 5000 --balance equal[/]", rich_help_panel=PANEL)
def augment(
    n: Annotated[int | None, typer.Option("--n", "-n", help="Images in all; default: 1000.")] = None,
    modality: ModalityOption = None,
    generator: Annotated[
        str | None,
        typer.Option(help="Folder, zip or name; default: the newest.", autocompletion=of_kind(GENERATOR)),
    ] = None,
    balance: Annotated[
        str | None, typer.Option(help="match, equal, minority, or nodule=3000,normal=2000; default: match.")
    ] = None,
    truncation: Annotated[
        float | None, typer.Option(help="In (0, 1]: less is more typical, less diverse; default: 1.")
    ] = None,
    formats: Annotated[
        list[str] | None, typer.Option("--format", help="png, dicom, nifti, npz; several: png,dicom; default: png,npz.")
    ] = None,
    bits: Annotated[int | None, typer.Option(help="Of a pixel: 8 or 16; default: 8.")] = None,
    keep_all: Annotated[bool | None, typer.Option("--keep-all", help="No selection: keep every candidate.")] = None,
    max_tries: Annotated[
        int | None, typer.Option(help="Candidates per image that is wanted, at most; default: 10.")
    ] = None,
    allow_short: Annotated[
        bool | None, typer.Option("--allow-short", help="Fewer images than asked for are no error.")
    ] = None,
    show_real: Annotated[
        bool | None, typer.Option("--show-real", help="Contact sheets beside real patients; not in the set.")
    ] = None,
    to: Annotated[str | None, typer.Option(help="DICOMweb address to send the set to: https://pacs/dicom-web.")] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Candidates made at a time; changes no image; default: 512.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; default: the cores, for many images.")] = None,
    cluster: ClusterOption = None,
    yes: Annotated[bool | None, typer.Option("--yes", help="Go on where the disk seems too small.")] = None,
    seed: SeedOption = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Generate labelled synthetic cases."""
    stage("augment", locals())


@app.command(
    epilog="Example: [bold]medsyn evaluate --modality xray[/]; rare class: [bold]--rare normal=15[/]",
    rich_help_panel=PANEL,
)
def evaluate(
    modality: ModalityOption = None,
    dataset: Annotated[
        str | None, typer.Option(help="Folder or name; default: the generator's own.", autocompletion=of_kind(DATASET))
    ] = None,
    synthetic: Annotated[
        str | None,
        typer.Option(
            help="Name or folder; also another tool's images. Default: the newest.", autocompletion=of_kind(SYNTHETIC)
        ),
    ] = None,
    synthetic_labels: Annotated[str | None, typer.Option(help="CSV with file and label of such images.")] = None,
    external: Annotated[
        str | None, typer.Option(help="A dataset from elsewhere to test on as well.", autocompletion=of_kind(DATASET))
    ] = None,
    split: Annotated[str | None, typer.Option(help="CSV or Parquet with your own split.")] = None,
    extractor: Annotated[
        str | None, typer.Option(help="Of features: imagenet, or module:factory; default: imagenet.")
    ] = None,
    classifiers: Annotated[
        list[str] | None,
        typer.Option(
            "--classifier", help="cnn, probe, densenet121, resnet18 or module:factory; repeatable; default: cnn."
        ),
    ] = None,
    primary: Annotated[str | None, typer.Option(help="The one that the verdict is about; default: the first.")] = None,
    ratios: Annotated[
        list[float] | None,
        typer.Option("--ratio", help="Synthetic per real image; repeatable; default: 0.25,0.5,1,2,5."),
    ] = None,
    classical: Annotated[
        str | None, typer.Option(help="Classical augmentation of synthetic arms: both, with or without; default: both.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Repetitions; fewer than 5 decide nothing; default: 5.")] = None,
    screen: Annotated[int | None, typer.Option(help="Of these, those that choose arms on val; default: 2.")] = None,
    quick: Annotated[bool | None, typer.Option("--quick", help="Two seeds: a first look, decides nothing.")] = None,
    test_arms: Annotated[str | None, typer.Option(help="Arms opened on test: chosen, or all; default: chosen.")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps of every arm; default: 800.")] = None,
    batch: Annotated[int | None, typer.Option(help="Images a step; default: 64.")] = None,
    fractions: Annotated[
        list[float] | None, typer.Option("--fraction", help="Learning curve: share of the subjects; repeatable.")
    ] = None,
    rare: Annotated[list[str] | None, typer.Option(help="Rare class: subjects in training, normal=15.")] = None,
    train_subjects: Annotated[int | None, typer.Option(help="Subjects in training, all classes together.")] = None,
    val_share: Annotated[
        float | None, typer.Option(help="With --rare, --train-subjects: val subjects per training one; default: 0.2.")
    ] = None,
    folds: Annotated[int | None, typer.Option(help="Cross-validation by subject, for tiny cohorts.")] = None,
    regenerate: Annotated[
        bool | None, typer.Option("--regenerate", help="Train a generator anew for every repeat.")
    ] = None,
    generator_budget: Annotated[
        str | None, typer.Option(help="Of each of these generators: 60kimg, 10m; default: 60kimg.")
    ] = None,
    balance: Annotated[
        str | None, typer.Option(help="Classes of their images: match, equal, minority; default: equal.")
    ] = None,
    measure: Annotated[
        str | None,
        typer.Option(help="Primary endpoint: auroc, auprc, balanced_accuracy, accuracy, f1, brier; default: auroc."),
    ] = None,
    margin: Annotated[float | None, typer.Option(help="Smaller differences count as none; default: 0.01.")] = None,
    specificity: Annotated[float | None, typer.Option(help="At which sensitivity is told; default: 0.9.")] = None,
    sensitivity: Annotated[float | None, typer.Option(help="At which specificity is told; default: 0.9.")] = None,
    prevalence: Annotated[float | None, typer.Option(help="For predictive values; default: that of test.")] = None,
    bootstrap: Annotated[int | None, typer.Option(help="Bootstrap draws of test subjects; default: 1000.")] = None,
    cluster: ClusterOption = None,
    seed: SeedOption = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Tell whether the synthetic cases help a classifier, by how much, and whether they copy patients."""
    stage("evaluate", locals())


def stage(name: str, arguments: dict[str, Any]) -> None:
    from medsyn.config import STAGES

    # Whoever stops a training by SIGTERM (a scheduler that needs the machine) loses nothing: to it, all is well.
    with guard(preempted=ExitCode.OK if name == "train-gan" else ExitCode.INTERRUPTED):
        folder = arguments.pop("workspace")
        workspace = open_workspace(folder)
        options = options_of(STAGES[name], arguments, name)
        result = run_stage(name, options, workspace)
        if manner.current.as_json:
            manner.answer(facts(name, result))
            return
        with terminal.hushed():
            if name == "evaluate":
                from medsyn import tracking

                terminal.ui_hint(tracking.ui_hint(workspace))
            elif name != "ingest" or result.images_per_class:
                terminal.show_next(name, result, folder)


def run_stage(name: str, options: Any, workspace: Workspace) -> Any:
    from medsyn import stages

    log.info("%s started", name)
    result = stages.run(name, options, workspace, terminal.Terminal())
    log.info("%s finished: %s", name, result.path.name)
    with terminal.hushed():
        terminal.show(name, result)
    return result


def facts(name: str, result: Any) -> dict[str, Any]:
    """What a stage made, for JSON; of an evaluation the verdict, and where the rest is."""
    told = {"command": name, **vars(result)}
    if name == "evaluate":
        report = told.pop("report")
        told |= {"verdict": report.verdict, "selection": report.selection.sentence, "seconds": report.seconds}
        told |= {"report": result.path / "report.json", "predictions": result.path / "predictions.parquet"}
    return told
