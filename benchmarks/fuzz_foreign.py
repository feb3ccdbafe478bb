"""Does any spoilt file of options, synthetic set, checkpoint, split or answers end in more than one line?

    python benchmarks/fuzz_foreign.py --cases 20000 --seed 0
    python benchmarks/fuzz_foreign.py --only weights --cases 5000
    python benchmarks/fuzz_foreign.py --only split --cases 5000

Case k of a seed is always the same file: a sound one, made on the fly, spoilt in one to three ways (`fuzzing`), beside
files that fit it. Pipelines and presets are loaded; of a synthetic set, card, manifest and images are read as
`evaluate`, `load_synthetic` and `verify` read them; a checkpoint is loaded and makes two images, and where its weights
are spoilt, config.json has their new digest. A split is read against a dataset as by `evaluate --split`, a table of
another tool's images as by `--synthetic-labels`, participants.tsv as by `ingest`, and answers of a reader are scored.
What is wrong must end in one line for the user. Anything else counts as a crash, and nothing within 10 s as a hang.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from fuzzing import harness
from fuzzing.harness import Case, Outcome
from fuzzing.mutations import mutate

from medsyn.compute import numpy_rng
from medsyn.errors import MedsynError

TARGETS = (
    *("pipeline", "preset", "card", "manifest", "images", "config", "weights"),
    *("split", "synthetic-labels", "participants", "answers"),
)


@dataclass(frozen=True)
class Job:
    """What a worker needs to make and try cases."""

    seed: int
    folder: str
    only: str | None = None


def target_of(job: Job, number: int) -> str:
    """Which file a case spoils."""
    return job.only or TARGETS[number % len(TARGETS)]


def spoilt(job: Job, number: int) -> bytes:
    """The file of a case."""
    target, rng = target_of(job, number), numpy_rng("fuzz-foreign", job.seed, number)
    sound = _corpus()[target]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mutate(target, sound[number // len(TARGETS) % len(sound)], sound, rng)


def try_cases(cases: list[Case], job: Job) -> list[Outcome]:
    """Run some cases in this process."""
    _corpus()  # which takes longer than a case may
    return harness.try_cases(cases, partial(target_of, job), partial(_try, job=job))


def _try(number: int, job: Job) -> Iterator[str]:
    from fuzzing import foreign  # torch, in workers alone

    folder, target = Path(job.folder, f"{os.getpid()}"), target_of(job, number)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    foreign.write(target, spoilt(job, number), _corpus(), number // len(TARGETS), folder)
    try:
        foreign.READ[target](folder)
    except MedsynError as error:
        yield harness.told(error)
    else:
        yield "read"


@lru_cache(maxsize=1)
def _corpus() -> dict[str, list[bytes]]:
    from fuzzing import foreign

    return foreign.corpus()


def fuzz(cases: int, seed: int, workers: int = 1, first: int = 0, only: str | None = None) -> Iterator[dict[str, Any]]:
    """Try cases in worker processes; see `harness.counts`."""
    with tempfile.TemporaryDirectory() as folder:
        job = Job(seed, folder, only)
        for found in harness.counts(partial(try_cases, job=job), range(first, first + cases), workers):
            yield {"cases": found.pop("cases"), "seed": seed, **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first case, to repeat one")
    parser.add_argument("--only", choices=TARGETS, help="one kind of file")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="write the file of the first case here, and try nothing")
    options = parser.parse_args()

    if options.keep:
        options.keep.write_bytes(spoilt(Job(options.seed, "", options.only), options.first))
        return
    counts = fuzz(options.cases, options.seed, options.workers, options.first, options.only)
    harness.keep(counts, "fuzz_foreign" + (f"_{options.only}" if options.only else ""))


if __name__ == "__main__":
    main()
