"""Trying spoilt files one after the other in worker processes: what crashed, hung, or took too much memory."""

from __future__ import annotations

import json
import platform
import re
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import medsyn
from medsyn.errors import MedsynError
from medsyn.ingest import isolation
from medsyn.ingest.source import Refused, quiet

RESULTS = Path(__file__).resolve().parents[1] / "results"
SLOW = 10.0
MAX_RSS = 2**30
ADDRESS_SPACE = 2**33
CHUNK = 50
LONGEST_LINE = 3000


@dataclass(frozen=True)
class Case:
    """One spoilt file, as `isolation` wants its leaves."""

    number: int
    refused: Refused | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of a case: reasons of its inputs, seconds, and peak resident bytes of its worker so far."""

    number: int
    reader: str
    reasons: tuple[str, ...]
    seconds: float
    rss: int


def try_cases(
    cases: list[Case], reader_of: Callable[[int], str], attempt: Callable[[int], Iterable[str]]
) -> list[Outcome]:
    """Run some cases in this process.

    Args:
        cases: Which.
        reader_of: Number of a case -> which reader it is for.
        attempt: Number of a case -> reasons of what came of it.
    """
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, resource.getrlimit(resource.RLIMIT_AS)[1]))
    with quiet():
        return [_try(case, reader_of(case.number), attempt) for case in cases]


def _try(case: Case, reader: str, attempt: Callable[[int], Iterable[str]]) -> Outcome:
    if case.refused:
        return Outcome(case.number, reader, (case.refused.reason,), 0.0, 0)
    isolation.at(case.number)
    start = time.perf_counter()
    try:
        reasons = tuple(attempt(case.number))
    except Exception as error:
        reasons = (f"escaped {type(error).__name__}",)
    return Outcome(case.number, reader, reasons, time.perf_counter() - start, _peak())


def told(error: MedsynError) -> str:
    """An error as a reason: which check it was, unless it is not one printable line."""
    line = error.line()
    if not line.isprintable() or len(line) > LONGEST_LINE:
        return "escaped line"
    # Without what it quotes and counts, the sentence tells which check it was.
    return " ".join(re.sub(r"\d+|'.*'|[:;(].*", "", error.what, flags=re.DOTALL).split())


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def counts(attempts: Callable[[list[Case]], list[Outcome]], numbers: range, workers: int) -> Iterator[dict[str, Any]]:
    """Try cases in worker processes.

    Args:
        attempts: Runs some of them in a worker; it can be pickled.
        numbers: Of the cases.
        workers: Processes.

    Yields:
        After every chunk, the counts so far, with the numbers of all cases that crashed, hung, took more than 10 s or
        more than 1 GiB.
    """
    table: dict[str, dict[str, Any]] = {}
    with isolation.workers(workers) as mapper:
        chunks = ([Case(n) for n in numbers[i : i + CHUNK]] for i in range(0, len(numbers), CHUNK))
        for outcomes in mapper(attempts, chunks):
            for outcome in outcomes:
                _enter(table, outcome)
            yield {"cases": sum(row["cases"] for row in table.values()), **_totals(table), "readers": table}


def keep(found: Iterator[dict[str, Any]], name: str) -> None:
    """Write the counts to the results now and then, and print them at the end."""
    isolation.SILENCE = SLOW
    start, file = time.perf_counter(), RESULTS / f"{name}.json"
    for row in found:
        row["seconds"] = round(time.perf_counter() - start, 1)
        row["versions"] = {"medsyn": medsyn.__version__, "python": platform.python_version()}
        file.write_text(json.dumps(row, indent=2) + "\n", encoding="utf-8")
    print(file.read_text(encoding="utf-8"))


def _enter(table: dict[str, dict[str, Any]], outcome: Outcome) -> None:
    empty = {"cases": 0, "crashes": [], "hangs": [], "large": [], "slowest_s": 0.0, "peak_rss_mib": 0}
    row = table.setdefault(outcome.reader, {**empty, "outcomes": Counter()})
    row["cases"] += 1
    row["outcomes"].update(outcome.reasons)
    if outcome.seconds > row["slowest_s"]:
        row["slowest_s"], row["slowest_case"] = round(outcome.seconds, 2), outcome.number
    row["peak_rss_mib"] = max(row["peak_rss_mib"], outcome.rss >> 20)
    crashed = any(reason == "crashed" or reason.startswith("escaped") for reason in outcome.reasons)
    for name, true in (
        ("crashes", crashed),
        ("hangs", "timed_out" in outcome.reasons or outcome.seconds > SLOW),
        ("large", outcome.rss > MAX_RSS),
    ):
        if true:
            row[name].append(outcome.number)


def _totals(table: dict[str, dict[str, Any]]) -> dict[str, Any]:
    counts = {name: sum(len(row[name]) for row in table.values()) for name in ("crashes", "hangs", "large")}
    most = {name: max(row[name] for row in table.values()) for name in ("slowest_s", "peak_rss_mib")}
    return {**counts, **most}
