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

from medsyn.compute import counter_normal, keyed_seed
from medsyn.config import TrainOptions, load_preset, parse_budget
from medsyn.gan.diffaugment import adapted
from medsyn.gan.health import Problem, Recovery, Samples, Watch
from medsyn.gan.material import Material
from medsyn.gan.monitor import Check, Monitor
from medsyn.gan.plan import EXPLAINED, Plan, coarse_coefficients, steps_and_checks
from medsyn.gan.recipes import RECIPES
from medsyn.gan.trainer import StepLosses, Trainer
from medsyn.gan.unfinished import Unfinished
from medsyn.generator import Generator, first_stage, networks
from medsyn.generator.condition import of_classes, width
from medsyn.generator.first_stage import FirstStage
from medsyn.generator.grid import save_grid
from medsyn.generator.model import images as generated
from medsyn.progress import Progress
from medsyn.tracking import Run

OVERTIME = 1.2
"""How far a budget of time may be overrun before the training ends early."""
SNAPSHOT_SECONDS = 30.0
GLANCES = 50
"""Handfuls of samples that are looked at for collapse in a training, evenly spread."""
SAMPLING_BATCH = 64
WARM_UP, MEASURED = 2, 8
GAP_IMAGES = 512
"""Of train and tune each, by which the discriminator's memory is judged."""


class Session:
    """A training under way.

    Attributes:
        trainer: The state that moves.
        watch: Hears all of it, and names what goes wrong.
        recovery: Answers that.
        rows: What metrics.jsonl will hold.
        best_check: Of the snapshot kept so far; None where tune is too small.
        best_images: Images shown when it was taken.
    """

    def __init__(
        self,
        plan: Plan,
        material: Material,
        stage: FirstStage,
        device: torch.device,
        started: float,
    ) -> None:
        self.material, self.device = material, device
        self._started, self._earlier_seconds = started, 0.0
        self._stage = stage
        schema = material.dataset.condition_schema
        network = _network(plan, material.dataset.image_shape, width(schema))
        images = torch.tensor(material.train_images, device=device)
        labels = torch.tensor(material.train_labels, device=device)
        self.trainer = Trainer(plan, stage, network, images, labels, schema)
        critic_steps, pixels = self.trainer.objective.critic_steps, images[0].numel()
        self.watch = Watch(plan, critic_steps, pixels, material.dataset.classes)
        policy = tuple(load_preset(material.dataset.modality).diffaugment)
        self.recovery = Recovery(self.trainer, self.watch, policy)
        self.rows: list[dict[str, float]] = []
        self.best_check: Check | None = None
        self.best_images = 0
        self._best = _weights(self.trainer.average)
        self._start_check: Check | None = None
        self._monitor: Monitor | None = None
        self._logged = 0
        self._samples = Samples(images, labels)
        self._tune_images = torch.tensor(material.tune_images[:GAP_IMAGES], device=device)
        self._tune_labels = torch.tensor(material.tune_labels[:GAP_IMAGES], device=device)

    @property
    def plan(self) -> Plan:
        """Frozen, but for the knobs that `recovery` changes."""
        return self.trainer.plan

    @classmethod
    def begin(
        cls,
        options: TrainOptions,
        material: Material,
        device: torch.device,
        started: float,
        progress: Progress,
    ) -> Session:
        """Fit the first stage, measure the speed, freeze the plan."""
        unit, amount = parse_budget(options.budget)
        few_seconds = unit == "seconds" and amount < 60
        recipe, side = RECIPES[options.recipe], material.dataset.image_shape[-1]
        policy = tuple(load_preset(material.dataset.modality).diffaugment) if options.diffaugment != "off" else ()
        plan = Plan(
            recipe=options.recipe,
            budget=options.budget,
            seed=options.seed,
            batch=options.batch,
            steps=10**6,
            checks=1,
            first_stage=recipe.first_stage,
            coefficients=coarse_coefficients(len(material.train)),
            network=recipe.network(side),
            discriminator=recipe.discriminator(side),
            objective=recipe.objective,
            learning_rate=recipe.learning_rate,
            gamma=recipe.gamma,
            penalty_every=recipe.penalty_every,
            free=recipe.free,
            ramp=recipe.ramp,
            final=0.1,
            ema_kimg=recipe.ema_kimg,
            diffaugment=policy,
            strength=0.0 if options.diffaugment == "adapt" else 1.0,
            adapt=options.diffaugment == "adapt",
            precision=options.precision,
            monitor_images=128 if few_seconds else 256,
            device=str(device),
            threads=torch.get_num_threads(),
        )
        if plan.first_stage != "none":
            progress.say(f"fitting first stage {plan.first_stage}")
        stage = first_stage.fit(
            plan.first_stage, material.train_images, material.train_labels, explained=EXPLAINED, most=plan.coefficients
        )
        session = cls(plan, material, stage.to(device), device, started)
        session._monitor = _monitor(material, plan.monitor_images, device)
        session._look()
        step_seconds = session._measure_step() if unit == "seconds" else 0.0
        steps, checks = steps_and_checks(
            options.budget, options.batch, perf_counter() - started, step_seconds, session._look_seconds
        )
        session.trainer.plan = session.watch.plan = dataclasses.replace(plan, steps=steps, checks=checks)
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
        session = cls(plan, material, stage.to(device), device, started)
        session._monitor = _monitor(material, plan.monitor_images, device)
        session.trainer.load_state(_part(tensors, "trainer"), state["trainer"])
        session._best = _part(tensors, "best")
        session.rows, session.best_images = state["rows"], state["best_images"]
        session.watch.load_state(state["watch"])
        session.recovery.load_state(_part(tensors, "healthy"), state["recovery"])
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
        every, glance_every = max(1, plan.steps // 100), max(1, plan.steps // GLANCES)
        self._snapshot(folder, mlflow)
        saved = perf_counter()
        with _signals() as interrupted, progress.task("training", plan.kimg) as task:
            while trainer.images < plan.images:
                losses = trainer.step()
                step = trainer.images // plan.batch
                problem = self.watch.step(losses)
                if problem is None and step % every == 0:
                    self.rows.append({"images": trainer.images} | losses._asdict())
                if problem is None and step % glance_every == 0:
                    problem = self._glance()
                if problem is None and step in check_steps:
                    problem = self._look()
                    save_grid(self._averaged(), folder.path / "samples" / f"{trainer.images:09d}.png")
                    self._log(mlflow)
                if problem is not None and not self._answer(problem, progress, mlflow):
                    break
                try:
                    task.update(trainer.images / 1000, self._note(losses))
                    if interrupted:
                        raise KeyboardInterrupt
                except KeyboardInterrupt:
                    self._snapshot(folder, mlflow)
                    raise
                if self._overdue():
                    why = "going back took its time" if self.recovery.events else "the machine has become slower"
                    progress.say(
                        f"stopped at {trainer.images / 1000:g} of {plan.kimg:g} kimg: {why}; no budget is left"
                    )
                    self._look()
                    break
                if perf_counter() - saved > SNAPSHOT_SECONDS:
                    self._snapshot(folder, mlflow)
                    saved = perf_counter()
        self.recovery.forget()
        self._log(mlflow)

    def _overdue(self) -> bool:
        unit, amount = parse_budget(self.plan.budget)
        return unit == "seconds" and self.seconds() > OVERTIME * amount

    def _look(self) -> Problem | None:
        """Compare the averaged generator with tune, and keep it if it is the best so far."""
        begun, problem = perf_counter(), None
        generator = self._averaged()
        if self._monitor is not None:
            check = self._monitor.check(generator)
            self._start_check = self._start_check or check
            if self.best_check is None or check.score(self._start_check) < self.best_check.score(self._start_check):
                self.best_check, self.best_images = check, self.trainer.images
                self._best = _weights(self.trainer.average)
            gap = self.trainer.gap(self._tune_images, self._tune_labels) if self.trainer.steps else 0.0
            if self.plan.adapt:
                self.trainer.strength = adapted(self.trainer.strength, gap)
            told = {"gap": gap, "diffaugment": self.trainer.strength}
            self.rows.append({"images": self.trainer.images} | check.to_json() | told)
            problem = self.watch.look(check, gap, self.trainer.images)
        else:
            self.best_images, self._best = self.trainer.images, _weights(self.trainer.average)
        if problem is None:
            self.recovery.keep()
        self._look_seconds = perf_counter() - begun
        return problem

    def _glance(self) -> Problem | None:
        """Look at a handful of samples, the same noise for every class."""
        samples, trainer = self._samples, self.trainer
        labels = torch.arange(samples.classes, device=self.device).repeat_interleave(samples.per_class)
        number = torch.arange(samples.per_class, device=self.device).repeat(samples.classes)
        noise = counter_normal(keyed_seed("glance"), number, self._stage.noise + trainer.average.noise)
        with torch.inference_mode():
            fake = generated(self._stage, trainer.average, noise, of_classes(labels, trainer.schema))
        glance = samples.glance(fake.unflatten(0, (samples.classes, samples.per_class)))
        told = {"spread": min(glance.spread), "nearest": min(glance.nearest), "between": glance.between}
        self.rows.append({"images": trainer.images} | told)
        return self.watch.glance(glance, trainer.images)

    def _answer(self, problem: Problem, progress: Progress, mlflow: Run) -> bool:
        """Tell the problem and its answer; False where the training ends and the best snapshot is what remains."""
        told = {"images": self.trainer.images, f"problem_{problem.name}": 1.0}
        goes_on = self.recovery.answer(problem)
        self.rows.append(told | ({"back_to_images": self.trainer.images} if goes_on else {}))
        progress.say(self.recovery.events[-1]["sentence"])
        self._log(mlflow)
        return goes_on

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
            "condition_schema": dataset.condition_schema,
            "network": self.plan.network,
            "first_stage": self._stage.sizes(),
            "batch": SAMPLING_BATCH,
        }
        generator = Generator(config, self.device)
        generator.first_stage.load_state_dict(self._stage.state_dict())
        generator.network.load_state_dict(weights)
        return generator

    def state(self, mlflow: Run) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """All that continues this training but the images it learns from: facts for JSON, and tensors."""
        healthy, recovery = self.recovery.state()
        parts = {"trainer": self.trainer.state(), "healthy": healthy, "best": self._best}
        parts["first_stage"] = _weights(self._stage)
        check = {"best_check": self.best_check, "start_check": self._start_check}
        state = {
            "modality": self.material.dataset.modality,
            "name": str(self.material.dataset.meta["name"]),
            "dataset_digest": self.material.dataset.digest,
            "plan": self.plan.to_json(),
            "first_stage": self._stage.sizes(),
            "trainer": self.trainer.facts(),
            "images": self.trainer.images,
            "rows": self.rows,
            "watch": self.watch.state(),
            "recovery": recovery,
            "best_images": self.best_images,
            "seconds": self.seconds(),
            "mlflow_run": mlflow.id,
        } | {key: value.to_json() if value else None for key, value in check.items()}
        tensors = {f"{part}.{key}": value for part, values in parts.items() for key, value in values.items()}
        return state, tensors

    def _snapshot(self, folder: Unfinished, mlflow: Run) -> None:
        state, tensors = self.state(mlflow)
        folder.write(state, tensors)

    def _log(self, mlflow: Run) -> None:
        mlflow.metrics(self.rows[self._logged :], step_key="images")
        self._logged = len(self.rows)
        if self.recovery.events:
            mlflow.tags({f"medsyn.health.{n}": event["sentence"] for n, event in enumerate(self.recovery.events, 1)})


def _monitor(material: Material, samples: int, device: torch.device) -> Monitor | None:
    if not material.can_monitor:
        return None
    return Monitor(material.tune_images, material.tune_labels, samples, device)


def _network(plan: Plan, image_shape: tuple[int, int, int], condition: int) -> torch.nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(keyed_seed("generator", plan.seed))
        return networks.build(plan.network, image_shape, condition)


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
