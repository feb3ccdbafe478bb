"""What the command line says of its options is what their models hold."""

from __future__ import annotations

from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from medsyn.cli import app
from medsyn.cli.guard import TYPED, option
from medsyn.config import STAGES

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
DERIVED = {"primary"}
"""Its default is the first classifier, and the help says so."""


def shown(value: object) -> str:
    """A default as a user would type it."""
    if isinstance(value, list):
        return ",".join(map(shown, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


@pytest.mark.parametrize("stage", STAGES)
def test_help_tells_the_defaults(stage: str) -> None:
    fields, told = STAGES[stage].model_fields, 0
    for parameter in COMMANDS[stage].params:
        default = fields[parameter.name].default if parameter.name in fields else None
        if isinstance(default, str | int | float | list) and default is not False and default != []:
            expected = "default: the first" if parameter.name in DERIVED else f"default: {shown(default)}."
            assert expected in parameter.help, parameter.name
            told += 1
    assert told > 4


@pytest.mark.parametrize("stage", STAGES)
def test_arguments_are_told_as_they_are_typed(stage: str) -> None:
    for parameter in COMMANDS[stage].params:
        if parameter.name in STAGES[stage].model_fields:
            typed = TYPED.get(parameter.name, option(parameter.name))
            assert typed in parameter.opts or typed.lower() in parameter.opts, parameter.name


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["augment", "--format", "gif"], "medsyn augment: --format: Input should be 'png', 'dicom', 'nifti' or 'npz'"),
        (["augment", "--max-tries", "0"], "medsyn augment: --max-tries: Input should be greater than or equal to 1"),
        (["evaluate", "--ratio", "-1"], "medsyn evaluate: --ratio"),
    ],
)
def test_a_wrong_value_is_told_with_what_was_typed(arguments: list[str], says: str) -> None:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert says in " ".join(done.output.split())
