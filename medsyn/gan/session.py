"""One training from plan to last check: the loop around `Trainer.step`, its checks and its snapshots."""

from __future__ import annotations

import copy
import dataclasses
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import torch

from medsyn.compute import keyed_seed, torch_rng
from medsyn.config import TrainOptions, load_preset, parse_budget
from medsyn.gan import health
from medsyn.gan.material import Material
from medsyn.gan.monitor import Check, Monitor
from medsyn.gan.plan import EXPLAINED, Plan, most_coefficients, steps_and_checks
from medsyn.gan.trainer import StepLosses, Trainer
from medsyn.gan.unfinished import Unfinished
from medsyn.generator import Generator, first_stage, networks
from medsyn.generator.first_stage import FirstStage
from medsyn.generator.grid import save_grid
from medsyn.generator.networks import LatentGenerator
from medsyn.progress import Progress
from medsyn.tracking import Run

OVERTIME = 1.2
"""How far a budget of time may be overrun before the training ends early."""
SNAPSHOT_SECONDS = 30.0
SAMPLING_BATCH = 64
WARM_UP, MEASURED = 5, 25
ALIGNMENT_PAYS = 48
"""Side below which alignment is not tried: at 28 pixels its interpolation cost more (KID 0.58 against 0.41) than it
gave, at 64 it gave far more (1.7 against 4.1)."""


class Session:
    """A training under way.

    Attributes:
        plan: Frozen.
        trainer: The state that moves.
        rows: What metrics.jsonl will hold.
        health: Sentences about what went wrong.
        best_check: Of the snapshot kept so far; None where tune is too small.
        best_images: Images shown when it was taken.
    """

    def __init__(
        self,
        plan: Plan,
        material: Material,
        stage: FirstStage,
        codes: torch.Tensor,
        network: LatentGenerator,
        device: torch.device,
        started: float,
    ) -> None:
        self.plan, self.material, self.device = plan, material, device
        self._started, self._earlier_seconds = started, 0.0
        self._stage = stage.to(device)
        self.trainer = Trainer(plan, self._stage, network, codes.to(device), torch.tensor(material.train_labels))
        self.rows: list[dict[str, float]] = []
        self.health: list[str] = []
        self.best_check: Check | None = None
        self.best_images = 0
        self._best = _weights(self.trainer.average)
        self._start_check: Check | None = None
        self._monitor: Monitor | None = None
        self._logged = 0

    @classmethod
    def begin(
        cls,
        options: TrainOptions,
        material: Material,
        device: torch.device,
        started: float,
        progress: Progress,
    ) -> Session:
        """Fit the first stages, take the one that comes nearer to tune, measure the speed, freeze the plan."""
        unit, amount = parse_budget(options.budget)
        few_seconds = unit == "seconds" and amount < 60
        monitor = _monitor(material, 128 if few_seconds else 256, device)
        most = most_coefficients(len(material.train))
        # Off by default: on latent codes it made KID worse in every trial (docs/decisions.md).
        policy = tuple(load_preset(material.dataset.modality).diffaugment) if options.diffaugment == "preset" else ()
        tried: dict[str, Session] = {}
        for kind in _candidates(material, monitor):
            progress.say(f"fitting first stage {kind}")
            stage, codes = first_stage.fit(kind, material.train_images, explained=EXPLAINED, most=most)
            plan = Plan(
                recipe=options.recipe,
                budget=options.budget,
                seed=options.seed,
                batch=options.batch,
                steps=10**6,
                checks=1,
                first_stage=kind,
                coefficients=stage.coefficients,
                generator_width=256,
                discriminator_width=256,
                depth=3,
                embedding=16,
                learning_rate=5e-4,
                gamma=1.0,
                final=0.1,
                beta2=0.99,
                ema_kimg=10.0,
                diffaugment=policy,
                monitor_images=128 if few_seconds else 256,
                device=str(device),
                threads=torch.get_num_threads(),
            )
            network = _network(plan, len(material.dataset.classes))
            network.set_gaussian(codes.numpy(), material.train_labels)
            session = tried[kind] = cls(plan, material, stage, codes, network, device, started)
            session._monitor = monitor
            session._look(progress)
        kind = min(tried, key=lambda k: tried[k].best_check.kid if tried[k].best_check else 0.0)
        session = tried[kind]
        step_seconds = session._measure_step() if unit == "seconds" else 0.0
        steps, checks = steps_and_checks(
            options.budget, options.batch, perf_counter() - started, step_seconds, session._look_seconds
        )
        session.plan = session.trainer.plan = dataclasses.replace(session.plan, steps=steps, checks=checks)
        return session

    @classmethod
    def restore(
        cls,
        state: dict[str, Any],
        tensors: dict[str, torch.Tensor],
        material: Material,
        device: torch.device,
        started: float,
    ) -> Session:
        """Continue from a snapshot."""
        plan = Plan.from_json(state["plan"])
        stage = first_stage.build(state["first_stage"], material.dataset.image_shape)
        stage.load_state_dict(_part(tensors, "first_stage"))
        network = _network(plan, len(material.dataset.classes))
        session = cls(plan, material, stage, tensors["codes"], network, device, started)
        session._monitor = _monitor(material, plan.monitor_images, device)
        session.trainer.load_state(_part(tensors, "trainer"), state["images"])
        session._best = _part(tensors, "best")
        session.rows, session.health, session.best_images = state["rows"], state["health"], state["best_images"]
        session.best_check = Check(**state["best_check"]) if state["best_check"] else None
        session._start_check = Check(**state["start_check"]) if state["start_check"] else None
        session._earlier_seconds = state["seconds"]
        return session

    # ---- the loop

    def train(self, folder: Unfinished, progress: Progress, mlflow: Run) -> None:
        """Step to the end of the plan.

        Raises:
            KeyboardInterrupt: SIGINT or SIGTERM came, or ``progress`` raised it; a snapshot has been written.
        """
        plan, trainer = self.plan, self.trainer
        check_steps = plan.check_steps()
        every = max(1, plan.steps // 100)
        self._snapshot(folder, mlflow)
        saved = perf_counter()
        with _signals() as interrupted, progress.task("training", plan.kimg) as task:
            while trainer.images < plan.images and not self.health:
                losses = trainer.step()
                step = trainer.images // plan.batch
                problem = health.diverged(losses)
                if problem:
                    self._stop(problem, progress)
                    break
                if step % every == 0:
                    self.rows.append({"images": trainer.images} | losses._asdict())
                if step in check_steps:
                    self._look(progress)
                    save_grid(self._averaged(), folder.path / "samples" / f"{trainer.images:09d}.png")
                    self._log(mlflow)
                try:
                    task.update(trainer.images / 1000, self._note(losses))
                    if interrupted:
                        raise KeyboardInterrupt
                except KeyboardInterrupt:
                    self._snapshot(folder, mlflow)
                    raise
                if self._overdue():
                    progress.say(
                        f"stopped at {trainer.images / 1000:g} of {plan.kimg:g} kimg: the machine has become slower "
                        "than it was when the plan was made, and the budget is used up"
                    )
                    self._look(progress)
                    break
                if perf_counter() - saved > SNAPSHOT_SECONDS:
                    self._snapshot(folder, mlflow)
                    saved = perf_counter()
        self._log(mlflow)

    def _overdue(self) -> bool:
        unit, amount = parse_budget(self.plan.budget)
        return unit == "seconds" and self.seconds() > OVERTIME * amount

    def _look(self, progress: Progress) -> None:
        """Compare the averaged generator with tune, keep it if it is the best so far, and watch for collapse."""
        begun = perf_counter()
        generator = self._averaged()
        if self._monitor is not None:
            check = self._monitor.check(generator)
            self._start_check = self._start_check or check
            if self.best_check is None or check.score(self._start_check) < self.best_check.score(self._start_check):
                self.best_check, self.best_images = check, self.trainer.images
                self._best = _weights(self.trainer.average)
            self.rows.append({"images": self.trainer.images} | check.to_json())
        else:
            self.best_images, self._best = self.trainer.images, _weights(self.trainer.average)
        problem = self._collapse()
        if problem:
            self._stop(problem, progress)
        self._look_seconds = perf_counter() - begun

    def _collapse(self) -> str | None:
        classes = self.material.dataset.classes
        labels = torch.arange(len(classes)).repeat_interleave(32)
        noise = torch.randn(len(labels), self.plan.coefficients, generator=torch_rng("collapse"))
        with torch.inference_mode():
            fake = self.trainer.average(noise.to(self.device), labels.to(self.device)).cpu().numpy()
        real = self.trainer.coefficients.cpu().numpy()
        return health.collapsed(real, self.material.train_labels, fake, labels.numpy(), classes)

    def _stop(self, problem: str, progress: Progress) -> None:
        """Name the problem and end the training: the best snapshot so far is what remains."""
        at, kept = self.trainer.images / 1000, self.best_images / 1000
        self.health.append(f"{problem} at {at:g} kimg; stopped, and kept the snapshot of {kept:g} kimg")
        progress.say(self.health[-1])

    def _note(self, losses: StepLosses) -> str:
        seen = f", KID {self.best_check.kid:.2f}" if self.best_check else ""
        return f"G {losses.generator:.2f}, D {losses.discriminator:.2f}, margin {losses.margin:+.2f}{seen}"

    def _measure_step(self) -> float:
        """Seconds of one step, measured on a copy so that nothing moves."""
        probe = copy.deepcopy(self.trainer)
        for _ in range(WARM_UP):
            probe.step()
        begun = perf_counter()
        for _ in range(MEASURED):
            probe.step()
        return (perf_counter() - begun) / MEASURED

    # ---- results and snapshots

    def chosen(self) -> Generator:
        """The generator that is kept: the best on tune, or the last where tune is too small."""
        return self._generator(self._best)

    def seconds(self) -> float:
        """Wall clock, earlier parts of a resumed training included."""
        return self._earlier_seconds + perf_counter() - self._started

    def _averaged(self) -> Generator:
        return self._generator(_weights(self.trainer.average))

    def _generator(self, weights: dict[str, torch.Tensor]) -> Generator:
        dataset = self.material.dataset
        config = {
            "classes": dataset.classes,
            "image_shape": list(dataset.image_shape),
            "condition_schema": dataset.meta.get("condition_schema"),
            "network": _sizes(self.plan, len(dataset.classes)),
            "first_stage": first_stage.sizes(self._stage),
            "batch": SAMPLING_BATCH,
        }
        generator = Generator(config, self.device)
        generator.first_stage.load_state_dict(self._stage.state_dict())
        generator.network.load_state_dict(weights)
        return generator

    def state(self, mlflow: Run) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """All that continues this training but the images it learns from: facts for JSON, and tensors."""
        parts = {"trainer": self.trainer.state(), "best": self._best, "first_stage": _weights(self._stage)}
        check = {"best_check": self.best_check, "start_check": self._start_check}
        state = {
            "modality": self.material.dataset.modality,
            "name": str(self.material.dataset.meta["name"]),
            "dataset_digest": self.material.dataset.digest,
            "plan": self.plan.to_json(),
            "first_stage": first_stage.sizes(self._stage),
            "images": self.trainer.images,
            "rows": self.rows,
            "health": self.health,
            "best_images": self.best_images,
            "seconds": self.seconds(),
            "mlflow_run": mlflow.id,
        } | {key: value.to_json() if value else None for key, value in check.items()}
        tensors = {f"{part}.{key}": value for part, values in parts.items() for key, value in values.items()}
        return state, tensors

    def _snapshot(self, folder: Unfinished, mlflow: Run) -> None:
        state, tensors = self.state(mlflow)
        folder.write(state, tensors | {"codes": self.trainer.coefficients.cpu()})

    def _log(self, mlflow: Run) -> None:
        mlflow.metrics(self.rows[self._logged :], step_key="images")
        self._logged = len(self.rows)


def _candidates(material: Material, monitor: Monitor | None) -> tuple[str, ...]:
    """First stages worth a try; where tune is too small to choose, one."""
    if material.dataset.image_shape[-1] < ALIGNMENT_PAYS:
        return ("pca",)
    return ("pca", "aligned-pca") if monitor else ("aligned-pca",)


def _monitor(material: Material, samples: int, device: torch.device) -> Monitor | None:
    if not material.can_monitor:
        return None
    return Monitor(material.tune_images, material.tune_labels, samples, device)


def _sizes(plan: Plan, classes: int) -> dict[str, Any]:
    return {
        "kind": "latent",
        "coefficients": plan.coefficients,
        "classes": classes,
        "width": plan.generator_width,
        "depth": plan.depth,
        "embedding": plan.embedding,
    }


def _network(plan: Plan, classes: int) -> LatentGenerator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(keyed_seed("generator", plan.seed))
        return networks.build(_sizes(plan, classes))


def _weights(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.detach().cpu().clone() for key, value in module.state_dict().items()}


def _part(tensors: dict[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(f"{name}."): v for k, v in tensors.items() if k.startswith(f"{name}.")}


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM instead of dying in the middle of a step; the second one is not held back."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def remember(number: int, _frame: object) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    previous = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
