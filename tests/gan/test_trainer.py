import dataclasses

import numpy as np
import pytest
import torch

from medsyn.compute import counter_normal, keyed_seed
from medsyn.errors import UsageError
from medsyn.gan.plan import Plan
from medsyn.gan.recipes import RECIPES
from medsyn.gan.trainer import Trainer
from medsyn.generator import first_stage, networks
from medsyn.generator.condition import of_classes

SCHEMA = {"class": {"kind": "categorical", "values": ["a", "b"]}}


def plan_of(name: str = "latent-r3gan", **changes: object) -> Plan:
    recipe = RECIPES[name]
    plan = Plan(
        recipe=name,
        budget="1kimg",
        seed=0,
        batch=8,
        steps=10,
        checks=1,
        first_stage=recipe.first_stage,
        explained=1.0,
        coefficients=6,
        width=1.0,
        prior_steps=0,
        network=recipe.network(16),
        discriminator={"channels": [4, 8, 8], "blocks": 1},
        objective=recipe.objective,
        learning_rate=1e-3,
        gamma=recipe.gamma,
        penalty_every=recipe.penalty_every,
        free=recipe.free,
        varied=0.0,
        ramp=0.0,
        final=0.1,
        ema_kimg=1.0,
        diffaugment=(),
        strength=1.0,
        adapt=False,
        precision="float32",
        monitor_images=16,
        init_from=None,
        device="cpu",
        threads=1,
    )
    return dataclasses.replace(plan, **changes)


def make(name: str = "latent-r3gan", **changes: object) -> Trainer:
    images, labels = np.random.default_rng(0).random((40, 1, 16, 16), np.float32), np.arange(40) % 2
    plan = plan_of(name, **changes)
    stage = first_stage.fit(
        plan.first_stage,
        images,
        labels,
        first_stage.Fitting(
            explained=1.0,
            most=6,
            halvings=networks.levels(plan.network) - 1,
            prior=first_stage.PriorTraining(plan.prior_steps),
        ),
    )
    torch.manual_seed(0)
    network = networks.build(plan.network, (1, 16, 16), 2)
    return Trainer(plan, stage, network, torch.from_numpy(images), torch.from_numpy(labels), SCHEMA)


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("policy", [(), ("translation", "brightness", "contrast")])
def test_a_step_moves_every_part_and_counts_images(name: str, policy: tuple[str, ...]) -> None:
    trainer = make(name, diffaugment=policy, ramp=0.5)
    before = trainer.state()
    for _ in range(trainer.objective.critic_steps):
        losses = trainer.step()
    after = trainer.state()
    assert all(np.isfinite(losses))
    assert losses.gradient > 0
    assert trainer.images == 8 * trainer.objective.critic_steps
    for part in ("generator.output.weight", "average.output.weight", "discriminator.output.weight"):
        assert not torch.equal(before[part], after[part]), part


def test_an_image_is_shown_with_the_same_numbers_whatever_the_batch() -> None:
    trainer = make()
    whole = trainer.batch(torch.arange(16))
    for first in (0, 4, 12):
        part = trainer.batch(torch.arange(first, first + 4))
        for one, other in zip((*whole.real, *whole[1:]), (*part.real, *part[1:]), strict=True):
            assert torch.equal(one[first : first + 4], other)


def test_every_class_is_shown_as_often_and_coarse_images_are_those_of_the_pair() -> None:
    trainer = make()
    batch = trainer.batch(torch.arange(2000))
    assert batch.condition.mean(0).tolist() == pytest.approx([0.5, 0.5], abs=0.05)
    assert torch.allclose(trainer.stage.encode(batch.coarse), trainer.stage.encode(batch.real[-1]), atol=1e-3)
    drawn = make(free=1.0).batch(torch.arange(20))
    assert not torch.allclose(trainer.stage.encode(drawn.coarse), trainer.stage.encode(drawn.real[-1]), atol=0.1)


def test_varied_images_keep_their_coarse_part_and_no_number_of_any_other_changes() -> None:
    index = torch.arange(12)
    plain, varied = make().batch(index), make(varied=1.0).batch(index)
    trainer = make(varied=1.0)
    assert torch.allclose(trainer.stage.encode(varied.coarse), trainer.stage.encode(varied.real[-1]), atol=1e-3)
    for one, other in zip(plain.real[-1], varied.real[-1], strict=True):
        assert not torch.allclose(one, other, atol=0.02)
    assert all(torch.equal(a, b) for a, b in zip(plain[2:], varied[2:], strict=True))
    assert torch.equal(trainer.batch(index[5:8]).real[-1], varied.real[-1][5:8])
    half = make(varied=1.0, free=0.5).batch(index).real[-1]
    kept = ((half - plain.real[-1]).abs() < 1e-3).flatten(1).all(1)
    assert 0 < kept.sum() < len(index)
    assert torch.equal(half[~kept], varied.real[-1][~kept])
    less = make(varied=0.1).batch(index).real[-1]
    assert (less - plain.real[-1]).abs().mean() < 0.5 * (varied.real[-1] - plain.real[-1]).abs().mean()


def test_half_of_the_coarse_images_are_drawn_from_the_flow() -> None:
    trainer = make(free=0.5, prior_steps=500)
    assert trainer.stage.sizes()["prior"]["kind"] == "flow"
    index = torch.arange(400)
    batch = trainer.batch(index)
    codes, of_the_pair = (trainer.stage.encode(images) for images in (batch.coarse, batch.real[-1]))
    drawn = trainer.stage.sample(counter_normal(keyed_seed("code", 0), index, trainer.stage.noise), batch.condition)
    kept, made = ((codes - others).abs().max(1).values < 1e-3 for others in (of_the_pair, drawn))
    assert torch.equal(kept, ~made)
    assert made.float().mean() == pytest.approx(0.5, abs=0.1)
    fixed, before = (
        {key: value.clone() for key, value in part.items()} for part in (trainer.stage.state_dict(), trainer.state())
    )
    assert all(np.isfinite(trainer.step()))
    assert not torch.equal(before["generator.output.weight"], trainer.generator.output.weight)
    assert all(torch.equal(value, fixed[key]) for key, value in trainer.stage.state_dict().items())


def test_levels_learn_side_by_side() -> None:
    level = {"kind": "completion", "channels": [4, 6], "blocks": 1, "maps": 1}
    small = {"channels": [4, 8], "blocks": 0}
    pyramid, judges = ({"levels": [of, of]} for of in (level, small))
    trainer = make(network={"kind": "pyramid"} | pyramid, discriminator=judges)
    assert [x.shape[-1] for x in trainer.batch(torch.arange(4)).real] == [8, 16]
    before = {key: value.clone() for key, value in trainer.state().items()}
    assert all(np.isfinite([trainer.step() for _ in range(2)]).ravel())
    after = trainer.state()
    for part in ("generator", "average", "discriminator"):
        for number in range(2):
            names = [name for name in after if name.startswith(f"{part}.levels.{number}.")]
            assert any(not torch.equal(before[name], after[name]) for name in names), (part, number)


def test_the_condition_fades_in() -> None:
    plan = plan_of(ramp=0.5)
    assert [plan.conditioned(n) for n in (0, 20, 40, 80)] == [0, 0.5, 1, 1]
    assert plan_of().conditioned(0) == 1


def test_bfloat16_trains_too() -> None:
    trainer = make(precision="bfloat16")
    assert all(np.isfinite(trainer.step()))
    assert all(p.dtype == torch.float32 for p in trainer.generator.parameters())


def test_a_discriminator_that_knows_its_images_by_heart_shows_a_gap() -> None:
    trainer = make("r3gan")
    seen, labels, rng = trainer.data, trainer.labels, np.random.default_rng(9)
    others, unseen = (torch.from_numpy(rng.random((40, 1, 16, 16), np.float32)) for _ in range(2))
    condition = of_classes(labels, SCHEMA)
    assert abs(trainer.gap(unseen, labels)) < 0.7
    optimiser = torch.optim.Adam(trainer.discriminator.parameters(), 3e-3)
    for _ in range(150):
        scores = [trainer.discriminator(images, condition) for images in (seen, others)]
        loss = torch.nn.functional.softplus(scores[1] - scores[0]).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert trainer.gap(unseen, labels) > 1
    assert abs(trainer.gap(seen, labels)) < 0.5


def test_another_mixture_of_classes_is_no_gap() -> None:
    trainer = make("r3gan")
    torch.nn.init.zeros_(trainer.discriminator.condition.weight)
    with torch.no_grad():  # a discriminator that likes class b
        trainer.discriminator.condition.weight[:, 1] = 5
        trainer.discriminator.flat.bias += 1
    of_one = torch.ones(32, dtype=torch.long)
    unseen = torch.from_numpy(np.random.default_rng(9).random((32, 1, 16, 16), np.float32))
    assert abs(trainer.gap(unseen, of_one)) < 0.7


def test_restored_it_goes_on_bit_for_bit() -> None:
    one, two = make(), make()
    for _ in range(3):
        one.step()
    two.load_state(one.state(), one.facts())
    for _ in range(3):
        assert one.step() == two.step()
    assert all(torch.equal(a, b) for a, b in zip(one.state().values(), two.state().values(), strict=True))


def test_schedules_count_images_not_steps() -> None:
    plan = plan_of()
    assert plan.anneal(0) == 1
    assert plan.anneal(plan.images) == pytest.approx(plan.final)
    long = dataclasses.replace(plan, steps=1000)
    assert long.warmed(0) < 0.1 < long.warmed(80) < long.warmed(200) == 1
    wide = dataclasses.replace(plan, batch=16, steps=5)
    assert wide.anneal(40) == plan.anneal(40)
    assert plan.ema_decay(50000, 16) == pytest.approx(plan.ema_decay(50000, 8) ** 2)
    assert Plan.from_json(plan.to_json()) == plan
    assert max(plan.check_steps()) == plan.steps


def test_knobs_are_numbers_of_the_plan() -> None:
    assert plan_of(width=2.0).widened().discriminator["channels"] == [8, 16, 16]
    plan = plan_of().turned({"gamma": "0.7", "penalty_every": "2", "ramp": 0.25})
    assert (plan.gamma, plan.penalty_every, plan.ramp) == (0.7, 2, 0.25)
    with pytest.raises(UsageError, match="unknown knob 'gama'"):
        plan_of().turned({"gama": "1"})


@pytest.mark.parametrize(
    ("name", "value", "mend"),
    [
        ("gamma", "much", "a number from 0"),
        ("gamma", "-1", "a number from 0"),
        ("gamma", "inf", "a number from 0"),
        ("gamma", "nan", "a number from 0"),
        ("learning_rate", 1e9, "a number from 1e-07 to 0.1"),
        ("penalty_every", 0, "a whole number from 1 to 1000"),
        ("penalty_every", 1.5, "a whole number from 1 to 1000"),
        ("free", 2, "a number from 0 to 1"),
        ("width", 1e9, "a number from 0.1 to 16"),
    ],
)
def test_a_knob_out_of_range_is_named_with_its_range(name: str, value: object, mend: str) -> None:
    with pytest.raises(UsageError, match=f"^--set: {name}={value} is out of range") as told:
        plan_of().turned({name: value})
    assert mend in str(told.value)


def test_weights_that_fit_are_taken_over() -> None:
    one, two = make(), make(discriminator={"channels": [4, 8, 12], "blocks": 1})
    one.step()
    taken, of = two.start_from(one.state())
    assert 0 < taken < of
    assert torch.equal(two.generator.output.weight, one.generator.output.weight)
    assert torch.equal(two.average.output.weight, one.average.output.weight)
    assert two.images == 0
