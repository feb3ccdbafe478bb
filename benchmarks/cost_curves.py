"""What do the four stages cost as data grows: time, memory, disk; and what would a hundred million images cost?

    python benchmarks/cost_curves.py --sizes 1000 10000 100000 1000000
    python benchmarks/cost_curves.py --sizes 1000 10000 --stages ingest augment

Tiny images (16 x 16 pixels, a faint disc in one class of two, noise of low frequency), each of a patient of its own. A
stage is the command that a user types, in a process of its own; a training's budget does not grow with the data, so
what grows is what it reads, and an evaluation's trainings are kept short for the same reason. Memory is the largest
resident set of any one of its processes. The model of the extrapolation is a fixed cost and one an image, neither
negative, with the least relative errors at the sizes measured; to the time of `augment` and `evaluate`, which compare
synthetic images with training images, comes what `copy_search.py` measured for a pair.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import zoom
from scipy.optimize import nnls

from medsyn import compute

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "benchmarks" / "results" / "cost_curves.json"
SEARCH = ROOT / "benchmarks" / "results" / "copy_search.json"
SIDE = 16
FAR = 10**8
PAIRS = ("augment", "evaluate")
"""Stages that compare synthetic images with training images."""
LIMITS = {"seconds": 7 * 86400.0, "peak_mib": 24 * 1024.0, "disk_mb": 1e6}
"""Where a stage breaks: a week, 24 GiB in one process, a terabyte of its own."""
STAGES = {
    "ingest": ["{scans}", "--modality", "xray", "--size", SIDE],
    "train-gan": ["--budget", "2kimg"],
    "augment": ["--n", "{n}", "--keep-all", "--format", "npz", "--yes"],
    "evaluate": ["--seeds", 2, "--steps", 20, "--ratio", 1, "--classical", "without", "--bootstrap", 100],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--keep", action="store_true", help="Keep other sizes from the result that is there.")
    options = parser.parse_args()
    rows = json.loads(RESULT.read_text(encoding="utf-8"))["measured"] if options.keep and RESULT.exists() else []
    for n in sorted(options.sizes):
        rows = [row for row in rows if row["n"] != n or row["stage"] not in options.stages]
        with tempfile.TemporaryDirectory() as folder:
            for row in curve(Path(folder), n, options.stages):
                rows.append(row)
                print(json.dumps(row), flush=True)
        record(sorted(rows, key=lambda row: row["n"]))


def record(rows: list[dict[str, Any]]) -> None:
    """Write what is known, with the commands that measure it all."""
    stages = list(dict.fromkeys(row["stage"] for row in rows))
    found = {
        "command": " && ".join(commands(rows)),
        "machine": f"{platform.machine()}, {compute.cores()} cores, no GPU",
        "seed": 0,
        "side": SIDE,
        "measured": rows,
        "far": {"n": FAR, "stages": {stage: far for stage in stages if (far := extrapolated(rows, stage))}},
    }
    RESULT.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def commands(rows: list[dict[str, Any]]) -> Iterator[str]:
    """One command for all sizes at which the same stages were measured."""
    sizes: dict[tuple[str, ...], list[int]] = {}
    for n in dict.fromkeys(row["n"] for row in rows):
        sizes.setdefault(tuple(row["stage"] for row in rows if row["n"] == n), []).append(n)
    for number, (stages, measured) in enumerate(sizes.items()):
        words = ["python benchmarks/cost_curves.py --sizes", *map(str, measured)]
        words += [] if len(stages) == len(STAGES) else ["--stages", *stages]
        yield " ".join(words + ["--keep"] * (number > 0))


def curve(folder: Path, n: int, stages: list[str]) -> list[dict[str, Any]]:
    """Every stage at one size."""
    scans, workspace = folder / "scans.npz", folder / "workspace"
    images(scans, n)
    rows = []
    for stage in stages:
        before = size(workspace)
        given = [str(word).format(scans=scans, n=n) for word in STAGES[stage]]
        seconds, peak = timed([sys.executable, "-m", "medsyn", "--quiet", stage, *given, "-w", str(workspace)])
        rows.append(
            {
                "stage": stage,
                "n": n,
                "seconds": round(seconds, 2),
                "peak_mib": peak,
                "disk_mb": round((size(workspace) - before) / 1e6, 2),
            }
        )
    shutil.rmtree(workspace)
    return rows


def images(file: Path, n: int, block: int = 100_000) -> None:
    """A labelled npz in MedMNIST's layout."""
    rng, parts = np.random.default_rng(0), []
    labels = np.arange(n, dtype=np.uint8) % 2
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    disc = 40 * (np.hypot(y, x) < SIDE / 4)
    for start in range(0, n, block):
        here = labels[start : start + block]
        coarse = rng.normal(110, 30, (len(here), 4, 4)).astype(np.float32)
        smooth = zoom(coarse, (1, SIDE / 4, SIDE / 4), order=1) + rng.normal(0, 6, (len(here), SIDE, SIDE))
        parts.append(np.clip(smooth + disc * here[:, None, None], 0, 255).astype(np.uint8))
    pixels, at = np.concatenate(parts), np.array([0.7, 0.8]) * n
    cuts = zip(("train", "val", "test"), np.split(np.arange(n), at.astype(int)), strict=True)
    content = {}
    for split, rows in cuts:
        content |= {f"{split}_images": pixels[rows], f"{split}_labels": labels[rows, None]}
    np.savez(file, **content)


def timed(command: list[str]) -> tuple[float, int]:
    """Wall-clock seconds of a command, and the peak of its largest process in MiB."""
    begun = time.monotonic()
    pid = os.posix_spawn(command[0], command, os.environ)
    _, status, used = os.wait4(pid, 0)
    if status:
        raise SystemExit(f"exit code {os.waitstatus_to_exitcode(status)}: {' '.join(command)}")
    return time.monotonic() - begun, used.ru_maxrss // 1024


def size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def extrapolated(rows: list[dict[str, Any]], stage: str) -> dict[str, Any] | None:
    """What a stage would cost at `FAR` images, and at how many images it would reach a limit."""
    own = [row for row in rows if row["stage"] == stage]
    if len(own) < 2:
        return None
    found: dict[str, Any] = {}
    for cost, limit in LIMITS.items():
        n, costs = (np.array([row[key] for row in own], float) for key in ("n", cost))
        pair = a_pair() if cost == "seconds" and stage in PAIRS else 0.0
        once, each = nnls(np.stack([1 / costs, n / costs], 1), 1 - pair * n**2 / costs)[0]
        terms = np.array([once, each, pair])
        errors = (once + each * n + pair * n**2) / costs - 1
        found[cost] = {
            "far": float(f"{terms @ [1, FAR, FAR**2]:.3g}"),
            "each": [float(f"{term:.3g}") for term in terms],
            "relative_error": round(float(np.sqrt(np.mean(errors**2))), 3),
            "reached_at": reached(terms, limit),
        }
    return found


def a_pair() -> float:
    """Seconds that n synthetic images and the 0.7 n training images of n cost beyond n of each, over n squared."""
    small, large = json.loads(SEARCH.read_text(encoding="utf-8"))["measured"][-2:]
    return 0.7e-3 * (large["shortlist_ms"] - small["shortlist_ms"]) / (large["references"] - small["references"])


def reached(terms: np.ndarray, limit: float) -> float | None:
    """Images at which a cost reaches a limit, to two digits; None: not below a million times `FAR`."""
    fixed, each, pair = (float(term) for term in terms)
    if pair > 0:
        n = (np.sqrt(each**2 + 4 * pair * max(limit - fixed, 0)) - each) / (2 * pair)
    else:
        n = max(limit - fixed, 0) / each if each > 0 else np.inf
    return float(f"{n:.2g}") if n < 1e6 * FAR else None


if __name__ == "__main__":
    main()
