"""A seeded part of the fuzz benchmark, which runs in full as ``python benchmarks/fuzz_ingest.py``."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# Workers import the script by name; last, because tests/ingest is called as benchmarks/ingest.py is.
sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import fuzz_ingest
from fuzzing.corpus import READERS

from medsyn.ingest import isolation

CASES = 2200


def test_no_spoilt_file_crashes_hangs_or_bloats_a_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "SILENCE", 60.0)  # of a loaded machine
    *_, found = fuzz_ingest.fuzz(CASES, seed=1, real=None)
    assert found["cases"] == CASES
    scans = set(READERS) - {"labels"}
    assert {reader: row["crashes"] + row["large"] + row["hangs"] for reader, row in found["readers"].items()} == {
        reader: [] for reader in scans
    }
    assert not any("timed_out" in row["outcomes"] for row in found["readers"].values())
    # Cases that all fail, or all pass, would try nothing.
    for reader in scans - {"dicomdir"}:
        outcomes = found["readers"][reader]["outcomes"]
        assert outcomes["ingested"] > 0
        assert len(outcomes) > 4


def test_no_spoilt_table_of_labels_ends_in_more_than_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "SILENCE", 60.0)
    *_, found = fuzz_ingest.fuzz(1000, seed=1, real=None, only="labels")
    row = found["readers"]["labels"]
    assert row["crashes"] + row["large"] + row["hangs"] == []
    assert row["outcomes"]["ingested"] > 100
    assert len(row["outcomes"]) > 10


def test_a_case_is_the_same_file_each_time() -> None:
    job = fuzz_ingest.Job(3, None, "")
    first = [fuzz_ingest.spoilt(job, n) for n in range(22)]
    assert first == [fuzz_ingest.spoilt(job, n) for n in range(22)]
    assert len(set(first)) == 22
