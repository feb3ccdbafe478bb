"""The stage `evaluate`: do the synthetic images help, and are they faithful, diverse and no copies?"""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

import medsyn
from medsyn import compute, tracking
from medsyn.config import EvaluateOptions
from medsyn.evaluate import checks, comparison, looks, verdict
from medsyn.evaluate.galleries import Galleries
from medsyn.evaluate.inputs import Images, Inputs, resolve
from medsyn.evaluate.results import DatasetFacts, Report, SyntheticFacts
from medsyn.metrics.features import FeatureExtractor
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
        The evaluation; its folder holds report.json, report.html and predictions.parquet.

    Raises:
        MissingError: Nothing to evaluate.
        DataError: A comparison that could not be honest, such as a generator that learnt from test subjects.
    """
    started = time.monotonic()
    inputs = resolve(options, workspace, progress)
    device = compute.device(options.device, options.threads)
    card, modality = inputs.synthetic_set.card, inputs.dataset.modality
    name = str(inputs.dataset.meta["name"])
    synthetic = inputs.synthetic_set.path.name
    # Names, not the paths that may have been given: those tell of the user's machine.
    settings = options.model_dump() | {"dataset": inputs.dataset.path.name, "synthetic": synthetic}
    tags = {"medsyn.parent_run": card.get("mlflow_run"), "medsyn.dataset_digest": inputs.dataset.digest}
    with (
        tracking.start(workspace, "evaluate", modality, tags) as tracked,
        workspace.build(EVALUATION, name) as build,
    ):
        tracked.params(settings)
        seen = looks.record(workspace, looks.split_digest(inputs.dataset), synthetic, _next_name(workspace, name))
        progress.say("Computing features")
        bank = comparison.FeatureBank(FeatureExtractor(device), inputs)
        total = len(options.classifiers) * len(comparison.plans(inputs, options)) * options.seeds
        with progress.task("Training classifiers", total) as task:
            outcomes = comparison.run(inputs, options, bank, device, task.update)
        progress.say("Testing for fidelity, collapse and copies")
        fidelity = checks.fidelity(inputs, bank, options.seed)
        collapse = checks.collapse(inputs, bank, options.seed)
        copies, closest = checks.copies(inputs, bank, options.seed)
        scored = comparison.score_all(
            outcomes, inputs.splits["val"], inputs.splits["test"], options.bootstrap, options.seed
        )
        found = [copies.sentence] * (copies.found or not copies.tested) + [collapse.sentence] * collapse.found
        report = Report(
            verdict=verdict.verdict(
                scored, options.primary, modality, found + checks.warnings(inputs, options, len(seen))
            ),
            arms=_arms(scored, options.classifiers),
            contrasts=verdict.contrasts(scored, options.classifiers, options.primary),
            fidelity=fidelity,
            copying=copies,
            collapse=collapse,
            dataset=_dataset_facts(inputs),
            synthetic=_synthetic_facts(inputs),
            looks_at_test=seen,
            settings=settings | {"device": str(device)},
            software={
                "medsyn": medsyn.__version__,
                "python": platform.python_version(),
                **{name: version(name) for name in ("torch", "scikit-learn", "numpy")},
            },
            seconds=round(time.monotonic() - started, 1),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            modality=modality,
        )
        _write_predictions(outcomes, inputs, options, build)
        _track(tracked, report, scored, options)
        path = _commit(build, report, checks.galleries(inputs, closest))
        # Not the HTML file: it shows real patients, and a tracking server is a shared place.
        tracked.artifact(path / EVALUATION.main_file)
        return EvaluateResult(path, report, path / "report.html", modality, tracked.id)


def _commit(build: Build, report: Report, pictures: Galleries) -> Path:
    from medsyn.evaluate.report import write

    write(report, pictures, build.path)
    return build.commit(report.model_dump(mode="json"))


def _next_name(workspace: Workspace, name: str) -> str:
    numbers = [int(p.name.rsplit("-", 1)[1]) for p in workspace.all(EVALUATION)]
    return f"{name}-{max(numbers, default=0) + 1:03d}"


def _arms(scored: Sequence[comparison.Scored], classifiers: Sequence[str]) -> list[comparison.Arm]:
    chosen = {id(verdict.choose(scored, c, kind)) for c in classifiers for kind in ("control", "synthetic")}
    return [s.arm(chosen=id(s) in chosen) for s in scored]


def _dataset_facts(inputs: Inputs) -> DatasetFacts:
    dataset, fingerprint = inputs.dataset, inputs.dataset.meta["fingerprint"]
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


def _synthetic_facts(inputs: Inputs) -> SyntheticFacts:
    card, learnt = inputs.synthetic_set.card, inputs.generator_subjects
    return SyntheticFacts(
        name=inputs.synthetic_set.path.name,
        n=len(inputs.synthetic),
        images_per_class={c: int((inputs.synthetic.labels == i).sum()) for i, c in enumerate(inputs.dataset.classes)},
        generator=str(card.get("generator") or "unknown"),
        checkpoint_digest=str(card.get("checkpoint_digest") or "unknown"),
        generator_subjects=(
            "no record found"
            if learnt is None
            else f"{len(learnt)} recorded subjects, none of them in val or test of {inputs.dataset.path.name}"
        ),
    )


def _write_predictions(
    outcomes: Sequence[comparison.Outcome], inputs: Inputs, options: EvaluateOptions, build: Build
) -> None:
    tables = []
    for outcome in outcomes:
        for split, probabilities in outcome.probabilities.items():
            images: Images = inputs.splits[split]
            for repeat, p in enumerate(probabilities):
                columns = {f"probability_{c}": p[:, i] for i, c in enumerate(inputs.dataset.classes)}
                tables.append(
                    pd.DataFrame(
                        {
                            "classifier": outcome.classifier,
                            "arm": outcome.plan.name,
                            "seed": options.seed * 1000 + repeat,
                            "split": split,
                            "image": images.rows,
                            "label": np.array(inputs.dataset.classes)[images.labels],
                            **columns,
                        }
                    )
                )
    pd.concat(tables, ignore_index=True).to_parquet(build.path / "predictions.parquet", index=False)


def _track(
    tracked: tracking.Run, report: Report, scored: Sequence[comparison.Scored], options: EvaluateOptions
) -> None:
    for s in scored:
        for repeat in range(options.seeds):
            seed = options.seed * 1000 + repeat
            name = f"{s.outcome.classifier}: {s.outcome.plan.name}, seed {seed}"
            tags = {"medsyn.arm": s.outcome.plan.name, "medsyn.classifier": s.outcome.classifier, "medsyn.seed": seed}
            values = {
                f"{split}_{measure}": float(v[repeat])
                for split, part in (("val", s.val), ("test", s.test))
                for measure, v in part.per_seed.items()
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
    return name.split(" ")[0]
