"""One training from plan to last check: the loop around `Trainer.step`, its checks and its snapshots."""

from __future__ import annotations

import dataclasses
import signal
from time import perf_counter
from typing import Any

import torch

from medsyn.compute import counter_normal, keyed_seed
from medsyn.config import TrainOptions, load_preset, parse_budget
from medsyn.errors import UsageError
from medsyn.gan import health
from medsyn.gan.building import fitted, monitor_of, network_of, stage_of
from medsyn.gan.diffaugment import adapted
from medsyn.gan.distributed import World
from medsyn.gan.material import Material
from medsyn.gan.monitor import Check
from medsyn.gan.plan import EXPLAINED, Plan, coarse_coefficients, steps_and_checks
from medsyn.gan.recipes import RECIPES, Recipe
from medsyn.gan.signals import interruption
from medsyn.gan.trainer import StepLosses, Trainer
from medsyn.gan.unfinished import Unfinished
from medsyn.generator import Generator, first_stage
from medsyn.generator.condition import of_classes, width
from medsyn.generator.first_stage import FirstStage
from medsyn.generator.grid import save_grid
from medsyn.generator.model import images as generated
from medsyn.progress import Progress, Task
from medsyn.tracking import Run

OVERTIME = 1.2
"""How far a budget of time may be overrun before the training ends early."""
SNAPSHOT_SECONDS = 30.0
CLOSED_FORM, IMAGES_PER_COMPONENT = 256, 4
"""Components of the closed form at most, and images for each: more directions are noise of the few patients."""

SAMPLING_BATCH = 64
WARM_UP, MEASURED = 2, 8
GAP_IMAGES = 512
"""Of train and tune each, by which the discriminator's memory is judged."""
GO_ON, OVERDUE = 0, 1
"""What may follow a step, beside the number of a signal: of several processes, the highest counts."""


class Session:
    """A training under way, in one process or in each of several: rank 0 alone looks at tune, writes, and speaks.

    Attributes:
        plan: Frozen.
        trainer: The state that moves.
        rows: What metrics.jsonl will hold.
        health: Sentences about what went wrong.
        best_check: Of the snapshot kept so far; None where tune is too small.
        best_images: Images shown when it was taken.
        closed_form: Whether it is the one that needs no training, since none was better so far.
    """

    def __init__(
        self,
        plan: Plan,
        material: Material,
        stage: FirstStage,
        world: World,
        started: float,
    ) -> None:
        self.plan, self.material, self.world, self.device = plan, material, world, world.device
        self._started, self._earlier_seconds = started, 0.0
        self._stage = stage
        schema = material.dataset.condition_schema
        network = network_of(plan, material.dataset.image_shape, width(schema))
        images = material.pictures_on(self.device)
        labels = torch.tensor(material.train_labels, device=self.device)
        self.trainer = Trainer(plan, stage, network, images, labels, schema, world)
        self.rows: list[dict[str, float]] = []
        self.health: list[str] = []
        self.best_check: Check | None = None
        self.best_images, self.closed_form = 0, False
        self._best = self._averaged()
        self._start_check: Check | None = None
        self._monitor = monitor_of(material, plan.monitor_images, self.device) if world.main else None
        self._logged = 0
        self._tune_images = torch.tensor(material.tune_images[:GAP_IMAGES], device=self.device)
        self._tune_labels = torch.tensor(material.tune_labels[:GAP_IMAGES], device=self.device)

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
        unit, amount = parse_budget(options.budget)
        few_seconds = unit == "seconds" and amount < 60
        recipe, side = _recipe(options.recipe), material.dataset.image_shape[-1]
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
            init_from=None if start is None else start[0],
            device=str(world.device),
            threads=torch.get_num_threads(),
        ).turned(options.knobs)
        if plan.first_stage != "none":
            progress.say(f"fitting first stage {plan.first_stage}")
        plan = world.from_main(lambda: plan)
        world.check(plan.batch)
        sizes, weights = world.from_main(lambda: fitted(plan, material))
        session = cls(plan, material, stage_of(sizes, weights, material, world.device), world, started)
        if start is not None:
            taken, of = session.trainer.start_from(start[1])
            progress.say(f"starting from {options.init_from}: {taken} of {of} tensors of its networks fit")
        session._begin_from_closed_form()
        session._look(progress)
        step_seconds = session._measure_step() if unit == "seconds" else 0.0
        steps, checks = world.from_main(
            lambda: steps_and_checks(
                options.budget, options.batch, perf_counter() - started, step_seconds, session._look_seconds
            )
        )
        session.plan = session.trainer.plan = dataclasses.replace(plan, steps=steps, checks=checks)
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
        stage = stage_of(state["first_stage"], _part(tensors, "first_stage"), material, world.device)
        session = cls(plan, material, stage, world, started)
        session.trainer.load_state(_part(tensors, "trainer"), state["trainer"])
        session._best = Generator(state["best"], world.device)
        session._best.load_state(_part(tensors, "best"))
        session.closed_form = state["closed_form"]
        session.rows, session.health, session.best_images = state["rows"], state["health"], state["best_images"]
        session.best_check = Check(**state["best_check"]) if state["best_check"] else None
        session._start_check = Check(**state["start_check"]) if state["start_check"] else None
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
        every = max(1, plan.steps // 100)
        self._snapshot(folder, mlflow)
        saved = perf_counter()
        with progress.task("training", plan.kimg) as task:
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
                    if folder is not None:
                        save_grid(self._averaged(), folder.path / "samples" / f"{trainer.images:09d}.png")
                    self._log(mlflow)
                order = self.world.highest(self._order(task, losses, received))
                if order > OVERDUE:
                    self.world.from_main(lambda: self._snapshot(folder, mlflow))
                    raise interruption(order)
                if order == OVERDUE:
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
        if self.closed_form:
            progress.say(
                "no snapshot came nearer to tune than a mixture of Gaussians, which needs no training: that is kept; "
                "give a longer --budget"
            )

    def _order(self, task: Task, losses: StepLosses, received: list[int]) -> int:
        """What this process would do after a step: go on, end for want of time, or heed a signal."""
        try:
            task.update(self.trainer.images / 1000, self._note(losses))
        except KeyboardInterrupt:
            return signal.SIGINT
        if received:
            return received[0]
        return OVERDUE if self._overdue() else GO_ON

    def _overdue(self) -> bool:
        unit, amount = parse_budget(self.plan.budget)
        return unit == "seconds" and self.seconds() > OVERTIME * amount

    def _look(self, progress: Progress) -> None:
        """Rank 0 compares with tune; what follows from it holds for all."""
        if self.world.main:
            self._compare(progress)
        self.trainer.strength, self.health = self.world.from_main(lambda: (self.trainer.strength, self.health))

    def _compare(self, progress: Progress) -> None:
        """Compare the averaged generator with tune, keep it if it is the best so far, and watch for collapse."""
        begun = perf_counter()
        generator = self._averaged()
        if self._monitor is not None:
            check = self._monitor.check(generator)
            self._start_check = self._start_check or check
            if self.best_check is None or check.score(self._start_check) < self.best_check.score(self._start_check):
                self.best_check, self.best_images, self._best = check, self.trainer.images, generator
                self.closed_form = False
            gap = self.trainer.gap(self._tune_images, self._tune_labels) if self.trainer.steps else 0.0
            if self.plan.adapt:
                self.trainer.strength = adapted(self.trainer.strength, gap)
            told = {"gap": gap, "diffaugment": self.trainer.strength}
            self.rows.append({"images": self.trainer.images} | check.to_json() | told)
        else:
            self.best_images, self._best = self.trainer.images, generator
        problem = self._collapse()
        if problem:
            self._stop(problem, progress)
        self._look_seconds = perf_counter() - begun

    def _begin_from_closed_form(self) -> None:
        """A training that does not get beyond what needs no training must not be what is kept."""
        if self._monitor is not None and self.plan.first_stage == "pca":
            self._best, self.closed_form = self._closed_form(), True
            self._start_check = self.best_check = self._monitor.check(self._best)

    def _collapse(self) -> str | None:
        dataset, trainer = self.material.dataset, self.trainer
        labels = torch.arange(len(dataset.classes), device=self.device).repeat_interleave(32)
        length = self._stage.noise + trainer.average.noise
        noise = counter_normal(keyed_seed("collapse"), torch.arange(len(labels), device=self.device), length)
        with torch.inference_mode():
            fake = generated(self._stage, trainer.average, noise, of_classes(labels, dataset.condition_schema))
        fake_labels = labels.cpu().numpy()
        return health.collapsed(
            self.material.few_images, self.material.few_labels, fake.cpu().numpy(), fake_labels, dataset.classes
        )

    def _stop(self, problem: str, progress: Progress) -> None:
        """Name the problem and end the training: the best snapshot so far is what remains."""
        at, kept = self.trainer.images / 1000, self.best_images / 1000
        self.health.append(f"{problem} at {at:g} kimg; stopped, and kept the snapshot of {kept:g} kimg")
        progress.say(self.health[-1])

    def _note(self, losses: StepLosses) -> str:
        seen = f", KID {self.best_check.kid:.2f}" if self.best_check else ""
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

    def chosen(self) -> Generator:
        """The generator that is kept: the best on tune, or the last where tune is too small."""
        return self._best

    def per_class(self) -> dict[str, dict[str, float]]:
        """Checks of the kept snapshot class by class, where tune holds enough images of it."""
        found = self._monitor.per_class(self.chosen()) if self._monitor else {}
        return {name: check.to_json() for name, check in found.items()}

    def seconds(self) -> float:
        """Wall clock, earlier parts of a resumed training included."""
        return self._earlier_seconds + perf_counter() - self._started

    def _averaged(self) -> Generator:
        return self._generator(self._stage, self.plan.network, self.trainer.average)

    def _closed_form(self) -> Generator:
        """What no training is needed for: a mixture of as many components as the images allow, and nothing added."""
        images, labels = self.material.few_images, self.material.few_labels
        most = max(self.plan.coefficients, min(CLOSED_FORM, len(images) // IMAGES_PER_COMPONENT))
        stage = first_stage.fit("pca", images, labels, explained=EXPLAINED, most=most)
        return self._generator(stage, {"kind": "none"}, None)

    def _generator(self, stage: FirstStage, network: dict[str, Any], weights: torch.nn.Module | None) -> Generator:
        dataset = self.material.dataset
        config = {
            "classes": dataset.classes,
            "image_shape": list(dataset.image_shape),
            "condition_schema": dataset.condition_schema,
            "network": network,
            "first_stage": stage.sizes(),
            "batch": SAMPLING_BATCH,
        }
        generator = Generator(config, self.device)
        generator.first_stage.load_state_dict(stage.state_dict())
        if weights is not None:
            generator.network.load_state_dict(weights.state_dict())
        return generator

    def state(self, mlflow: Run) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """All that continues this training but the images it learns from: facts for JSON, and tensors."""
        parts = {"trainer": self.trainer.state(), "best": self._best.state(), "first_stage": _weights(self._stage)}
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
            "health": self.health,
            "best_images": self.best_images,
            "best": self._best.config,
            "closed_form": self.closed_form,
            "seconds": self.seconds(),
            "mlflow_run": mlflow.id,
        } | {key: value.to_json() if value else None for key, value in check.items()}
        tensors = {f"{part}.{key}": value for part, values in parts.items() for key, value in values.items()}
        return state, tensors

    def _snapshot(self, folder: Unfinished | None, mlflow: Run) -> None:
        if folder is not None:
            folder.write(*self.state(mlflow))

    def _log(self, mlflow: Run) -> None:
        mlflow.metrics(self.rows[self._logged :], step_key="images")
        self._logged = len(self.rows)


def _recipe(name: str) -> Recipe:
    if name not in RECIPES:
        raise UsageError(f"unknown recipe '{name}'", where="--recipe", mend=f"There are: {', '.join(RECIPES)}.")
    return RECIPES[name]


def _weights(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.detach().cpu().clone() for key, value in module.state_dict().items()}


def _part(tensors: dict[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(f"{name}."): v for k, v in tensors.items() if k.startswith(f"{name}.")}
