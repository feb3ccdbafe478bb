"""Train every arm with every seed, and score it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from threading import Event
from typing import TypeVar

import numpy as np
import torch

from medsyn.config import EvaluateOptions
from medsyn.evaluate import arms, scores, statistics
from medsyn.evaluate.classifiers import cnn, probe
from medsyn.evaluate.classifiers.augmentation import augment
from medsyn.evaluate.inputs import Images, Inputs, join, take
from medsyn.evaluate.results import MEASURES, Arm, Estimate
from medsyn.metrics.features import FeatureExtractor

A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True)
class Outcome:
    """One arm with one classifier, all seeds.

    Attributes:
        plan: The arm.
        classifier: ``cnn`` or ``probe``.
        training_images: Distinct images per class.
        probabilities: split -> ``[S, n, K]``, of val and test.
    """

    plan: arms.Plan
    classifier: str
    training_images: dict[str, int]
    probabilities: dict[str, np.ndarray]


@dataclass
class FeatureBank:
    """Features, computed once each, of the images as they are and of one augmented copy per seed.

    Attributes:
        extractor: The frozen network.
        inputs: The images.
        plain: Set name -> features ``[n, d]``; sets are the splits, ``real`` (train and tune) and ``synthetic``.
    """

    extractor: FeatureExtractor
    inputs: Inputs
    plain: dict[str, np.ndarray] = field(default_factory=dict)
    _augmented: dict[tuple[str, int], np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("train", "tune", "val", "test"):
            self.plain[name] = self.extractor(self.inputs.splits[name].pixels)
        self.plain["real"] = np.concatenate([self.plain["train"], self.plain["tune"]])
        self.plain["synthetic"] = self.extractor(self.inputs.synthetic.pixels)

    def of_origin(self, split: str) -> np.ndarray:
        """Features of one split of the dataset that the generator learnt from, which must be at hand."""
        if self.inputs.origin is self.inputs.splits:
            return self.plain[split]
        assert self.inputs.origin is not None
        return self.extractor(self.inputs.origin[split].pixels)

    def augmented(self, name: str, rows: np.ndarray, seed: int) -> np.ndarray:
        """Features of the augmented copies of some rows of ``real`` or ``synthetic``."""
        images = self.inputs.synthetic if name == "synthetic" else self.inputs.real_train
        known = self._augmented.setdefault((name, seed), np.full((len(images), self.extractor.dimension), np.nan, "f4"))
        new = rows[np.isnan(known[rows, 0])]
        for row in np.array_split(new, max(1, len(new) // 256)) if len(new) else []:
            pixels = torch.from_numpy(images.pixels[row])
            changed = augment(pixels, self.inputs.preset.augmentation, seed, name, int(row[0]))
            known[row] = self.extractor(changed.numpy())
        return known[rows]


def plans(inputs: Inputs, options: EvaluateOptions) -> list[arms.Plan]:
    """The arms of this evaluation: nothing can be learnt from synthetic images alone where a class is absent."""
    return [plan for plan in arms.plans(options.ratios) if plan.real or not inputs.absent]


def run(
    inputs: Inputs,
    options: EvaluateOptions,
    bank: FeatureBank,
    device: torch.device,
    told: Callable[[int, str], None],
) -> list[Outcome]:
    """All classifiers, arms and seeds.

    Args:
        inputs: The images.
        options: Ratios, classifiers, seeds, steps.
        bank: Features for `probe`.
        device: Where to train.
        told: Called with the number of trained classifiers and the name of an arm.
    """
    real = inputs.real_train
    jobs = [
        (classifier, plan, options.seed * 1000 + repeat)
        for classifier in options.classifiers
        for plan in plans(inputs, options)
        for repeat in range(options.seeds)
    ]

    def train(job: tuple[str, arms.Plan, int], stop: Event) -> tuple[dict[str, int], dict[str, np.ndarray]]:
        classifier, plan, seed = job
        extra = arms.synthetic_rows(plan, len(inputs.synthetic), len(real), seed)
        pool = take(inputs.synthetic, extra)
        if plan.real:
            pool = join(real, pool)
        counts = {c: int((pool.labels == i).sum()) for i, c in enumerate(inputs.dataset.classes)}
        if classifier == "cnn":
            return counts, _cnn(inputs, options, plan, pool, seed, device, stop)
        return counts, _probe(inputs, bank, plan, extra, seed)

    # `probe` shares the feature bank, so it goes one by one; trainings of `cnn` share nothing.
    alone = [job for job in jobs if job[0] == "probe"]
    together = [job for job in jobs if job[0] != "probe"]
    found: dict[tuple[str, arms.Plan, int], tuple[dict[str, int], dict[str, np.ndarray]]] = {}
    for job in alone:
        told(len(found), f"{job[0]}: {job[1].name}")
        found[job] = train(job, Event())
    with closing(_side_by_side(train, together, device)) as results:
        for job, result in zip(together, results, strict=True):
            found[job] = result
            told(len(found), f"{job[0]}: {job[1].name}")
    outcomes = []
    for classifier, plan in dict.fromkeys(job[:2] for job in jobs):
        mine = [found[job] for job in jobs if job[:2] == (classifier, plan)]
        stacked = {split: np.stack([p[split] for _, p in mine]) for split in ("val", "test")}
        outcomes.append(Outcome(plan, classifier, mine[-1][0], stacked))
    return outcomes


def _side_by_side(
    function: Callable[[A, Event], B], items: Sequence[A], device: torch.device
) -> Generator[B, None, None]:
    """Results in order; on CPU, as many items at once as there are threads, each on one.

    Small networks gain little from two threads on one step, and one thread each gives the same bits on any number
    of cores. Where one fails or the caller leaves, the event tells those under way to end.
    """
    stop = Event()
    if device.type != "cpu":
        yield from (function(item, stop) for item in items)
        return
    threads = torch.get_num_threads()
    # The number of threads is a property of the calling thread.
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        futures = [pool.submit(function, item, stop) for item in items]
        try:
            for future in futures:
                yield future.result()
        finally:
            stop.set()
            for future in futures:
                future.cancel()
    torch.set_num_threads(threads)


def _cnn(
    inputs: Inputs,
    options: EvaluateOptions,
    plan: arms.Plan,
    pool: Images,
    seed: int,
    device: torch.device,
    stop: Event,
) -> dict[str, np.ndarray]:
    network = cnn.train(
        pool.pixels,
        pool.labels,
        len(inputs.dataset.classes),
        steps=options.steps,
        batch=options.batch,
        seed=seed,
        device=device,
        balanced=plan.balanced,
        augmentation=inputs.preset.augmentation if plan.classical else None,
        stop=stop,
    )
    return {split: cnn.predict(network, inputs.splits[split].pixels, device) for split in ("val", "test")}


def _probe(inputs: Inputs, bank: FeatureBank, plan: arms.Plan, extra: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    sources = [("synthetic", extra, inputs.synthetic.labels[extra])] if len(extra) else []
    if plan.real:
        labels = inputs.real_train.labels
        sources.insert(0, ("real", np.arange(len(labels)), labels))
    features = [bank.plain[name][rows] for name, rows, _ in sources]
    labels_of = [labels for _, _, labels in sources]
    if plan.classical:
        features += [bank.augmented(name, rows, seed) for name, rows, _ in sources]
        labels_of += labels_of
    model = probe.train(
        np.concatenate(features),
        np.concatenate(labels_of),
        bank.plain["val"],
        inputs.splits["val"].labels,
        len(inputs.dataset.classes),
        balanced=plan.balanced,
    )
    return {split: model.predict(bank.plain[split]) for split in ("val", "test")}


@dataclass(frozen=True)
class Scores:
    """Measures of one outcome on one split: ``[S]`` on the whole split and ``[S, B]`` in its bootstrap draws; ``units``
    counts the subjects of the smallest class."""

    per_seed: dict[str, np.ndarray]
    per_draw: dict[str, np.ndarray]
    units: int

    def estimates(self) -> dict[str, Estimate]:
        return {m: bounded(statistics.estimate(self.per_seed[m], self.per_draw[m], self.units)) for m in self.per_seed}

    def minus(self, other: Scores, measure: str) -> Estimate:
        """Paired difference, seed by seed and draw by draw."""
        return statistics.estimate(
            self.per_seed[measure] - other.per_seed[measure],
            self.per_draw[measure] - other.per_draw[measure],
            self.units,
        )


def bounded(estimate: Estimate) -> Estimate:
    """The interval of a measure that lies in [0, 1]."""
    low, high = (None if v is None else min(1.0, max(0.0, v)) for v in (estimate.low, estimate.high))
    return estimate.model_copy(update={"low": low, "high": high})


def score(
    probabilities: np.ndarray, offsets: Sequence[np.ndarray | None], images: Images, weights: np.ndarray
) -> Scores:
    """Score ``[S, n, K]`` probabilities with one decision rule a seed.

    Args:
        probabilities: Of the split.
        offsets: Of each seed, for `scores.decide`.
        images: The split.
        weights: Bootstrap weights ``[B, n]``.
    """
    both = np.vstack([np.ones((1, len(images))), weights])
    table: dict[str, list[np.ndarray]] = {m: [] for m in MEASURES}
    for p, offset in zip(probabilities, offsets, strict=True):
        decisions = scores.decide(p, offset)
        table["auroc"].append(scores.auroc(p, images.labels, both))
        table["balanced_accuracy"].append(scores.balanced_accuracy(decisions, images.labels, both))
        table["accuracy"].append(scores.accuracy(decisions, images.labels, both))
    stacked = {m: np.stack(v) for m, v in table.items()}
    return Scores(
        {m: v[:, 0] for m, v in stacked.items()},
        {m: v[:, 1:] for m, v in stacked.items()},
        statistics.fewest_units(images.units, images.labels),
    )


@dataclass(frozen=True)
class Scored:
    """An outcome with its scores: thresholds come from val everywhere but in ``at_half``."""

    outcome: Outcome
    val: Scores
    test: Scores
    at_half: Scores

    def arm(self, chosen: bool) -> Arm:
        plan = self.outcome.plan
        at_half = self.at_half.estimates()
        return Arm(
            classifier=self.outcome.classifier,
            name=plan.name,
            kind=plan.kind,
            ratio=plan.ratio,
            chosen=chosen,
            training_images=self.outcome.training_images,
            val=self.val.estimates(),
            test=self.test.estimates(),
            test_at_half={m: at_half[m] for m in ("balanced_accuracy", "accuracy")},
        )


def score_all(outcomes: Sequence[Outcome], val: Images, test: Images, draws: int, seed: int) -> list[Scored]:
    """Choose each arm's thresholds on val and score it on val and test; all arms share the bootstrap draws."""
    weights = {
        name: statistics.bootstrap_weights(images.units, images.labels, draws, seed)
        for name, images in (("val", val), ("test", test))
    }
    scored = []
    for outcome in outcomes:
        p = outcome.probabilities
        offsets = [scores.choose_offsets(q, val.labels) for q in p["val"]]
        half = [None] * len(offsets)
        scored.append(
            Scored(
                outcome,
                score(p["val"], offsets, val, weights["val"]),
                score(p["test"], offsets, test, weights["test"]),
                score(p["test"], half, test, weights["test"]),
            )
        )
    return scored
