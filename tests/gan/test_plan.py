import pytest

from medsyn.gan.plan import MIN_STEPS, steps_and_checks


def test_images_are_rounded_up_to_whole_steps() -> None:
    assert steps_and_checks("1kimg", 64, 0, 0, 0) == (16, 1)


def test_time_is_shared_between_steps_and_checks() -> None:
    steps, checks = steps_and_checks("100s", 64, spent=9, step_seconds=0.01, check_seconds=1)
    assert checks == 9
    assert steps * 0.01 + checks * 1 + 9 + 1 == pytest.approx(100, abs=0.1)


def test_a_budget_that_is_already_gone_still_trains_a_little() -> None:
    assert steps_and_checks("1s", 64, spent=20, step_seconds=0.01, check_seconds=2) == (MIN_STEPS, 1)
