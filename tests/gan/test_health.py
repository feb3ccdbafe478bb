"""Problems on numbers, then real trainings with a stated fault."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import SMALL

from gan.faults import FAULTS, Alarm, begin, provoked, train
from gan.test_trainer import plan_of
from gan.toy import Listener, toy_images, write_dataset
from medsyn.config import TrainOptions
from medsyn.gan import run
from medsyn.gan.health import Glance, Samples, Watch
from medsyn.gan.health.answers import DIAGNOSES, TRIES, answered
from medsyn.gan.health.watch import COVERAGE_LOOKS, GLANCES, KNOWN_LOOKS, Problem
from medsyn.gan.monitor import Check
from medsyn.gan.recipes import RECIPES
from medsyn.gan.trainer import StepLosses, Trainer
from medsyn.gan.unfinished import unfinished
from medsyn.workspace import Workspace

HONEST = StepLosses(0.8, 0.6, 0.1, 0.3, 1.0)
ALIVE = Glance([0.9, 0.8], [1.0, 1.1], 1.2)


def watch_of(**changes: object) -> Watch:
    plan = plan_of(**{"steps": 1000, **changes})
    return Watch(plan, 1, 256, ["a", "b"])


def heard(watch: Watch, losses: StepLosses, steps: int) -> Problem | None:
    for _ in range(steps):
        problem = watch.step(losses)
        if problem:
            return problem
    return None


@pytest.mark.parametrize("place", range(5))
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_no_number_is_named_at_once(bad: float, place: int) -> None:
    values = list(HONEST)
    values[place] = bad
    problem = watch_of().step(StepLosses(*values))
    assert problem is not None
    assert problem.name == "nan"


def test_a_gradient_vanishes_only_where_it_stays_away() -> None:
    watch, gone = watch_of(), HONEST._replace(gradient=1e-4)
    assert heard(watch, HONEST, 100) is None
    assert heard(watch, gone, 5) is None
    assert not watch.calm
    assert heard(watch, HONEST, 1) is None
    assert watch.calm
    problem = heard(watch, gone, 200)
    assert problem is not None
    assert problem.name == "vanishing_gradient"


def test_steps_without_a_generator_update_are_no_vanished_gradients() -> None:
    watch = Watch(plan_of("wgan-gp", steps=1000), 3, 256, ["a", "b"])
    for k in range(1, 300):
        losses = HONEST if k % 3 == 0 else HONEST._replace(gradient=0.0)
        assert watch.step(losses) is None


@pytest.mark.parametrize("name", RECIPES)
def test_a_discriminator_wins_by_a_margin_that_lasts(name: str) -> None:
    watch = watch_of(recipe=name, objective=RECIPES[name].objective)
    assert heard(watch, HONEST._replace(margin=3.0), 500) is None
    assert heard(watch, HONEST._replace(margin=30.0), 1) is None
    problem = heard(watch, HONEST._replace(margin=30.0), 500)
    assert problem is not None
    assert problem.name == "discriminator_wins"


@pytest.mark.parametrize(
    ("glance", "says"),
    [
        (ALIVE._replace(spread=[0.9, 0.01]), "'b' ignores the seed"),
        (ALIVE._replace(spread=[0.1, 0.8]), "'a' ignores the seed"),
        (ALIVE._replace(nearest=[1.0, 0.0]), "'b' are nearly identical"),
        (ALIVE._replace(between=0.0), "do not depend on the class"),
    ],
)
def test_collapse_is_named_with_its_class(glance: Glance, says: str) -> None:
    watch = watch_of()
    late = watch.plan.images
    assert watch.glance(ALIVE, 0) is None
    for _ in range(GLANCES - 1):
        assert watch.glance(glance, late) is None
    problem = watch.glance(glance, late)
    assert problem is not None
    assert problem.name == "collapse"
    assert says in problem.seen


def test_an_untrained_generator_has_not_collapsed() -> None:
    watch = watch_of()
    for _ in range(10):
        assert watch.glance(Glance([0.0, 0.0], [0.0, 0.0], 0.0), 8) is None


def test_coverage_that_falls_and_stays_down_is_collapse() -> None:
    watch = watch_of()
    good, bad = Check(0.1, 0.8, 0.8, 0.8), Check(0.5, 0.2, 0.8, 0.8)
    late = watch.plan.images
    assert watch.look(good, 0.0, late) is None
    assert watch.look(bad, 0.0, late) is None
    assert watch.look(good, 0.0, late) is None
    problems = [watch.look(bad, 0.0, late) for _ in range(COVERAGE_LOOKS)]
    assert problems[-1] is not None
    assert (problems[:-1], problems[-1].name) == ([None] * (COVERAGE_LOOKS - 1), "collapse")


def test_memorising_takes_a_gap_a_margin_and_a_kid_that_stands() -> None:
    def last(margin: float, kids: list[float]) -> Problem | None:
        watch = watch_of()
        heard(watch, HONEST._replace(margin=margin), 300)
        problem = None
        for kid in kids:
            problem = problem or watch.look(Check(kid, 0.8, 0.8, 0.8), 0.95, 0)
        return problem

    looks = KNOWN_LOOKS + 1
    assert (last(1.0, [0.5] * looks) or Problem("", "")).name == "memorising"
    assert last(1.0, [0.5 / k for k in range(1, looks + 1)]) is None
    assert last(0.05, [0.5] * looks) is None


def test_samples_are_measured_against_the_real_images() -> None:
    rng = np.random.default_rng(0)
    labels = torch.arange(80) % 2
    real = torch.from_numpy(rng.random((80, 1, 4, 4), np.float32))
    real[labels == 1] += 0.5
    real.clamp_(0, 1)
    samples = Samples(real, labels)
    alike = torch.stack([real[labels == c][: samples.per_class] for c in (0, 1)])
    glance = samples.glance(alike)
    assert glance.spread == pytest.approx([1, 1], abs=0.1)
    assert glance.nearest == pytest.approx([1, 1], abs=1e-4)
    assert glance.between > 1
    still = alike.clone()
    still[1] = still[1, :1]
    found = samples.glance(still)
    assert (found.spread[1], found.nearest[1]) == pytest.approx((0, 0), abs=1e-3)
    two = alike.clone()
    two[0, 2:] = two[0, :2].repeat(samples.per_class // 2 - 1, 1, 1, 1)
    found = samples.glance(two)
    assert found.nearest[0] < 0.01 < 0.5 < found.spread[0], "a few pictures over and over"
    assert samples.glance(alike[:1].repeat(2, 1, 1, 1, 1)).between == 0


@pytest.mark.parametrize(
    ("problem", "changed"),
    [
        ("nan", {"learning_rate": 5e-4, "precision": "float32"}),
        ("vanishing_gradient", {"learning_rate": 5e-4}),
        ("collapse", {"gamma": 0.2}),
        ("discriminator_wins", {"gamma": 0.2}),
        ("memorising", {"diffaugment": ("translation",)}),
    ],
)
def test_every_problem_has_a_knob_and_a_diagnosis(problem: str, changed: dict[str, object]) -> None:
    plan = plan_of(precision="bfloat16", gamma=0.1)
    answer = answered(problem, plan, 1.0, ("translation",))
    assert answer.plan == dataclasses.replace(plan, **changed)
    assert answer.told
    assert DIAGNOSES[problem].endswith(".")


def test_without_an_augmentation_that_anatomy_allows_the_penalty_grows() -> None:
    plan = plan_of(gamma=0.0)
    assert answered("memorising", plan, 1.0, ()).plan.gamma == RECIPES[plan.recipe].gamma
    augmented = dataclasses.replace(plan, diffaugment=("translation",))
    assert answered("memorising", augmented, 0.5, ("translation",)).strength == 0.8
    assert answered("memorising", augmented, 1.0, ("translation",)).plan.gamma > 0


# ---- real trainings


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named(workspace: Workspace, toy: Path, name: str) -> None:
    session = provoked(FAULTS[name], workspace, 0, Alarm())
    assert [event["problem"] for event in session.recovery.events] == [FAULTS[name].expected]


@pytest.mark.parametrize("recipe", RECIPES)
def test_an_honest_training_raises_nothing(workspace: Workspace, toy: Path, recipe: str) -> None:
    session = begin(workspace, recipe, 40, 2, seed=1, plan={})
    train(session, workspace, Listener())
    assert session.trainer.images == session.plan.images
    assert session.recovery.events == []


def test_a_fault_that_stays_ends_the_training_with_a_diagnosis(workspace: Workspace, toy: Path) -> None:
    listener = Listener()
    session = provoked(FAULTS["one code"], workspace, 0, listener)
    events = session.recovery.events
    assert len(events) == TRIES + 1
    assert all(event["back_to_kimg"] < event["at_kimg"] for event in events[:-1])
    assert events[-1]["answer"] is None
    assert DIAGNOSES["collapse"] in listener.said[-1]
    assert session.plan.gamma == RECIPES["latent-r3gan"].gamma * 2**TRIES
    assert json.loads(json.dumps(events)) == events
    told = [row for row in session.rows if "problem_collapse" in row]
    assert [row.get("back_to_images") for row in told] == [0, 0, 0, None]


def test_a_fault_that_passes_is_survived(workspace: Workspace, toy: Path) -> None:
    session = begin(workspace, "latent-r3gan", 40, 2, seed=0, plan={})
    step, passed = session.trainer.step, []

    def once() -> StepLosses:
        if session.trainer.images >= 480 and not passed:
            passed.append(True)
            for parameter in session.trainer.generator.parameters():
                parameter.data.fill_(float("nan"))
        return step()

    session.trainer.step = once
    train(session, workspace, Listener())
    (event,) = session.recovery.events
    assert (event["problem"], event["back_to_kimg"]) == ("nan", 0.32), "the look at half of the training was healthy"
    assert session.plan.learning_rate == RECIPES["latent-r3gan"].learning_rate / 2
    assert session.trainer.images == session.plan.images
    assert all(p.isfinite().all() for p in session.trainer.average.parameters())


def test_a_resumed_training_goes_back_as_an_unbroken_one(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    write_dataset(workspace, *toy_images(20))
    step = Trainer.step

    def spoilt(trainer: Trainer) -> StepLosses:
        losses = step(trainer)
        broken = trainer.images == 320 and trainer.plan.learning_rate > 6e-4
        return losses._replace(generator=float("nan")) if broken else losses

    monkeypatch.setattr(Trainer, "step", spoilt)
    options = TrainOptions(budget="0.5kimg", threads=1, knobs=SMALL, seed=5, batch=16)
    whole = run(options, workspace)
    assert len(whole.health) == 1
    for update in (12, 28):  # before the fault, and after it has been answered
        with pytest.raises(KeyboardInterrupt):
            run(options, workspace, Listener(interrupt_after=update))
        resumed = run(options.model_copy(update={"resume": True}), workspace)
        assert unfinished(workspace) == []
        assert resumed.health == whole.health
        for file in ("generator.safetensors", "metrics.jsonl"):
            assert (whole.path / file).read_bytes() == (resumed.path / file).read_bytes()
    config = json.loads((resumed.path / "config.json").read_text())
    assert config["health"][0]["problem"] == "nan"
    assert config["plan"]["learning_rate"] == 5e-4
