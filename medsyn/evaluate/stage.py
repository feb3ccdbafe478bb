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
from medsyn.config import EvaluateOptions
from medsyn.data import Dataset
from medsyn.evaluate import cells, checks, classifiers, labels, looks, results, subgroups, utility, verdict
from medsyn.evaluate.bank import Bank
from medsyn.evaluate.cache import Cache
from medsyn.evaluate.galleries import Galleries
from medsyn.evaluate.inputs import Inputs, resolve
from medsyn.evaluate.places import Places
from medsyn.evaluate.regenerate import Regenerator
from medsyn.evaluate.results import DatasetFacts, Report, SyntheticFacts
from medsyn.evaluate.training import Engine
from medsyn.metrics.features import extractor
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
    """
    clock = Clock()
    for name in options.classifiers:
        classifiers.get(name)
    inputs = resolve(options, workspace, progress)
    settings = cells.settings(inputs.table, inputs.classes, options)
    device = compute.device(options.device, options.threads)
    modality, name = inputs.dataset.modality, str(inputs.dataset.meta["name"])
    synthetic = inputs.given.name if inputs.given is not None else "trained here"
    card = inputs.given.card if inputs.given is not None else {}
    tags = {"medsyn.parent_run": card.get("mlflow_run"), "medsyn.dataset_digest": inputs.dataset.digest}
    with (
        tracking.start(workspace, "evaluate", modality, tags) as tracked,
        workspace.build(EVALUATION, name) as build,
        workspace.scratch() as scratch,
    ):
        told = _settings(options, inputs, synthetic)
        tracked.params(told)
        test = inputs.table.index if options.folds else inputs.table.index[inputs.table["split"] == "test"]
        keys = inputs.table.loc[test, "image_key"].tolist()
        seen = looks.record(workspace, looks.digest(keys), synthetic, _next_name(workspace, name))
        cache = Cache(workspace)
        bank = Bank(extractor(options.extractor, device), cache)
        regenerator = Regenerator(inputs.dataset, options, scratch, cache)
        places = Places(inputs, settings, regenerator, progress.say)
        engine = Engine(
            options,
            inputs.preset,
            places,
            inputs.external.images if inputs.external else None,
            bank,
            cache,
            device,
            scratch,
        )
        comparison = utility.Utility(options, engine, inputs.classes, progress)
        if any(s.regenerated for s in settings):
            with clock("generators"):
                for setting in settings:
                    for draw in setting.draws:
                        places((setting.name, draw.repeat, draw.fold))
        with clock("classifiers"):
            for setting in settings:
                for classifier in options.classifiers:
                    progress.say(f"{setting.name}: training {classifier}")
                    comparison.choose(setting, classifier)
        deciding = next(g for g in comparison.groups if g.setting.decides and g.classifier == options.primary)
        subject = checks.Subject.of(
            inputs, places((deciding.setting.name, 0, 0)), regenerated=deciding.setting.regenerated
        )
        examined = checks.Checks(inputs, subject, bank, options.seed)
        with clock("checks"):
            progress.say("Testing for fidelity, collapse, copies and leaks")
            report, pictures = _report(
                options, inputs, settings, comparison, deciding, examined, seen, clock, told | {"device": str(device)}
            )
        comparison.predictions().to_parquet(build.path / "predictions.parquet", index=False)
        with clock("tracking"):
            _track(tracked, report, comparison)
        report = report.model_copy(update={"seconds": clock.total(), "timings": clock.phases})
        path = _commit(build, report, pictures)
        # Not the HTML file: it shows real patients, and a tracking server is a shared place.
        tracked.artifact(path / EVALUATION.main_file)
        tracked.artifact(path / "report.md")
        return EvaluateResult(path, report, path / "report.html", modality, tracked.id)


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


def _report(
    options: EvaluateOptions,
    inputs: Inputs,
    settings: Sequence[cells.Setting],
    comparison: utility.Utility,
    deciding: utility.Group,
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
        collapse, leakage, meaning = examined.collapse(), examined.leakage(), examined.labels()
        shortcut = examined.shortcut(ranking.value, options.bootstrap)
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
    warnings = examined.warnings(options.ratios, len(seen), folds=bool(options.folds))
    made = verdict.verdict(
        control,
        arm,
        modality=inputs.dataset.modality,
        margin=options.margin,
        estimand=_estimand(deciding.setting, options),
        measure=options.measure,
        quick=options.quick,
        warnings=found + warnings,
    )
    report = Report(
        verdict=made.model_copy(update={"worth": comparison.worth(deciding)}),
        compared=[utility.facts(s, comparison.engine.cells, inputs.classes) for s in settings],
        arms=[comparison.arm(g, plan) for g in comparison.groups for plan in g.plans],
        contrasts=comparison.contrasts(deciding),
        curve=comparison.curve(),
        subgroups=parts,
        gaps=gaps,
        shortcut=shortcut,
        fidelity=fidelity,
        copying=copies,
        collapse=collapse,
        labels=meaning,
        leakage=leakage,
        dataset=_dataset_facts(inputs.dataset),
        external=_dataset_facts(inputs.external.dataset) if inputs.external else None,
        synthetic=_synthetic_facts(inputs, examined.subject.cell),
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


def _estimand(setting: cells.Setting, options: EvaluateOptions) -> str:
    drawn = bool(options.rare or options.train_subjects or options.fractions) and setting.name != "100% of the subjects"
    if not setting.regenerated:
        return (
            f"Training classifiers on this one dataset and this one synthetic set, {options.seeds} times, each with "
            "other synthetic images, initial weights and order, and testing them on subjects like these. Another "
            "generator trained on the same subjects could come out differently: --regenerate measures that."
        )
    first = "Drawing training and val subjects, training" if drawn else "Training"
    return (
        f"The whole procedure, {options.seeds} times: {first[0].lower()}{first[1:]} a generator, generating, and "
        "training classifiers, tested on subjects like these."
    )


def _settings(options: EvaluateOptions, inputs: Inputs, synthetic: str) -> dict[str, object]:
    # Names, not the paths that may have been given: those tell of the user's machine.
    told = options.model_dump() | {"dataset": inputs.dataset.path.name, "synthetic": synthetic}
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
        name=given.name if given is not None else "trained here, one generator a repeat; numbers of the first",
        n=len(cell.synthetic),
        images_per_class={c: int((cell.synthetic.labels == i).sum()) for i, c in enumerate(inputs.classes)},
        generator=str(card.get("generator") or ("trained here" if given is None else "unknown")),
        checkpoint_digest=str(cell.generator or card.get("digest") or "unknown"),
        generator_subjects=known,
        foreign=given is not None and given.foreign,
    )


def _track(tracked: tracking.Run, report: Report, comparison: utility.Utility) -> None:
    for arm in report.arms:
        tables = {"val": {"auroc": arm.val} if arm.val else {}, "test": arm.test or {}, "external": arm.external or {}}
        repeats = max((len(e.per_seed) for table in tables.values() for e in table.values()), default=0)
        for repeat in range(repeats):
            name = f"{arm.setting}, {arm.classifier}: {arm.name}, repeat {repeat + 1}"
            tags = {
                "medsyn.setting": arm.setting,
                "medsyn.arm": arm.name,
                "medsyn.classifier": arm.classifier,
                "medsyn.repeat": repeat,
            }
            values = {
                f"{split}_{measure}": e.per_seed[repeat]
                for split, table in tables.items()
                for measure, e in table.items()
                if repeat < len(e.per_seed)
            }
            with tracked.child(name, tags) as child:
                child.metrics([values])
    effect = report.verdict.effect
    tracked.metrics(
        [
            {
                "effect": effect.value,
                "effect_low": effect.low or 0.0,
                "effect_high": effect.high or 0.0,
                "copying_share": report.copying.share.value,
                "copies": report.copying.copies,
                **{f"kid_{_key(r.name)}": r.kid.value for r in report.fidelity.rows if r.scope == "all"},
                **{f"coverage_{_key(r.name)}": r.coverage for r in report.fidelity.rows if r.scope == "all"},
            }
        ]
    )
    tracked.tags({"medsyn.verdict": report.verdict.decision, "medsyn.sentence": report.verdict.sentence})


def _key(name: str) -> str:
    return name.split(" ")[0].lower()
