"""A seeded part of the fuzz benchmark of what others send, which runs in full as ``benchmarks/fuzz_foreign.py``."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# Workers import the script by name; last, because tests/ingest is called as benchmarks/ingest.py is.
sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

import fuzz_foreign
from fuzzing import harness

from medsyn.ingest import isolation

CASES = 100 * len(fuzz_foreign.TARGETS)


def test_no_spoilt_file_of_another_ends_in_more_than_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((isolation, "SILENCE"), (harness, "SLOW")):
        monkeypatch.setattr(module, name, 60.0)  # of a loaded machine
    *_, found = fuzz_foreign.fuzz(CASES, seed=1)
    assert found["cases"] == CASES
    wrong = {name: row["crashes"] + row["hangs"] + row["large"] for name, row in found["readers"].items()}
    assert wrong == {name: [] for name in fuzz_foreign.TARGETS}
    outcomes = {name: row["outcomes"] for name, row in found["readers"].items()}
    # Cases that all fail, or all pass, would try nothing; a config.json must fit the weights' digest.
    assert {name for name, ended in outcomes.items() if not ended["read"]} <= {"config"}
    assert all(len(ended) > 1 for ended in outcomes.values())
    # Of bytes alone a reader says that it cannot read them, and no more.
    assert {name for name, ended in outcomes.items() if len(ended) <= 4} <= {"images", "weights"}


def test_a_case_is_the_same_file_each_time() -> None:
    job = fuzz_foreign.Job(3, "")
    numbers = range(3 * len(fuzz_foreign.TARGETS))
    first = [fuzz_foreign.spoilt(job, n) for n in numbers]
    assert first == [fuzz_foreign.spoilt(job, n) for n in numbers]
    assert len(set(first)) > len(numbers) - 3
