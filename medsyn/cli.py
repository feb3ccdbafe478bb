"""The command line: each command parses, calls one stage and prints its result."""

from __future__ import annotations

import logging
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from medsyn import __version__, terminal
from medsyn.compute import launched
from medsyn.config import STAGES, load_pipeline, shipped, validate
from medsyn.errors import AlreadyTold, ExitCode, MedsynError, Preempted, UsageError
from medsyn.exploration.options import ExploreOptions
from medsyn.workspace import SYNTHETIC, Workspace

log = logging.getLogger("medsyn")
CLICK_ERROR: Any = typer.BadParameter.__mro__[2]  # click's ClickException, which Typer may bring along as its own
app = typer.Typer(
    name="medsyn",
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    help="Synthetic medical scans from few real ones, and the truth about whether they help.",
    epilog="Example: [bold]medsyn demo[/]  (no data needed)",
)

WorkspaceOption = Annotated[
    Path | None,
    typer.Option("--workspace", "-w", envvar="MEDSYN_WORKSPACE", help="Folder for everything medsyn makes."),
]
ModalityOption = Annotated[
    str | None, typer.Option(help="xray, mri, ct, ultrasound, mammography, angiography or nuclear.")
]
DeviceOption = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
SeedOption = Annotated[int | None, typer.Option(help="Seed of everything random.")]
ThreadsOption = Annotated[int | None, typer.Option(help="Threads of torch; default: the cores.")]


@app.command(epilog="Example: [bold]medsyn ingest scans/ --labels labels.csv --modality xray[/]")
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
    labels: Annotated[str | None, typer.Option(help="CSV with one row an image.")] = None,
    label_columns: Annotated[
        list[str] | None, typer.Option("--label-column", help="Its column with the class; more: further targets.")
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
    slices: Annotated[str | None, typer.Option(help="Of volumes: all, middle or every=N.")] = None,
    colour: Annotated[str | None, typer.Option(help="Of colour images: grey or rgb.")] = None,
    allow_burned_in: Annotated[
        bool | None, typer.Option("--allow-burned-in", help="Take images that say they show text.")
    ] = None,
    show_paths: Annotated[
        bool | None, typer.Option("--show-paths", help="Name files by path, not by ledger number.")
    ] = None,
    max_failures: Annotated[float | None, typer.Option(help="Share of the files that may fail.")] = None,
    max_pixels: Annotated[int | None, typer.Option(help="Values a file may claim to hold.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; default: the cores.")] = None,
    seed: SeedOption = None,
    sample_subjects: Annotated[int | None, typer.Option(help="Simulated patients of the built-in sample.")] = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Turn scans (DICOM, NIfTI, images, npz) into a labelled dataset, split by patient."""
    _stage("ingest", locals())


@app.command("train-gan", epilog="Example: [bold]medsyn train-gan --modality xray --budget 10m[/]")
def train_gan(
    modality: ModalityOption = None,
    dataset: Annotated[str | None, typer.Option(help="Folder or name; default: the newest.")] = None,
    budget: Annotated[str | None, typer.Option(help="Time or images shown: 90s, 10m, 2h, 50kimg.")] = None,
    recipe: Annotated[str | None, typer.Option(help="latent-r3gan, autoencoder-r3gan, r3gan, dcgan, wgan-gp.")] = None,
    diffaugment: Annotated[
        str | None, typer.Option(help="Augment real and generated alike as the preset says: off, adapt, or preset.")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="float32, bfloat16, or auto: bfloat16 where the processor computes in it.")
    ] = None,
    knobs: Annotated[
        list[str] | None, typer.Option("--set", help="A part of the plan, such as gamma=0.2; may be repeated.")
    ] = None,
    init_from: Annotated[str | None, typer.Option(help="Checkpoint (folder or name) to start from.")] = None,
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
    _stage("train-gan", locals())


@app.command(epilog="Example: [bold]medsyn augment --n 5000 --balance equal[/]")
def augment(
    n: Annotated[int | None, typer.Option("--n", "-n", help="Images in all.")] = None,
    modality: ModalityOption = None,
    generator: Annotated[str | None, typer.Option(help="Folder or name; default: the newest.")] = None,
    balance: Annotated[str | None, typer.Option(help="match, equal, minority, or nodule=3000,normal=2000.")] = None,
    truncation: Annotated[float | None, typer.Option(help="In (0, 1]: less is more typical, less diverse.")] = None,
    formats: Annotated[
        list[str] | None, typer.Option("--format", help="png, dicom, nifti, npz; several: png,dicom.")
    ] = None,
    bits: Annotated[int | None, typer.Option(help="Of a pixel: 8 or 16.")] = None,
    keep_all: Annotated[bool | None, typer.Option("--keep-all", help="No selection: keep every candidate.")] = None,
    max_tries: Annotated[int | None, typer.Option(help="Candidates per image that is wanted, at most.")] = None,
    allow_short: Annotated[
        bool | None, typer.Option("--allow-short", help="Fewer images than asked for are no error.")
    ] = None,
    show_real: Annotated[
        bool | None, typer.Option("--show-real", help="Contact sheets beside real patients; not in the set.")
    ] = None,
    to: Annotated[str | None, typer.Option(help="DICOMweb address to send the set to: https://pacs/dicom-web.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Candidates made at a time; changes no image.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; default: the cores, for many images.")] = None,
    yes: Annotated[bool | None, typer.Option("--yes", help="Go on where the disk seems too small.")] = None,
    seed: SeedOption = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Generate labelled synthetic cases."""
    _stage("augment", locals())


@app.command(epilog="Example: [bold]medsyn verify xray-001 --share 0.05[/]")
def verify(
    synthetic: Annotated[str | None, typer.Argument(metavar="SET", help="Folder or name; default: the newest.")] = None,
    share: Annotated[float | None, typer.Option(help="Of the images that are made again: 0.01, at least 10.")] = None,
    generator: Annotated[
        str | None, typer.Option(help="Folder or name; default: found by the digest that the set names.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
    seed: Annotated[int | None, typer.Option(help="Which images are made again.")] = None,
    device: Annotated[str | None, typer.Option(help="Default: the kind that made the set, where it is here.")] = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Check a synthetic set: every file, the manifest, and a sample of its images made again."""
    arguments = locals()
    with _guard():
        opened, as_json = _open(arguments.pop("workspace")), arguments.pop("json")
        given = {key: value for key, value in arguments.items() if value is not None}
        from medsyn.augment import verification

        options = validate(verification.VerifyOptions, given, where="medsyn verify")
        result = verification.run(options, opened, terminal.Terminal())
        terminal.verified(result, as_json=as_json)
        if not result.ok:
            raise result.error()


@app.command(epilog="Example: [bold]medsyn evaluate --modality xray[/]; rare class: [bold]--rare normal=15[/]")
def evaluate(
    modality: ModalityOption = None,
    dataset: Annotated[str | None, typer.Option(help="Folder or name; default: the generator's own.")] = None,
    synthetic: Annotated[
        str | None, typer.Option(help="Name or folder; also another tool's images. Default: the newest.")
    ] = None,
    synthetic_labels: Annotated[str | None, typer.Option(help="CSV with file and label of such images.")] = None,
    external: Annotated[str | None, typer.Option(help="A dataset from elsewhere to test on as well.")] = None,
    split: Annotated[str | None, typer.Option(help="CSV or Parquet with your own split.")] = None,
    extractor: Annotated[str | None, typer.Option(help="Of features: imagenet, or module:factory.")] = None,
    classifiers: Annotated[
        list[str] | None,
        typer.Option("--classifier", help="cnn, probe, densenet121, resnet18 or module:factory; repeatable."),
    ] = None,
    primary: Annotated[str | None, typer.Option(help="The one that the verdict is about; default: the first.")] = None,
    ratios: Annotated[list[float] | None, typer.Option("--ratio", help="Synthetic per real image; repeatable.")] = None,
    classical: Annotated[
        str | None, typer.Option(help="Classical augmentation of synthetic arms: both, with or without.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Repetitions; fewer than 5 decide nothing.")] = None,
    screen: Annotated[int | None, typer.Option(help="Of these, those that choose arms on val.")] = None,
    quick: Annotated[bool | None, typer.Option("--quick", help="Two seeds: a first look, decides nothing.")] = None,
    test_arms: Annotated[str | None, typer.Option(help="Arms opened on test: chosen, or all.")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps of every arm.")] = None,
    batch: Annotated[int | None, typer.Option(help="Images a step.")] = None,
    fractions: Annotated[
        list[float] | None, typer.Option("--fraction", help="Learning curve: share of the subjects; repeatable.")
    ] = None,
    rare: Annotated[list[str] | None, typer.Option(help="Rare class: subjects in training, normal=15.")] = None,
    train_subjects: Annotated[int | None, typer.Option(help="Subjects in training, all classes together.")] = None,
    val_share: Annotated[
        float | None, typer.Option(help="With --rare, --train-subjects: val subjects per training one.")
    ] = None,
    folds: Annotated[int | None, typer.Option(help="Cross-validation by subject, for tiny cohorts.")] = None,
    regenerate: Annotated[
        bool | None, typer.Option("--regenerate", help="Train a generator anew for every repeat.")
    ] = None,
    generator_budget: Annotated[str | None, typer.Option(help="Of each of these generators: 60kimg, 10m.")] = None,
    balance: Annotated[str | None, typer.Option(help="Classes of their images: match, equal, minority.")] = None,
    measure: Annotated[
        str | None, typer.Option(help="Primary endpoint: auroc, auprc, balanced_accuracy, accuracy, f1, brier.")
    ] = None,
    margin: Annotated[float | None, typer.Option(help="Smaller differences count as none.")] = None,
    specificity: Annotated[float | None, typer.Option(help="At which sensitivity is told.")] = None,
    sensitivity: Annotated[float | None, typer.Option(help="At which specificity is told.")] = None,
    prevalence: Annotated[float | None, typer.Option(help="For predictive values; default: that of test.")] = None,
    bootstrap: Annotated[int | None, typer.Option(help="Bootstrap draws of test subjects.")] = None,
    seed: SeedOption = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Tell whether the synthetic cases help a classifier, by how much, and whether they copy patients."""
    _stage("evaluate", locals())


@app.command("inspect", epilog="Example: [bold]medsyn inspect xray[/]")
def inspect_dataset(
    dataset: Annotated[str | None, typer.Argument(help="Folder or name; default: the newest.")] = None,
    modality: ModalityOption = None,
    html: Annotated[Path | None, typer.Option(help="File or folder of the page; default: in the workspace.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the facts as JSON; a page only with --html.")] = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Show what is in a dataset: counts, confounders, grey values, leaks; in the terminal and as HTML."""
    with _guard():
        from medsyn.inspection import console, stage

        found = stage.run(_open(workspace), dataset, modality, html, write_page=html is not None or not json)
        console.tell(found, as_json=json)


@app.command(epilog="Example: [bold]medsyn explore --seed 40[/]")
def explore(
    generator: Annotated[str | None, typer.Argument(help="Folder or name; default: the newest.")] = None,
    modality: ModalityOption = None,
    seed: Annotated[int | None, typer.Option(help="The first of the seeds that are shown.")] = None,
    columns: Annotated[int | None, typer.Option(help="Seeds beside each other.")] = None,
    frames: Annotated[int | None, typer.Option(help="Of an animation, from one image to the next.")] = None,
    out: Annotated[str | None, typer.Option(help="Folder of the pictures; default: in the workspace.")] = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Draw what a generator has learnt: class x seed grid, latent walk, class morph, truncation; PNG and GIF."""
    arguments = locals()
    with _guard():
        opened = _open(arguments.pop("workspace"))
        given = {key: value for key, value in arguments.items() if value is not None}
        options = validate(ExploreOptions, given, where="medsyn explore")
        from medsyn.exploration import stage

        terminal.explored(stage.run(options, opened))


@app.command(epilog="Example: [bold]medsyn send --to https://pacs.example.org/dicom-web[/]")
def send(
    synthetic: Annotated[
        str | None, typer.Argument(metavar="SET", help="Folder or name of a synthetic set; default: the newest.")
    ] = None,
    to: Annotated[str, typer.Option(help="Root of the PACS's DICOMweb service, without credentials.")] = ...,  # type: ignore[assignment]
    workspace: WorkspaceOption = None,
) -> None:
    """Send the DICOM files of a synthetic set to a PACS (STOW-RS); run again, it sends the rest."""
    with _guard():
        opened = _open(workspace)
        path = opened.chosen(SYNTHETIC, synthetic)
        from medsyn.pacs.sending import send as send_set

        terminal.sent(send_set(path, to, terminal.Terminal()))


@app.command(epilog="Example: [bold]medsyn run pipelines/chest_xray.yaml[/]")
def run(
    pipeline: Annotated[
        str,
        typer.Argument(help="YAML file, or a shipped one: demo, chest_xray, brain_mri, head_ct, breast_ultrasound."),
    ],
    workspace: WorkspaceOption = None,
) -> None:
    """Run a whole pipeline: stages in order, each with its options."""
    _pipeline(pipeline, workspace)


@app.command(epilog="Example: [bold]medsyn demo --workspace /tmp/try[/]")
def demo(workspace: WorkspaceOption = None) -> None:
    """Run everything on the built-in sample of simulated chest films; takes some minutes."""
    _pipeline(shipped("pipelines") / "demo.yaml", workspace)


@app.command(epilog="Example: [bold]medsyn doctor[/]")
def doctor(workspace: WorkspaceOption = None) -> None:
    """Print versions, device, MLflow store, free disk, and what is missing for what."""
    from medsyn import doctor as examination

    with _guard():
        healthy = examination.show(Workspace(workspace))
    raise typer.Exit(ExitCode.OK if healthy else ExitCode.ENVIRONMENT)


def _version(value: bool) -> None:
    if value:
        terminal.out.print(f"medsyn {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def _stage(name: str, arguments: dict[str, Any]) -> None:
    # Whoever stops a training by SIGTERM (a scheduler that needs the machine) loses nothing: to it, all is well.
    with _guard(preempted=ExitCode.OK if name == "train-gan" else ExitCode.INTERRUPTED):
        folder = arguments.pop("workspace")
        workspace = _open(folder)
        given = {key: value for key, value in arguments.items() if value not in (None, [])}
        options = validate(STAGES[name], given, where=f"medsyn {name}")
        result = _run_stage(name, options, workspace)
        if name == "evaluate":
            from medsyn import tracking

            terminal.ui_hint(tracking.ui_hint(workspace))
        elif name != "ingest" or result.images_per_class:
            terminal.show_next(name, result, folder)


def _pipeline(path: str | Path, folder: Path | None) -> None:
    from medsyn import tracking

    with _guard():
        stages = load_pipeline(path)
        workspace = _open(folder)
        for number, (name, options) in enumerate(stages, 1):
            terminal.heading(f"{number}/{len(stages)} {name}")
            _run_stage(name, options, workspace)
        terminal.ui_hint(tracking.ui_hint(workspace))


def _run_stage(name: str, options: Any, workspace: Workspace) -> Any:
    from medsyn import stages

    log.info("%s started", name)
    result = stages.run(name, options, workspace, terminal.Terminal())
    log.info("%s finished: %s", name, result.path.name)
    terminal.show(name, result)
    return result


def _open(folder: Path | None) -> Workspace:
    workspace = Workspace(folder)
    log.setLevel(logging.INFO)
    log.addHandler(terminal.LogFile(workspace.logs))
    console = logging.StreamHandler()
    console.setLevel(logging.WARNING)
    console.setFormatter(logging.Formatter("  %(message)s"))
    log.addHandler(console)
    return workspace


@contextmanager
def _guard(preempted: ExitCode = ExitCode.INTERRUPTED) -> Iterator[None]:
    """Turn every end of a command into one clear line and a documented exit code.

    Args:
        preempted: The code where SIGTERM ended a training that can go on.
    """
    try:
        yield
    except AlreadyTold as error:
        code = error.exit_code
    except MedsynError as error:
        log.info("stopped: %s, exit code %d", type(error).__name__, error.exit_code)
        if not (isinstance(error, UsageError) and launched()[0]):  # all processes have the same options
            terminal.fail(error.line())
        code = error.exit_code
    except Preempted:
        log.info("preempted")
        terminal.err.print("  ended by SIGTERM; the training's state is kept: train-gan --resume goes on with it")
        code = preempted
    except KeyboardInterrupt:
        log.info("interrupted")
        terminal.fail(
            "interrupted. What was complete is kept; run the command again (a training that had begun: with --resume; "
            "a synthetic set and an evaluation go on by themselves)."
        )
        code = ExitCode.INTERRUPTED
    except typer.Exit:
        raise
    except Exception as error:
        # The message of a foreign exception may quote a header: the log gets the place only.
        log.info("bug: %s\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))
        text = " ".join(str(error).split())
        terminal.fail(f"unexpected {type(error).__name__}: {text}. This is a bug in medsyn; the log has the place.")
        code = ExitCode.BUG
    else:
        return
    raise typer.Exit(int(code))


def _terminate(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Entry point: wrong options too end with one line."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = app(standalone_mode=False)
    except typer.Abort:
        code = ExitCode.INTERRUPTED
    except CLICK_ERROR as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "medsyn"
        message = error.format_message()  # empty where help was shown for want of a command
        if message:
            terminal.fail(UsageError(message, where=command, mend=f"See '{command} --help'.").line())
        code = ExitCode.USAGE
    sys.exit(code if isinstance(code, int) else 0)
