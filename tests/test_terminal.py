"""What a result looks like in a terminal."""

from pathlib import Path

import pytest

from medsyn import terminal
from medsyn.gan import TrainResult

RESULT = {
    "path": Path("xray-001"),
    "name": "xray-001",
    "modality": "xray",
    "kimg": 2.0,
    "seconds": 84.0,
    "health": [],
    "grid": Path("chosen.png"),
    "card": Path("card.md"),
    "registered": None,
    "mlflow_run": None,
    "resumed": False,
}


@pytest.mark.parametrize("closed_form", [False, True])
@pytest.mark.parametrize("coverage", [0.02, 0.6])
def test_a_training_says_what_is_kept_and_whether_it_is_of_use(closed_form: bool, coverage: float) -> None:
    result = TrainResult(**RESULT, closed_form=closed_form, monitor={"kid": 1.5, "coverage": coverage})
    with terminal.out.capture() as out, terminal.err.capture() as err:
        terminal.show("train-gan", result)
    assert "2.0 kimg in 84 s" in out.get()
    assert ("mixture of Gaussians" in out.get()) is closed_form
    assert ("Hardly any image of tune" in out.get() + err.get()) is (coverage < 0.05)
