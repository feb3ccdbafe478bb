"""Train classifiers: every job once, side by side, remembered by digest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from medsyn import compute
from medsyn.cache import VERSION, Cache, digest
from medsyn.config import Augmentation, EvaluateOptions, Preset
from medsyn.evaluate import classifiers
from medsyn.evaluate.comparison import arms
from medsyn.evaluate.comparison.bank import Bank
from medsyn.evaluate.comparison.cells import Cell
from medsyn.evaluate.inputs.images import Images
from medsyn.plugin import fingerprint

Where = tuple[str, int, int]
"""Setting, repeat, fold."""

SEALED = "sealed"
"""Predictions on test lie in files of their own, which are opened for chosen arms alone."""


@dataclass(frozen=True)
class Job:
    """One training."""

    setting: str
    classifier: str
    plan: arms.Plan
    repeat: int
    fold: int = 0

    @property
    def where(self) -> Where:
        return self.setting, self.repeat, self.fold


@dataclass(frozen=True)
class Order:
    """A job as a worker process gets it: arrays by file, everything else by value."""

    classifier: str
    arrays: dict[str, str]  # real, more, synthetic, val, test, external -> .npy; labels beside as -labels.npy
    pool: arms.Pool
    balance: str
    augmentation: Augmentation | None
    classes: int
    steps: int
    batch: int
    seed: int
    device: str


@dataclass
class Engine:
    """Trains jobs and hands out their predictions; a context, which holds the worker processes.

    Attributes:
        options: Steps, batch, seed.
        preset: Of the modality.
        cells: Gives the images of a place; may train a generator when it is asked first.
        external: Test images from elsewhere, or None.
        bank: Features, for `probe`.
        cache: Where predictions outlive the evaluation.
        device: Where to train.
        folder: For arrays that workers read.
        cluster: Where to train instead of in processes here, or None.
        trained: Jobs that were not in the cache.
    """

    options: EvaluateOptions
    preset: Preset
    cells: Callable[[Where], Cell]
    external: Images | None
    bank: Bank
    cache: Cache
    device: torch.device
    folder: Path
    cluster: Executor | None = None
    trained: int = 0
    _keys: dict[Job, str] = field(default_factory=dict)
    _open: ExitStack = field(default_factory=ExitStack)
    _pool: Executor | None = None
    _digests: dict[Where, dict[str, str]] = field(default_factory=dict)

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *error: Any) -> None:
        self._open.__exit__(*error)
        self._pool = None

    def fit(self, jobs: Sequence[Job], told: Callable[[int, str], None]) -> None:
        """Train what the cache does not hold.

        Args:
            jobs: What is wanted.
            told: Called with the number of jobs done and the name of an arm.
        """
        missing = [job for job in dict.fromkeys(jobs) if not self.cache.has("predictions", self.key(job))]
        done = len(jobs) - len(missing)
        told(done, "")
        for job in (j for j in missing if j.classifier == "probe"):
            self._keep(job, self._probe(job))
            done += 1
            told(done, f"{job.classifier}: {job.plan.name}")
        rest = [j for j in missing if j.classifier != "probe"]
        for place, found in self._side_by_side([self._order(j) for j in rest]):
            job = rest[place]
            self._keep(job, found)
            done += 1
            told(done, f"{job.classifier}: {job.plan.name}")
        self.trained += len(missing)

    def val(self, job: Job) -> np.ndarray:
        """Probabilities on val ``[n, K]``."""
        return self._read("predictions", job)["val"]

    def test(self, job: Job) -> dict[str, np.ndarray]:
        """Probabilities on ``test``, and on ``external`` where there is one: this is what counts as a look."""
        return self._read(SEALED, job)

    def counts(self, job: Job) -> tuple[np.ndarray, np.ndarray]:
        """Distinct training images of every class ``[K]``: real ones, and all."""
        cell = self.cells(job.where)
        pool = arms.compose(job.plan, cell, self.seed(job))
        labels = [
            images.labels[np.unique(rows)]
            for images, rows in ((cell.real, pool.real), (cell.more, pool.more), (cell.synthetic, pool.synthetic))
        ]
        real, more, synthetic = (np.bincount(found, minlength=cell.classes) for found in labels)
        return real + more, real + more + synthetic

    def seed(self, job: Job) -> int:
        """Of the training; folds of one repeat differ too."""
        return self.options.seed * 1000 + job.repeat + 100 * job.fold

    def key(self, job: Job) -> str:
        """Digest of everything that a job's predictions depend on."""
        if job not in self._keys:
            parts = self._parts(job.where)
            used = ["real", "val", "test", *(["external"] if self.external is not None else [])]
            pool = arms.compose(job.plan, self.cells(job.where), self.seed(job))
            used += [name for name in ("more", "synthetic") if len(getattr(pool, name))]
            self._keys[job] = digest(
                VERSION,
                fingerprint(job.classifier, "--classifier"),
                [job.plan.classical, job.plan.balance, self.seed(job), self.device.type, torch.__version__],
                [self.options.steps, self.options.batch] if job.classifier != "probe" else self.bank.name,
                self.preset.augmentation.model_dump() if job.plan.classical else None,
                {name: parts[name] for name in used},
                pool.real, pool.more, pool.synthetic,
            )  # fmt: skip
        return self._keys[job]

    # ---- inside

    def _keep(self, job: Job, found: dict[str, np.ndarray]) -> None:
        # The sealed part first: a job counts as done when the open part is there.
        self.cache.put(SEALED, self.key(job), {k: v for k, v in found.items() if k != "val"})
        self.cache.put("predictions", self.key(job), {"val": found["val"]})

    def _read(self, kind: str, job: Job) -> dict[str, np.ndarray]:
        found = self.cache.get(kind, self.key(job))
        if found is None:  # damaged on disk
            self._keep(job, _work(self._order(job)) if job.classifier != "probe" else self._probe(job))
            found = self.cache.get(kind, self.key(job))
        assert found is not None
        return found

    def _images(self, where: Where) -> dict[str, Images]:
        cell = self.cells(where)
        found = {name: getattr(cell, name) for name in ("real", "more", "synthetic", "val", "test")}
        return found | ({"external": self.external} if self.external is not None else {})

    def _parts(self, where: Where) -> dict[str, str]:
        if where not in self._digests:
            self._digests[where] = {n: digest(i.pixels, i.labels) for n, i in self._images(where).items()}
        return self._digests[where]

    def _order(self, job: Job) -> Order:
        arrays = {}
        for name, images in self._images(job.where).items():
            # By content: repeats and settings share what is equal.
            file = self.folder / f"{self._parts(job.where)[name][:32]}.npy"
            arrays[name] = str(file)
            if not file.exists():
                np.save(file, images.pixels)
                np.save(_labels(str(file)), images.labels)
        return Order(
            classifier=job.classifier,
            arrays=arrays,
            pool=arms.compose(job.plan, self.cells(job.where), self.seed(job)),
            balance=job.plan.balance,
            augmentation=self.preset.augmentation if job.plan.classical else None,
            classes=self.cells(job.where).classes,
            steps=self.options.steps,
            batch=self.options.batch,
            seed=self.seed(job),
            device=str(self.device),
        )

    def _side_by_side(self, orders: list[Order]) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        """Results with their places; on CPU one process a core with one thread each, which small networks use best."""
        workers = torch.get_num_threads()
        if self.cluster is None and (self.device.type != "cpu" or min(workers, len(orders)) < 2):
            yield from enumerate(map(_work, orders))
            return
        if self._pool is None:  # kept: a worker takes seconds to start
            self._pool = self._open.enter_context(compute.executor(workers, self.cluster))
        yield from compute.map_as_done(self._pool, _work, orders)

    def _probe(self, job: Job) -> dict[str, np.ndarray]:
        images = self._images(job.where)
        pool = arms.compose(job.plan, self.cells(job.where), self.seed(job))
        rows = {"real": pool.real, "more": pool.more, "synthetic": pool.synthetic}
        rows = {name: r for name, r in rows.items() if len(r)}
        plain = np.concatenate([self.bank.of(images[name].pixels)[r] for name, r in rows.items()])
        features = {"train": plain} | {n: self.bank.of(i.pixels) for n, i in images.items() if n not in _POOLS}
        return classifiers.get("probe").fit_predict(
            classifiers.Task(
                images=np.concatenate([images[name].pixels[r] for name, r in rows.items()]),
                labels=np.concatenate([images[name].labels[r] for name, r in rows.items()]),
                classes=self.cells(job.where).classes,
                val_images=images["val"].pixels,
                val_labels=images["val"].labels,
                predict={n: i.pixels for n, i in images.items() if n not in (*_POOLS, "val")},
                seed=self.seed(job),
                device=self.device,
                augmentation=self.preset.augmentation if job.plan.classical else None,
                balance=job.plan.balance,
                features=features,
                extract=self.bank.each,
            )
        )


_POOLS = ("real", "more", "synthetic")


def _labels(file: str) -> str:
    return f"{file.removesuffix('.npy')}-labels.npy"


def _work(order: Order) -> dict[str, np.ndarray]:
    """One training, in any process; on a CPU with one thread, since more may change the last bits."""
    with compute.single_threaded() if order.device == "cpu" else nullcontext():
        return _trained(order)


def _trained(order: Order) -> dict[str, np.ndarray]:
    pixels = {name: np.load(file, mmap_mode="r") for name, file in order.arrays.items()}
    labels = {name: np.load(_labels(file)) for name, file in order.arrays.items()}
    rows = {name: getattr(order.pool, name) for name in _POOLS}
    return classifiers.get(order.classifier).fit_predict(
        classifiers.Task(
            images=np.concatenate([pixels[name][r] for name, r in rows.items() if len(r)]),
            labels=np.concatenate([labels[name][r] for name, r in rows.items() if len(r)]),
            classes=order.classes,
            # Copies: torch warns of arrays that it must not write to.
            val_images=np.array(pixels["val"]),
            val_labels=labels["val"],
            predict={n: np.array(p) for n, p in pixels.items() if n not in (*_POOLS, "val")},
            steps=order.steps,
            batch=order.batch,
            seed=order.seed,
            device=order.device,
            augmentation=order.augmentation,
            balance=order.balance,  # type: ignore[arg-type]
        )
    )
