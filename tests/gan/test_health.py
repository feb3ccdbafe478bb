import numpy as np
import pytest

from medsyn.gan.health import collapsed, diverged
from medsyn.gan.trainer import StepLosses


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_is_named(bad: float) -> None:
    assert "diverged" in (diverged(StepLosses(0.7, bad, 0.1, 0.0)) or "")
    assert diverged(StepLosses(0.7, 0.7, 0.1, 0.0)) is None


def test_the_collapsed_class_is_named() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 50)
    real, fake = rng.normal(size=(100, 8)), rng.normal(size=(100, 8))
    assert collapsed(real, labels, fake, labels, ["a", "b"]) is None
    fake[labels == 1] = fake[labels == 1][0] + 0.01 * fake[labels == 1]
    assert "'b'" in (collapsed(real, labels, fake, labels, ["a", "b"]) or "")
