"""The stage `evaluate`: do the synthetic images help, and are they faithful, diverse and no copies?"""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np

import medsyn
from medsyn import compute, tracking
from medsyn.cache import Cache
from medsyn.cluster import connected
from medsyn.config import EvaluateOptions
from medsyn.data import Dataset
from medsyn.errors import UsageError
from medsyn.evaluate import classifiers, looks, results, selection, verdict
from medsyn.evaluate.checks import labels
from medsyn.evaluate.checks import run as checks
from medsyn.evaluate.checks.galleries import Galleries
from medsyn.evaluate.comparison import cells, subgroups, tables, unfiltered, worth
from medsyn.evaluate.comparison.bank import Bank
from medsyn.evaluate.comparison.group import Group
from medsyn.evaluate.comparison.places import Places
from medsyn.evaluate.comparison.regenerate import Regenerator
from medsyn.evaluate.comparison.training import Engine
from medsyn.evaluate.comparison.utility import Utility
from medsyn.evaluate.inputs.resolve import Inputs, resolve
from medsyn.evaluate.measures.scoring import Scores
from medsyn.evaluate.results import DatasetFacts, Report, SyntheticFacts
from medsyn.evaluate.tracked import track
from medsyn.metrics.features import Extractor, extractor
from medsyn.page.numbers import signed
from medsyn.progress import SILENT, Progress
from medsyn.workspace import EVALUATION, Build, Workspace


@dataclass(frozen=True)
class EvaluateResult:
    """What `run` made.

    Attributes:
        path: The evaluation's folder.
        report: All numbers, the verdict first.
        html: The report to read; it shows real patients' images.
        modality: Preset name.
        mlflow_run: Run id, or None where tracking failed.
    """

    path: Path
    report: Report
    html: Path
    modality: str
    mlflow_run: str | None


def run(options: EvaluateOptions, workspace: Workspace, progress: Progress = SILENT) -> EvaluateResult:
    """Compare classifiers trained with and without a synthetic set, and test the set itself.

    Args:
        options: What to compare.
        workspace: Where the synthetic set, its dataset and its generator are, and the evaluation goes.
        progress: Listener.

    Returns:
        The evaluation; its folder holds report.json, report.html, report.md and predictions.parquet.

    Raises:
        MissingError: Nothing to evaluate.
        DataError: A comparison that could not be honest, such as a generator that learnt from test subjects.
        UsageError: A classifier or extractor that cannot be imported.
        EnvironmentFault: The cluster cannot be used, or a worker process was killed.
    """
    clock = Clock()
    device = compute.device(options.device, options.threads)
    extract = extractor(options.extractor, device)
    inputs = resolve(options, workspace, progress)
    _preflight(options, inputs, extract)
    if options.prevalence is not None and len(inputs.classes) != 2:
        raise UsageError(
            f"of {len(inputs.classes)} classes", where="--prevalence", mend="It is that of the second of two classes."
        )
    settings = cells.settings(inputs.table, inputs.classes, options)
    modality, name = inputs.dataset.modality, str(inputs.dataset.meta["name"])
    synthetic = inputs.given.name if inputs.given is not None else "trained here"
    card = inputs.given.card if inputs.given is not None else {}
    tags = {"medsyn.parent_run": card.get("mlflow_run"), "medsyn.dataset_digest": inputs.dataset.digest}
    with (
        tracking.start(workspace, "evaluate", modality, tags) as tracked,
        workspace.build(EVALUATION, name) as build,
        workspace.scratch() as scratch,
        connected(options.cluster, workspace, progress) as cluster,
    ):
        told = _settings(options, inputs, synthetic)
        tracked.params(told)
        cache = Cache(workspace)
        bank = Bank(extract, cache, options.extractor)
        regenerator = Regenerator(inputs.dataset, options, scratch, cache)
        places = Places(inputs, settings, regenerator, progress.say)
        external = inputs.external.images if inputs.external else None
        with Engine(options, inputs.preset, places, external, bank, cache, device, scratch, cluster) as engine:
            comparison = _train(options, inputs, settings, engine, progress, clock)
            deciding = next(g for g in comparison.groups if g.setting.decides and g.classifier == options.primary)
            with clock("classifiers"):
                beside = unfiltered.train(inputs.given, workspace, places, comparison, deciding)
        # From here on test is opened.
        seen = looks.record(workspace, _tested(options, inputs), synthetic, _next_name(workspace, name))
        subject = checks.Examined.of(
            inputs, places((deciding.setting.name, 0, 0)), regenerated=deciding.setting.regenerated
        )
        others = None if isinstance(beside, str) else beside.images
        examined = checks.Checks(inputs, subject, bank, options.seed, others)
        with clock("checks"):
            progress.say("Testing for fidelity, collapse, copies and leaks")
            report, pictures = _report(
                options, inputs, settings, comparison, deciding, beside, examined, seen, clock,
                told | {"device": str(device)},
            )  # fmt: skip
        tables.predictions(comparison).to_parquet(build.path / "predictions.parquet", index=False)
        with clock("tracking"):
            track(tracked, report)
        report = report.model_copy(update={"seconds": clock.total(), "timings": clock.phases})
        path = _commit(build, report, pictures)
        # Not the HTML file: it shows real patients, and a tracking server is a shared place.
        tracked.artifact(path / EVALUATION.main_file)
        tracked.artifact(path / "report.md")
        return EvaluateResult(path, report, path / "report.html", modality, tracked.id)


def _preflight(options: EvaluateOptions, inputs: Inputs, extract: Extractor) -> None:
    """Try what the user brought on a few images, before anything takes hours or counts as a look."""
    first = [int(np.flatnonzero(inputs.images.labels == c)[0]) for c in range(len(inputs.classes))]
    pixels = inputs.images.pixels[first]
    if options.extractor != "imagenet":
        extract(pixels)
    for name in options.classifiers:
        classifier = classifiers.get(name)
        if name not in classifiers.BUILT_IN:
            labels_of = inputs.images.labels[first]
            task = classifiers.Task(
                pixels, labels_of, len(first), pixels, labels_of, {"test": pixels}, steps=1, batch=len(first)
            )
            classifier.fit_predict(task)


def _tested(options: EvaluateOptions, inputs: Inputs) -> list[str]:
    """Keys of the images that this evaluation may be looked up by."""
    table = inputs.table if options.folds else inputs.table[inputs.table["split"] == "test"]
    keys: list[str] = table["image_key"].tolist()
    return keys + (inputs.external.dataset.table["image_key"].tolist() if inputs.external else [])


class Clock:
    """Where the time goes."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self.phases: dict[str, float] = {}

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        begun = time.monotonic()
        yield
        self.phases[phase] = round(self.phases.get(phase, 0.0) + time.monotonic() - begun, 1)

    def total(self) -> float:
        return round(time.monotonic() - self._started, 1)


def _train(
    options: EvaluateOptions,
    inputs: Inputs,
    settings: Sequence[cells.Setting],
    engine: Engine,
    progress: Progress,
    clock: Clock,
) -> Utility:
    """Generators first where settings ask for them, then all arms of all settings and classifiers."""
    comparison = Utility(
        options, engine, inputs.classes, progress, inputs.external.dataset.path.name if inputs.external else ""
    )
    draws = [(s.name, d.repeat, d.fold) for s in settings if s.regenerated for d in s.draws]
    if draws:
        progress.say(f"training {len(draws)} generators of {options.generator_budget} each (--generator-budget)")
        with clock("generators"), progress.task("generators", len(draws)) as task:
            for done, where in enumerate(draws, 1):
                engine.cells(where)
                task.update(done, where[0])
    with clock("classifiers"):
        for setting in settings:
            for classifier in options.classifiers:
                progress.say(f"{setting.name}: training {classifier}")
                comparison.choose(setting, classifier)
    return comparison


def _report(
    options: EvaluateOptions,
    inputs: Inputs,
    settings: Sequence[cells.Setting],
    comparison: Utility,
    deciding: Group,
    beside: unfiltered.Beside | str,
    examined: checks.Checks,
    seen: list[results.Look],
    clock: Clock,
    told: dict[str, object],
) -> tuple[Report, Galleries]:
    arm, control = (comparison.judged(deciding, plan) for plan in deciding.pair)
    ranking = comparison.test_scores(deciding, deciding.pair[1]).estimates()["auroc"]
    with clock("fidelity"):
        fidelity = examined.fidelity()
    with clock("copying"):
        copies, closest = examined.copies()
    with clock("other checks"):
        first = [comparison.engine.cells((deciding.setting.name, 0, fold)) for fold in range(deciding.setting.folds)]
        collapse, leakage, meaning = examined.collapse(), examined.leakage(first), examined.labels()
        shortcut = examined.shortcut(comparison.control_in_first_cell(deciding), options.bootstrap)
    found = [
        *([copies.sentence] if copies.found or not copies.tested else []),
        *(part.sentence for part in (collapse, leakage, meaning, shortcut, fidelity) if part.found),
        *filter(None, [labels.random(ranking)]),
    ]
    ours, theirs = (comparison.opened(deciding, plan) for plan in deciding.pair)
    parts, gaps = subgroups.compare(
        theirs.probabilities,
        ours.probabilities,
        ours.test.labels,
        ours.test.units,
        checks.covariates(inputs, ours.test),
        options.bootstrap,
        options.seed,
        groups=ours.folds,
    )
    contrasts = tables.contrasts(comparison, deciding)
    warnings = examined.warnings(options.ratios, len(seen), folds=bool(options.folds))
    void = _void(leakage, [comparison.test_scores(deciding, plan) for plan in deciding.pair])
    made = verdict.verdict(
        control,
        arm,
        modality=inputs.dataset.modality,
        margin=options.margin,
        estimand=_estimand(deciding.setting, options),
        measure=options.measure,
        quick=options.quick,
        void=void,
        warnings=_elsewhere(contrasts, options.measure) + found + warnings,
    )
    if isinstance(beside, str):
        selected = selection.untested(inputs.given, inputs.classes, beside)
    else:
        selected = selection.compare(
            beside,
            comparison.test_scores(deciding, deciding.pair[0]),
            comparison.test_scores(beside.group, deciding.pair[0]),
            examined,
            copies.copies,
            measure=options.measure,
            margin=options.margin,
            barred=made.quick or bool(void),
        )
    report = Report(
        verdict=made.model_copy(update={"worth": None if made.quick else worth.in_patients(comparison, deciding)}),
        compared=[tables.facts(s, comparison.engine.cells, inputs.classes) for s in settings],
        arms=[tables.arm(comparison, g, plan) for g in comparison.groups for plan in g.plans],
        contrasts=contrasts,
        curve=tables.curve(comparison),
        subgroups=parts,
        gaps=gaps,
        shortcut=shortcut,
        fidelity=fidelity,
        copying=copies,
        collapse=collapse,
        labels=meaning,
        leakage=leakage,
        selection=selected,
        dataset=_dataset_facts(inputs.dataset),
        external=_dataset_facts(inputs.external.dataset) if inputs.external else None,
        synthetic=_synthetic_facts(inputs, examined.examined.cell),
        looks_at_test=seen,
        settings=told,
        software={
            "medsyn": medsyn.__version__,
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "monai", "scikit-learn", "numpy")},
        },
        seconds=clock.total(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        modality=inputs.dataset.modality,
    )
    return report, examined.galleries(closest)


def _elsewhere(contrasts: Sequence[results.Contrast], measure: str) -> list[str]:
    """What the external test set says of the chosen arms; it does not decide."""
    return [
        f"On the external test set {c.test_set} the difference is {signed(c.effect.value)} (95 % interval "
        f"{signed(c.effect.low)} to {signed(c.effect.high)}); it does not decide."
        for c in contrasts
        if c.test_set != "test" and c.measure == measure
    ]


def _void(leakage: results.Leakage, pair: Sequence[Scores]) -> str:
    """Why no interval could mean anything here; empty where it can."""
    if leakage.learnt_from_test:
        return "The generator seems to have learnt from test subjects, so that no result on them counts."
    lows = [scores.estimates()["auroc"].low for scores in pair]
    if all(low is not None and low <= 0.5 for low in lows):
        return "Neither arm was shown to rank better than chance: there is nothing to compare."
    return ""


def _estimand(setting: cells.Setting, options: EvaluateOptions) -> str:
    if not setting.regenerated:
        return (
            f"Training classifiers on this one dataset and this one synthetic set, {options.seeds} times, each with "
            "other synthetic images, initial weights and order, and testing them on subjects like these. Another "
            "generator trained on the same subjects could come out differently: --regenerate measures that."
        )
    who = {
        "drawn": "drawing the training and val subjects from this one dataset, training a generator on them",
        "stored": "training a generator on these same training subjects",
        "folds": "training a generator in each of these same folds",
    }[setting.subjects]
    return (
        f"The procedure, {options.seeds} times: {who}, generating, and training classifiers, tested on subjects like "
        "these."
        + " Draws from one dataset overlap, so that the interval understates what another dataset would change."
        * (setting.subjects == "drawn")
    )


def _settings(options: EvaluateOptions, inputs: Inputs, synthetic: str) -> dict[str, object]:
    # Names, not the paths that may have been given: those tell of the user's machine.
    told = options.model_dump(exclude={"cluster"}) | {"dataset": inputs.dataset.path.name, "synthetic": synthetic}
    for key in ("synthetic_labels", "split"):
        told[key] = Path(str(told[key])).name if told[key] else None
    told["external"] = inputs.external.dataset.path.name if inputs.external else None
    return told


def _commit(build: Build, report: Report, pictures: Galleries) -> Path:
    from medsyn.evaluate.report import write

    write(report, pictures, build.path)
    return build.commit(report.model_dump(mode="json"))


def _next_name(workspace: Workspace, name: str) -> str:
    numbers = [int(p.name.rsplit("-", 1)[1]) for p in workspace.all(EVALUATION)]
    return f"{name}-{max(numbers, default=0) + 1:03d}"


def _dataset_facts(dataset: Dataset) -> DatasetFacts:
    fingerprint = dataset.meta["fingerprint"]
    return DatasetFacts(
        name=dataset.path.name,
        digest=dataset.digest,
        modality=dataset.modality,
        image_shape=list(dataset.image_shape),
        classes=dataset.classes,
        images_per_class=fingerprint["images_per_class"],
        units_per_class=fingerprint["units_per_class"],
        caveats=list(dataset.meta.get("caveats", [])),
        simulated=dataset.meta.get("source") == "built-in sample",
    )


def _synthetic_facts(inputs: Inputs, cell: cells.Cell) -> SyntheticFacts:
    given, learnt = inputs.given, inputs.generator_subjects
    card = given.card if given is not None else {}
    if given is None:
        subjects = len(np.unique(cell.real.units))
        known = f"train and tune of each repeat: {subjects} subjects in the first; never val or test"
    elif learnt is None:
        known = "no record found"
    else:
        known = f"{len(learnt)} recorded subjects, none of them in val or test of {inputs.dataset.path.name}"
    return SyntheticFacts(
        name=given.name if given is not None else "generators of the repeats (numbers: the first one's)",
        n=len(cell.synthetic),
        images_per_class={c: int((cell.synthetic.labels == i).sum()) for i, c in enumerate(inputs.classes)},
        generator=str(card.get("generator") or ("trained here" if given is None else "unknown")),
        checkpoint_digest=str(cell.generator or card.get("checkpoint_digest") or card.get("digest") or "unknown"),
        generator_subjects=known,
        foreign=given is not None and given.foreign,
    )
