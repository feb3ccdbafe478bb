from pathlib import Path

import pytest
import torch

from medsyn.compute import bfloat16_is_native
from medsyn.config import TrainOptions
from medsyn.gan import building
from medsyn.gan.building import draft
from medsyn.gan.distributed import World
from medsyn.gan.material import Material
from medsyn.gan.plan import MIN_STEPS, PRIOR_STEPS, prior_steps, steps_and_checks
from medsyn.gan.recipes import recipe

CPU = torch.device("cpu")


def test_a_flow_takes_a_tenth_of_the_budget_and_images_enough() -> None:
    assert prior_steps("2m", 500) == 1440
    assert prior_steps("2h", 500) == PRIOR_STEPS
    assert prior_steps("20kimg", 500) == 2000
    assert prior_steps("2h", 499) == 0


def test_images_are_rounded_up_to_whole_steps() -> None:
    assert steps_and_checks("1kimg", 64, 0, 0, 0) == (16, 1)


def test_time_is_shared_between_steps_and_checks() -> None:
    steps, checks = steps_and_checks("100s", 64, spent=9, step_seconds=0.01, check_seconds=1)
    assert checks == 9
    assert steps * 0.01 + checks * 1 + 9 + 1 == pytest.approx(100, abs=0.1)


def test_a_budget_that_is_already_gone_still_trains_a_little() -> None:
    assert steps_and_checks("1s", 64, spent=20, step_seconds=0.01, check_seconds=2) == (MIN_STEPS, 1)


@pytest.mark.parametrize(
    ("told", "native"),
    [
        ({"avx512_bf16": True}, True),
        ({"avx512_bf16": False, "amx_bf16": True}, True),
        ({"avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, False),
        ({"neon": True}, False),
    ],
)
def test_auto_is_bfloat16_where_the_processor_computes_in_it(
    told: dict[str, bool], native: bool, toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told, raising=False)
    assert bfloat16_is_native(CPU) is native
    material = Material.open(toy)
    auto = draft(TrainOptions(), material, World(), None)
    assert auto.precision == ("bfloat16" if native else "float32")
    for asked in ("float32", "bfloat16"):
        assert draft(TrainOptions(precision=asked), material, World(), None).precision == asked


def test_few_images_are_varied_and_shown_a_few_at_a_time(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    material = Material.open(toy)
    tiny = draft(TrainOptions(), material, World(), None)
    assert (tiny.batch, tiny.varied) == (32, 0.0)
    monkeypatch.setattr(building, "VARYING_PAYS", material.dataset.image_shape[-1])
    few = draft(TrainOptions(), material, World(), None)
    assert (few.batch, few.varied, few.prior_steps) == (16, 1.0, 0)
    assert draft(TrainOptions(knobs={"prior_steps": 700}), material, World(), None).prior_steps == 700
    assert draft(TrainOptions(batch=8), material, World(), None).batch == 8
    assert draft(TrainOptions(knobs={"varied": 0.5}), material, World(), None).varied == 0.5
    pixels = draft(TrainOptions(recipe="r3gan"), material, World(), None)
    assert (pixels.batch, pixels.varied) == (32, 0.0)
    monkeypatch.setattr(building, "FEW_IMAGES", len(material.train))
    many = draft(TrainOptions(), material, World(), None)
    assert (many.batch, many.varied) == (32, 0.0)


def test_large_images_are_learnt_more_gently_unless_a_knob_says_otherwise(
    toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    material = Material.open(toy)
    small = draft(TrainOptions(), material, World(), None)
    monkeypatch.setattr(recipe, "LARGE", material.dataset.image_shape[-1])
    large = draft(TrainOptions(), material, World(), None)
    assert large.learning_rate < small.learning_rate
    assert large.gamma > small.gamma
    assert draft(TrainOptions(knobs={"gamma": 0.2}), material, World(), None).gamma == 0.2


def test_storing_bfloat16_is_not_computing_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert not bfloat16_is_native(torch.device("cuda"))
    assert not bfloat16_is_native(torch.device("mps"))
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not bfloat16_is_native(CPU)
