"""What the benchmarks have found stands on the page as it was found, and each can be run again."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

# Last, because scripts are called as folders of tests are.
sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import page
import run_all

RESULTS = sorted(page.RESULTS.glob("*.json"))


def test_the_page_is_what_the_results_say() -> None:
    assert page.PAGE.read_text(encoding="utf-8") == page.text(), "run python benchmarks/page.py"


@pytest.mark.parametrize("file", RESULTS, ids=lambda file: file.stem)
def test_a_result_is_made_again_by_the_command_that_made_it(file: Path) -> None:
    script = file.stem if file.stem != "fuzz_labels" else "fuzz_ingest"
    assert any(command.startswith(f"{script}.py") for command in run_all.COMMANDS)
    told = json.loads(file.read_text(encoding="utf-8")).get("command")
    if told is not None and file.stem not in run_all.OTHERWISE:
        assert told.removeprefix("python benchmarks/") in run_all.COMMANDS


def test_what_is_run_is_there() -> None:
    for command in run_all.COMMANDS:
        assert (Path(run_all.__file__).parent / command.split()[0]).is_file(), command
