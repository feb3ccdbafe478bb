"""Help is quick to come and shows how to use the thing."""

from __future__ import annotations

import subprocess
import sys

import pytest
from commands import environment

COMMANDS = [
    [],
    ["ingest"],
    ["train-gan"],
    ["augment"],
    ["verify"],
    ["evaluate"],
    ["inspect"],
    ["explore"],
    ["reader-study"],
    ["compare"],
    ["send"],
    ["deliver"],
    ["run"],
    ["demo"],
    ["doctor"],
    ["status"],
    ["gc"],
    ["models"],
    ["models", "list"],
    ["models", "promote"],
    ["models", "export"],
]
PROBE = """
import sys
from typer.testing import CliRunner
from medsyn.cli import app
result = CliRunner().invoke(app, [*sys.argv[1:], "--help"])
assert result.exit_code == 0, result.output
assert "Example: medsyn" in result.output, result.output
heavy = {"torch", "monai", "mlflow", "sklearn", "pandas", "numpy", "matplotlib", "requests", "medsyn.config", "yaml"}
heavy &= set(sys.modules)
assert not heavy, heavy
"""


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: " ".join(c) or "medsyn")
def test_help_shows_an_example_and_imports_nothing_heavy(command):
    done = subprocess.run([sys.executable, "-c", PROBE, *command], env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_importing_medsyn_and_its_names_is_lazy():
    code = "import sys, medsyn; assert not {'torch', 'monai', 'mlflow', 'numpy'} & set(sys.modules); medsyn.Workspace"
    assert subprocess.run([sys.executable, "-c", code], env=environment()).returncode == 0


def test_ingest_does_not_import_torch():
    code = "import sys, medsyn.ingest.stage; assert not {'torch', 'monai', 'mlflow'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=environment()).returncode == 0
