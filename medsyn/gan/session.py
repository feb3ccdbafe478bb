"""One training from plan to last check: the loop around `Trainer.step`, its checks and its snapshots."""

from __future__ import annotations

import dataclasses
import math
import signal
from time import perf_counter
from typing import Any

import torch

from medsyn.compute import counter_normal, keyed_seed
from medsyn.config import TrainOptions, load_preset, parse_budget
from medsyn.gan import building
from medsyn.gan.best import Best
from medsyn.gan.diffaugment import adapted
from medsyn.gan.distributed import World
from medsyn.gan.health import Problem, Recovery, Samples, Watch
from medsyn.gan.material import Material
from medsyn.gan.plan import Plan, steps_and_checks
from medsyn.gan.signals import interruption
from medsyn.gan.trainer import StepLosses, Trainer
from medsyn.gan.unfinished import Unfinished
from medsyn.generator import Generator
from medsyn.generator.condition import of_classes, width
from medsyn.generator.first_stage import Stage
from medsyn.generator.grid import save_grid
from medsyn.generator.model import images as generated
from medsyn.generator.tensors import below
from medsyn.progress import Progress, Task
from medsyn.tracking import Run

OVERTIME = 1.2
"""How far a budget of time may be overrun before the training ends early."""
SNAPSHOT_SECONDS = 30.0
GLANCES = 50
"""Handfuls of samples that are looked at for collapse in a training, evenly spread."""

WARM_UP, MEASURED = 2, 8
GAP_IMAGES = 512
"""Of train and tune each, by which the discriminator's memory is judged."""
GO_ON, OVERDUE, PROBLEM = -2, -1, 0
"""What may follow a step, beside the number of a signal: of several processes, the highest counts."""


class Session:
    """A training under way, in one process or in each of several: rank 0 alone looks at tune, writes, and speaks.

    Attributes:
        trainer: The state that moves.
        watch: Hears all of it, and names what goes wrong.
        recovery: Answers that.
        rows: What metrics.jsonl will hold.
        best: The snapshot kept so far.
    """

    def __init__(
        self,
        plan: Plan,
        material: Material,
        stage: Stage,
        world: World,
        started: float,
    ) -> None:
        self.material, self.world, self.device = material, world, world.device
        self._started, self._earlier_seconds = started, 0.0
        self._stage = stage
        schema, shape = material.dataset.condition_schema, material.dataset.image_shape
        network = building.network_of(plan, shape, width(schema))
        images = material.images_on(self.device)
        labels = torch.tensor(material.train_labels, device=self.device)
        self.trainer = Trainer(plan, stage, network, images, labels, schema, world)
        self.watch = Watch(plan, self.trainer.objective.critic_steps, math.prod(shape), material.dataset.classes)
        policy = tuple(load_preset(material.dataset.modality).diffaugment)
        self.recovery = Recovery(self.trainer, self.watch, policy)
        self.rows: list[dict[str, float]] = []
        monitor = building.monitor_of(material, plan.monitor_images, self.device) if world.main else None
        self.best = Best(self._averaged(), monitor)
        self._logged = 0
        few = map(torch.from_numpy, (material.few_images, material.few_labels)) if world.main else None
        self._samples = Samples(*few) if few else None
        self._tune_images = torch.tensor(material.watched_images[:GAP_IMAGES], device=self.device)
        self._tune_labels = torch.tensor(material.watched_labels[:GAP_IMAGES], device=self.device)

    @property
    def plan(self) -> Plan:
        """Frozen, but for the knobs that `recovery` changes."""
        return self.trainer.plan

    @classmethod
    def begin(
        cls,
        options: TrainOptions,
        material: Material,
        world: World,
        started: float,
        progress: Progress,
        start: tuple[str, dict[str, torch.Tensor]] | None = None,
    ) -> Session:
        """Fit the first stage, measure the speed, freeze the plan: all processes follow that of rank 0.

        Args:
            options: Of the command.
            material: Images to learn from.
            world: The processes that train.
            started: `perf_counter` when the command began.
            progress: Listener.
            start: Digest of a checkpoint, and the state of its training, whose weights are taken over.
        """
        unit, _ = parse_budget(options.budget)
        plan = building.draft(options, material, world, None if start is None else start[0])
        if plan.first_stage != "none":
            progress.say(f"fitting first stage {plan.first_stage}")
        plan = world.from_main(lambda: plan)
        world.check(plan.batch)
        stage = building.stage_of(*world.from_main(lambda: building.fitted(plan, material)), material, world.device)
        session = cls(plan, material, stage, world, started)
        if start is not None:
            taken, of = session.trainer.start_from(start[1])
            progress.say(f"starting from {options.init_from}: {taken} of {of} tensors of its networks fit")
        if plan.first_stage != "none":
            session.best.begin_from(building.closed_forms(material, world.device))
        session._look()
        step_seconds = session._measure_step() if unit == "seconds" else 0.0
        steps, checks = world.from_main(
            lambda: steps_and_checks(
                options.budget, plan.batch, perf_counter() - started, step_seconds, session._look_seconds
            )
        )
        session.trainer.plan = session.watch.plan = dataclasses.replace(plan, steps=steps, checks=checks)
        return session

    @classmethod
    def restore(
        cls,
        state: dict[str, Any],
        tensors: dict[str, torch.Tensor],
        material: Material,
        world: World,
        started: float,
    ) -> Session:
        """Continue from a snapshot; the number of processes may be another one."""
        plan = Plan.from_json(state["plan"])
        stage = building.stage_of(state["first_stage"], below(tensors, "first_stage"), material, world.device)
        session = cls(plan, material, stage, world, started)
        session.trainer.load_state(below(tensors, "trainer"), state["trainer"])
        session.best.load_state(tensors, state, world.device)
        session.rows = state["rows"]
        session.watch.load_state(state["watch"])
        session.recovery.load_state(below(tensors, "healthy"), state["recovery"])
        session._earlier_seconds = state["seconds"]
        return session

    # ---- the loop

    def train(self, folder: Unfinished | None, progress: Progress, mlflow: Run, received: list[int]) -> None:
        """Step to the end of the plan.

        Args:
            folder: Where snapshots go; None in all processes but rank 0.
            progress: Hears losses and checks.
            mlflow: Hears them too.
            received: Signals that came, of `medsyn.gan.signals.held`.

        Raises:
            KeyboardInterrupt: A signal came, or ``progress`` raised it; a snapshot has been written.
            ProcessLost: Another process has died.
        """
        plan, trainer = self.plan, self.trainer
        check_steps = plan.check_steps()
        self._snapshot(folder, mlflow)
        saved = perf_counter()
        with progress.task("training", plan.kimg) as task:
            while trainer.images < plan.images:
                losses = trainer.step()
                problem = self._watched(losses)
                if trainer.images // plan.batch in check_steps:
                    problem = self._look(problem)
                    if folder is not None:
                        save_grid(self._averaged(), folder.path / "samples" / f"{trainer.images:09d}.png")
                    self._log(mlflow)
                order = self.world.highest(self._order(task, losses, problem, received))
                if order > PROBLEM:
                    self.world.from_main(lambda: self._snapshot(folder, mlflow))
                    raise interruption(order)
                if order == PROBLEM and not self._answer(problem, progress, mlflow):
                    break
                if order == OVERDUE:
                    slow = "the first steps took longer than planned, or the machine has become slower"
                    why = "going back took its time" if self.recovery.events else slow
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
        if self.best.closed_form:
            progress.say(
                "no snapshot came nearer to tune than a mixture of Gaussians, which needs no training: that is kept; "
                "give a longer --budget"
            )

    def _watched(self, losses: StepLosses) -> Problem | None:
        """Rank 0 listens to a step, and looks at some samples now and then."""
        if not self.world.main:
            return None
        images, steps = self.trainer.images, self.plan.steps
        step = images // self.plan.batch
        problem = self.watch.step(losses)
        if problem is None and step % max(1, steps // 100) == 0:
            row: dict[str, float] = {"images": images}
            self.rows.append(row | losses._asdict())
        if problem is None and step % max(1, steps // GLANCES) == 0:
            problem = self._glance()
        return problem

    def _order(self, task: Task, losses: StepLosses, problem: Problem | None, received: list[int]) -> int:
        """What this process would do after a step: go on, end for want of time, answer a problem, or heed a signal."""
        try:
            task.update(self.trainer.images / 1000, self._note(losses))
        except KeyboardInterrupt:
            return signal.SIGINT
        if received:
            return received[0]
        if problem is not None:
            return PROBLEM
        return OVERDUE if self._overdue() else GO_ON

    def _overdue(self) -> bool:
        unit, amount = parse_budget(self.plan.budget)
        return unit == "seconds" and self.seconds() > OVERTIME * amount

    def _look(self, problem: Problem | None = None) -> Problem | None:
        """Rank 0 compares with tune, unless a problem is known already; what follows from it holds for all."""
        if self.world.main and problem is None:
            problem = self._compare()
        self.trainer.strength = self.world.from_main(lambda: self.trainer.strength)
        return problem

    def _compare(self) -> Problem | None:
        """Compare the averaged generator with tune, and keep it if it is the best so far."""
        begun, problem = perf_counter(), None
        learnt = self.trainer.steps > 0 or self.plan.init_from is not None
        check = self.best.compare(self._averaged(), self.trainer.images, learnt=learnt)
        if check is not None:
            gap = self.trainer.gap(self._tune_images, self._tune_labels) if self.trainer.steps else 0.0
            if self.plan.adapt:
                self.trainer.strength = adapted(self.trainer.strength, gap)
            told = {"gap": gap, "diffaugment": self.trainer.strength}
            self.rows.append({"images": self.trainer.images} | check.to_json() | told)
            problem = self.watch.look(check, gap, self.trainer.images)
        if problem is None:
            self.recovery.keep()
        self._look_seconds = perf_counter() - begun
        return problem

    def _glance(self) -> Problem | None:
        """Look at a handful of samples, the same noise for every class."""
        samples, trainer = self._samples, self.trainer
        assert samples is not None, "rank 0 alone glances"
        labels = torch.arange(samples.classes, device=self.device).repeat_interleave(samples.per_class)
        number = torch.arange(samples.per_class, device=self.device).repeat(samples.classes)
        noise = counter_normal(keyed_seed("glance"), number, self._stage.noise + int(trainer.average.noise))  # type: ignore[arg-type]
        with torch.inference_mode():
            fake = generated(self._stage, trainer.average, noise, of_classes(labels, trainer.schema))
        glance = samples.glance(fake.cpu().unflatten(0, (samples.classes, samples.per_class)))
        told = {"spread": min(glance.spread), "nearest": min(glance.nearest), "between": glance.between}
        self.rows.append({"images": trainer.images} | told)
        return self.watch.glance(glance, trainer.images)

    def _answer(self, problem: Problem | None, progress: Progress, mlflow: Run) -> bool:
        """Rank 0 answers a problem, the others follow; False where the training ends with the best snapshot."""
        goes_on = False
        if problem is not None:
            told = {"images": self.trainer.images, f"problem_{problem.name}": 1.0}
            goes_on = self.recovery.answer(problem)
            self.rows.append(told | ({"back_to_images": self.trainer.images} if goes_on else {}))
            progress.say(self.recovery.events[-1]["sentence"])
            self._log(mlflow)
        if self.world.size > 1:
            goes_on, plan, tensors, facts = self.world.from_main(
                lambda: (goes_on, self.trainer.plan, self.trainer.state(), self.trainer.facts())
            )
            if not self.world.main:
                self.trainer.plan = plan
                self.trainer.load_state(tensors, facts)
        return goes_on

    def _note(self, losses: StepLosses) -> str:
        look = next((row for row in reversed(self.rows) if "kid" in row), None)
        seen = f", KID {look['kid']:.2f}, coverage {look['coverage']:.2f}" if look else ""
        return f"G {losses.generator:.2f}, D {losses.discriminator:.2f}, margin {losses.margin:+.2f}{seen}"

    def _measure_step(self) -> float:
        """Seconds of one step; nothing has moved afterwards."""
        tensors, facts = self.trainer.state(), self.trainer.facts()
        for _ in range(WARM_UP):
            self.trainer.step()
        begun = perf_counter()
        for _ in range(MEASURED):
            self.trainer.step()
        seconds = (perf_counter() - begun) / MEASURED
        self.trainer.load_state(tensors, facts)
        return seconds

    # ---- results and snapshots

    def seconds(self) -> float:
        """Wall clock, earlier parts of a resumed training included."""
        return self._earlier_seconds + perf_counter() - self._started

    def _averaged(self) -> Generator:
        return building.generator_of(self.material, self._stage, self.plan.network, self.trainer.average, self.device)

    def state(self, mlflow: Run) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """All that continues this training but the images it learns from: facts for JSON, and tensors."""
        healthy, recovery = self.recovery.state()
        parts = {"trainer": self.trainer.state(), "healthy": healthy, "best": self.best.generator.state()}
        parts["first_stage"] = _weights(self._stage)
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
            "seconds": self.seconds(),
            "mlflow_run": mlflow.id,
        } | self.best.facts()
        tensors = {f"{part}.{key}": value for part, values in parts.items() for key, value in values.items()}
        return state, tensors

    def _snapshot(self, folder: Unfinished | None, mlflow: Run) -> None:
        if folder is not None:
            folder.write(*self.state(mlflow))

    def _log(self, mlflow: Run) -> None:
        mlflow.metrics(self.rows[self._logged :], step_key="images")
        self._logged = len(self.rows)
        if self.recovery.events:
            mlflow.tags({f"medsyn.health.{n}": event["sentence"] for n, event in enumerate(self.recovery.events, 1)})


def _weights(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.detach().cpu().clone() for key, value in module.state_dict().items()}
