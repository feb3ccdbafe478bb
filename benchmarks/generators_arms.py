"""What benchmarks/generators.py compares: medsyn's recipes, other people's generators, and closed forms."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from generators_networks import dcgan, ddpm
from generators_sets import Scans, commit

import medsyn
from medsyn import Workspace, compute, generator, tracking
from medsyn.compute import counter_normal, keyed_seed
from medsyn.config import TrainOptions
from medsyn.evaluate.checks.references import class_gaussian, copy_of_train, smote_in_pixels
from medsyn.gan.recipes import RECIPES
from medsyn.generator.first_stage import PCA, Fitting

MIXTURE_COMPONENTS = 256


@dataclass(frozen=True)
class Job:
    """One generator to be made.

    Attributes:
        train: All that it may learn from.
        classes: Names.
        modality: Preset.
        counts: Samples wanted of each class.
        seed: Not negative.
        budget: As `medsyn.config.parse_budget` reads it; closed forms take what they take.
        threads: Of torch.
        folder: Empty, for what it writes.
    """

    train: Scans
    classes: tuple[str, ...]
    modality: str
    counts: list[int]
    seed: int
    budget: str
    threads: int
    folder: Path

    @property
    def labels(self) -> np.ndarray:
        """Of the samples, class by class."""
        return np.repeat(np.arange(len(self.counts)), self.counts)


@dataclass(frozen=True)
class Made:
    """What came of it.

    Attributes:
        images: Class by class, float32 ``[n, 1, side, side]`` in [0, 1].
        train_seconds: Wall clock from training images in memory to a generator that can be asked.
        train_cpu_seconds: The same of all threads.
        sample_seconds: Of all samples.
        parameters: Numbers in the generator; None for the references of `medsyn evaluate`, which keep images.
        notes: What else it says of itself.
    """

    images: np.ndarray
    train_seconds: float
    train_cpu_seconds: float
    sample_seconds: float
    parameters: int | None
    notes: dict[str, Any] = field(default_factory=dict)


Arm = Callable[[Job], Made]


class _Clock:
    """Wall clock and CPU seconds since the last look."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def __call__(self) -> tuple[float, float]:
        wall, cpu = time.perf_counter(), time.process_time()
        told = wall - self._wall, cpu - self._cpu
        self._wall, self._cpu = wall, cpu
        return told


def _recipe(name: str, job: Job) -> Made:
    workspace = Workspace(job.folder / "workspace").create()
    dataset = commit(job.train, job.classes, job.modality, workspace)
    clock = _Clock()
    with tracking.off():
        trained = medsyn.train_gan(
            workspace=workspace.path,
            dataset=str(dataset),
            recipe=name,
            budget=job.budget,
            seed=job.seed,
            threads=job.threads,
            device="cpu",
        )
    wall, cpu = clock()
    made = generator.load(trained.path)
    clock()
    images = made.sample(job.labels, job.seed, np.arange(len(job.labels)))
    parameters = sum(value.numel() for value in made.state().values())
    notes = {"kimg": trained.kimg, "kept_at_kimg": made.config["monitor"]["kept_at_kimg"], "health": trained.health}
    return Made(images, wall, cpu, clock()[0], parameters, notes)


def _network(train: Callable[..., Any], job: Job) -> Made:
    clock = _Clock()
    images, labels = (torch.from_numpy(array) for array in (job.train.images, job.train.labels))
    trained = train(images, labels, job.budget, job.seed)
    wall, cpu = clock()
    sampled = trained.sample(torch.from_numpy(job.labels), job.seed)
    return Made(sampled.numpy(), wall, cpu, clock()[0], trained.parameters, {"kimg": trained.images / 1000})


def _mixture(job: Job) -> Made:
    clock = _Clock()
    stage = PCA.fit(job.train.images, job.train.labels, Fitting(explained=1.0, most=MIXTURE_COMPONENTS))
    wall, cpu = clock()
    condition = torch.nn.functional.one_hot(torch.from_numpy(job.labels), len(job.counts)).float()
    noise = counter_normal(keyed_seed("mixture", job.seed), torch.arange(len(condition)), stage.noise)
    parts = [stage.decode(stage.sample(*pair)) for pair in zip(noise.split(64), condition.split(64), strict=True)]
    images = torch.cat(parts).clamp(0, 1).numpy()
    parameters = sum(value.numel() for value in stage.state_dict().values())
    return Made(images, wall, cpu, clock()[0], parameters)


def _reference(make: Callable[..., tuple[np.ndarray, np.ndarray]], job: Job) -> Made:
    clock = _Clock()
    images, _ = make(job.train.images, job.train.labels, job.counts, job.seed)
    # These fit and sample in one call.
    wall, cpu = clock()
    return Made(images, 0.0, cpu, wall, None)


def make(name: str, job: Job) -> dict[str, Any]:
    """Run one arm, in a process of its own: its images go to ``images.npy`` in the folder, the other facts come back.

    Args:
        name: In `ARMS`.
        job: What to make.
    """
    compute.device("cpu", job.threads)
    made = ARMS[name](job)
    np.save(job.folder / "images.npy", made.images)
    facts = {f.name: getattr(made, f.name) for f in fields(made) if f.name != "images"}
    return facts | {"samples_per_second": len(made.images) / made.sample_seconds, "peak_mib": _peak_mib()}


def _peak_mib() -> int:
    status = Path("/proc/self/status")
    if status.exists():
        # What getrusage tells begins with the parent's memory on Linux.
        return int(status.read_text().split("VmHWM:")[1].split()[0]) // 1024
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit


DEFAULT_RECIPE: str = TrainOptions.model_fields["recipe"].default
GAUSSIAN, DDPM, DCGAN, COPY, SMOTE, MIXTURE = "gaussian", "ddpm", "plain-dcgan", "copy", "smote", "mixture"
ARMS: dict[str, Arm] = {
    **{name: partial(_recipe, name) for name in RECIPES},
    DDPM: partial(_network, ddpm),
    DCGAN: partial(_network, dcgan),
    MIXTURE: _mixture,
    GAUSSIAN: partial(_reference, class_gaussian),
    SMOTE: partial(_reference, smote_in_pixels),
    COPY: partial(_reference, copy_of_train),
}
GENERATING = [name for name in ARMS if name not in (COPY, SMOTE)]
"""Those whose samples show no real image."""

TITLES = {
    DDPM: "DDPM (MONAI), DDIM-50",
    DCGAN: "DCGAN, plain loop",
    MIXTURE: f"class mixture in PCA-{MIXTURE_COMPONENTS}",
    GAUSSIAN: "class Gaussian in PCA-128",
    SMOTE: "SMOTE in pixels",
    COPY: "copy of training images",
}
