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
import os
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from fuzzing import corpus, harness
from fuzzing.harness import Case, Outcome
from fuzzing.mutations import mutate
from real_data import REAL_DATA

from medsyn.compute import numpy_rng
from medsyn.config import IngestOptions, load_preset
from medsyn.errors import DataError, UsageError
from medsyn.ingest import reading, scan
from medsyn.ingest.deidentify import keyed
from medsyn.ingest.labels import LabelSource
from medsyn.ingest.scan import Input
from medsyn.ingest.source import LookFor, Probe, Recipe

ROOT = Path(__file__).parent.parent
SHARES = ("dicom", "dicom", "dicom", "nifti", "nifti", "raster", "raster", "raster", "npz", "zip", "dicomdir")
KEY = b"fuzz"


@dataclass(frozen=True)
class Job:
    """What a worker needs to make and try cases."""

    seed: int
    real: str | None
    folder: str
    only: str | None = None


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
    return harness.try_cases(cases, partial(reader_of, job), partial(_try, job=job))


def _try(number: int, job: Job) -> Iterator[str]:
    # Readers must go by content. The name matters where the whole file is named: a DICOMDIR, an archive.
    path = Path(job.folder, f"{os.getpid()}")
    path.write_bytes(spoilt(job, number))
    if reader_of(job, number) == "labels":
        yield _join(path, number)
    else:
        yield from _ingest(str(path), number)


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
        return harness.told(error)
    return "ingested" if joined.rows else "nothing joined"


@lru_cache(maxsize=1)
def _corpus(real: str | None) -> dict[str, list[bytes]]:
    return corpus.corpus(Path(real) if real else None)


def fuzz(
    cases: int, seed: int, real: Path | None, workers: int = 1, first: int = 0, only: str | None = None
) -> Iterator[dict[str, Any]]:
    """Try cases in worker processes, of all readers of scans or of one reader; see `harness.counts`."""
    with tempfile.TemporaryDirectory() as folder:
        job = Job(seed, str(real) if real else None, folder, only)
        for found in harness.counts(partial(try_cases, job=job), range(first, first + cases), workers):
            yield {"cases": found.pop("cases"), "seed": seed, "real": real is not None, **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first case, to repeat one")
    parser.add_argument("--only", choices=corpus.READERS, help="one reader")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--data", type=Path, default=REAL_DATA)
    parser.add_argument("--keep", type=Path, help="write the file of the first case here, and try nothing")
    options = parser.parse_args()

    real = options.data if options.data.is_dir() else None
    if options.keep:
        job = Job(options.seed, str(real) if real else None, "", options.only)
        options.keep.write_bytes(spoilt(job, options.first))
        return
    counts = fuzz(options.cases, options.seed, real, options.workers, options.first, options.only)
    harness.keep(counts, f"fuzz_{options.only or 'ingest'}")


if __name__ == "__main__":
    main()
