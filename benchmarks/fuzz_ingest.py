"""Does any spoilt file crash, hang or bloat a reader of `medsyn ingest`?

    python benchmarks/fuzz_ingest.py --cases 50000 --seed 0
    python benchmarks/fuzz_ingest.py --only labels --cases 5000      # tables of labels instead of scans

Case k of a seed is always the same file: a sound one (tiny ones of every kind made on the fly, and small real ones
where ``--data`` has them), spoilt in one to three ways (`fuzzing.mutations`). It goes through what a file of an ingest
goes through: finding, the first look, reading. A case counts as a crash where its worker process dies or an exception
gets past the reader's guards, as a hang where nothing came of it within 10 s. Address space of a worker is limited to
8 GiB; its resident memory is measured after every case.

A spoilt table of labels is opened and joined to some scans, with options drawn at random: whatever is wrong with it
must end in one line for the user, neither two nor endless, and without what steers a terminal.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from fuzzing import corpus
from fuzzing.mutations import mutate

import medsyn
from medsyn.compute import numpy_rng
from medsyn.config import IngestOptions, load_preset
from medsyn.errors import DataError, UsageError
from medsyn.ingest import isolation, reading, scan
from medsyn.ingest.deidentify import keyed
from medsyn.ingest.labels import LabelSource
from medsyn.ingest.scan import Input
from medsyn.ingest.source import LookFor, Probe, Recipe, Refused, quiet

ROOT = Path(__file__).parent.parent
SLOW = 10.0
MAX_RSS = 2**30
ADDRESS_SPACE = 2**33
SHARES = ("dicom", "dicom", "dicom", "nifti", "nifti", "raster", "raster", "raster", "npz", "zip", "dicomdir")
KEY = b"fuzz"
CHUNK = 50
LONGEST_LINE = 3000


@dataclass(frozen=True)
class Case:
    """One spoilt file, as `isolation` wants its leaves."""

    number: int
    refused: Refused | None = None


@dataclass(frozen=True)
class Job:
    """What a worker needs to make and try cases."""

    seed: int
    real: str | None
    folder: str
    only: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of a case: reasons of its inputs, seconds, and peak resident bytes of its worker so far."""

    number: int
    reader: str
    reasons: tuple[str, ...]
    seconds: float
    rss: int


def reader_of(job: Job, number: int) -> str:
    """Which reader a case is for."""
    return job.only or SHARES[number % len(SHARES)]


def spoilt(job: Job, number: int) -> bytes:
    """The file of a case."""
    reader, rng = reader_of(job, number), numpy_rng("fuzz", job.seed, number)
    sound = _corpus(job.real)[reader]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mutate(reader, sound[int(rng.integers(len(sound)))], sound, rng)


def try_cases(cases: list[Case], job: Job) -> list[Outcome]:
    """Run some cases in this process."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, resource.getrlimit(resource.RLIMIT_AS)[1]))
    with quiet():
        return [_try(case, job) for case in cases]


def _try(case: Case, job: Job) -> Outcome:
    reader = reader_of(job, case.number)
    if case.refused:
        return Outcome(case.number, reader, (case.refused.reason,), 0.0, 0)
    # Readers must go by content. The name matters where the whole file is named: a DICOMDIR, an archive.
    path = Path(job.folder, f"{os.getpid()}")
    path.write_bytes(spoilt(job, case.number))
    isolation.at(case.number)
    start = time.perf_counter()
    try:
        reasons = (_join(path, case.number),) if reader == "labels" else tuple(_ingest(str(path), case.number))
    except Exception as error:
        reasons = (f"escaped {type(error).__name__}",)
    return Outcome(case.number, reader, reasons, time.perf_counter() - start, _peak())


def _ingest(path: str, number: int) -> Iterator[str]:
    probes = scan.probe_chunk(list(scan.find([path])), LookFor(KEY))
    yield from (p.refused.reason for p in probes if p.refused)
    good = [p for p in probes if not p.refused]
    modality = ("xray", "mri", "ct", "ultrasound")[number // len(SHARES) % 4]
    preset = load_preset(modality)
    recipe = Recipe(KEY, preset, 32, hounsfield=modality == "ct", colour=modality == "ultrasound")
    groups = [reading.Group([p], "") for p in good]
    yield from (row.reason or row.outcome for result in reading.read_task(groups, recipe) for row in result.rows)


def _join(table: Path, number: int) -> str:
    rng = numpy_rng("fuzz-labels", number)
    options: dict[str, Any] = {"paths": ["/scans"], "labels": str(table)}
    for option, values in corpus.TABLE_OPTIONS.items():
        if rng.random() < 0.1:
            options[option] = values[int(rng.integers(len(values)))]
    inputs = [Input(n, f"/scans/{n}/im{n}.png", "/scans", f"{n}/im{n}.png") for n in range(1, 13)]
    names = [{kind: keyed(KEY, f"id-{kind}", f"{of}{i.number}") for kind, of in corpus.CASES} for i in inputs]
    probes = [Probe(i.number, i.path, kind="raster", names=n) for i, n in zip(inputs, names, strict=True)]
    try:
        joined = LabelSource.open(IngestOptions(**options)).join(inputs, probes, {p.number for p in probes}, KEY)
    except (DataError, UsageError) as error:
        line = error.line()
        if not line.isprintable() or len(line) > LONGEST_LINE:
            return "escaped line"
        # Without what it quotes and counts, the sentence tells which check it was.
        return " ".join(re.sub(r"\d+|'.*'|[:;(].*", "", error.what, flags=re.DOTALL).split())
    return "ingested" if joined.rows else "nothing joined"


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@lru_cache(maxsize=1)
def _corpus(real: str | None) -> dict[str, list[bytes]]:
    return corpus.corpus(Path(real) if real else None)


def fuzz(
    cases: int, seed: int, real: Path | None, workers: int = 1, first: int = 0, only: str | None = None
) -> Iterator[dict[str, Any]]:
    """Try cases in worker processes, of all readers of scans or of one reader.

    Yields:
        After every chunk, the counts so far, with the numbers of all cases that crashed, hung, took more than 10 s or
        more than 1 GiB.
    """
    table: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder, isolation.workers(workers) as mapper:
        job = Job(seed, str(real) if real else None, folder, only)
        numbers = range(first, first + cases)
        chunks = ([Case(n) for n in numbers[i : i + CHUNK]] for i in range(0, cases, CHUNK))
        for outcomes in mapper(partial(try_cases, job=job), chunks):
            for outcome in outcomes:
                _enter(table, outcome)
            done = sum(row["cases"] for row in table.values())
            yield {"cases": done, "seed": seed, "real": real is not None, **_totals(table), "readers": table}


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(os.environ.get("MEDSYN_TEST_DATA", ROOT.parent / "shared" / "datasets"))
    parser.add_argument("--cases", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first case, to repeat one")
    parser.add_argument("--only", choices=corpus.READERS, help="one reader")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--keep", type=Path, help="write the file of the first case here, and try nothing")
    options = parser.parse_args()

    real = options.data if options.data.is_dir() else None
    if options.keep:
        job = Job(options.seed, str(real) if real else None, "", options.only)
        options.keep.write_bytes(spoilt(job, options.first))
        return
    isolation.SILENCE = SLOW
    start = time.perf_counter()
    name = f"fuzz_{options.only or 'ingest'}.json"
    for found in fuzz(options.cases, options.seed, real, options.workers, options.first, options.only):
        if found["cases"] % 1000 == 0 or found["cases"] == options.cases:
            found["seconds"] = round(time.perf_counter() - start, 1)
            found["versions"] = {"medsyn": medsyn.__version__, "python": platform.python_version()}
            file = ROOT / "benchmarks" / "results" / name
            file.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(file.read_text())


if __name__ == "__main__":
    main()
