"""Generators trained at equal time on the same split, judged on subjects that none of them saw.

Reads the folder of real scans (CONTRIBUTING.md). Every arm runs in a process of its own. Writes
benchmarks/results/generators.json, merged with what is there, docs/pages/figures/generators_*.png, and beside the
arms in the kept folder the same picture with the real scans.

    python benchmarks/generators.py --keep <folder>
    python benchmarks/generators.py --sets pneumoniamnist --train 300 --budget 5m --keep <folder>
    python benchmarks/generators.py --sets mri --arms latent-r3gan ddpm --seeds 0 --budget 2m
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
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from generators_arms import ARMS, DEFAULT_RECIPE, GENERATING, TITLES, Job, make
from generators_measures import FLOOR, Ruler, bars
from generators_page import bar_lines, save_grid, table
from generators_sets import SETS, Split, split
from real_data import REAL_DATA

from medsyn import compute
from medsyn.config import parse_budget
from medsyn.metrics.features import FeatureExtractor
from medsyn.workspace import read_json, write_json

ROOT = Path(__file__).resolve().parents[1]


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    if not options.data.is_dir():
        sys.exit(f"no real scans at {options.data}: set MEDSYN_TEST_DATA")
    # Of the processes that arms run in, also for linear algebra outside torch.
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    compute.device("cpu", options.threads)
    with tempfile.TemporaryDirectory() as folder:
        keep = options.keep or Path(folder)
        for name in options.sets:
            entry = measure_set(name, options, keep)
            found = merged(options.out, entry, options.judge)
            print(f"\n{found['title']}, {found['side']} px\n{table(found)}\n")
            print("\n".join(bar_lines(found)), flush=True)


def measure_set(name: str, options: argparse.Namespace, keep: Path) -> dict[str, Any]:
    """All arms and seeds that were asked for on one set: an entry of generators.json without its bars."""
    spec = SETS[name]
    side, budget = options.side or spec.side, options.budget or spec.budget
    scans, extract = spec.read(options.data, side), FeatureExtractor()
    label = f"{name}-{side}px" + (f"-{options.train}" if options.train else "")
    settings = f"{label}-{budget}-{options.threads}t"
    entry: dict[str, Any] = {
        "set": name,
        "title": spec.title,
        "side": side,
        "train": options.train,
        "budget": budget,
        "threads": options.threads,
        "classes": list(spec.classes),
        "credit": spec.credit,
        "machine": f"{platform.machine()}, {compute.cores()} cores, no GPU",
        "command": " ".join(["python benchmarks/generators.py", *_told(name, options)]),
        "figure": f"generators_{label}.png",
        FLOOR: {},
        "arms": {arm: {} for arm in options.arms},
    }
    for place, seed in enumerate(options.seeds):
        draw = split(spec, scans, seed, options.train)
        folder = keep / settings / f"seed{seed}"
        ruler = Ruler(draw, seed, extract)
        entry[FLOOR][str(seed)] = ruler.floor()
        for arm in options.arms:
            job = Job(
                *(draw.train, draw.classes, draw.modality), ruler.counts, seed, budget, options.threads, folder / arm
            )
            entry["arms"][arm][str(seed)] = _cell(arm, job, ruler, f"{label}, seed {seed}")
        if place == 0:
            _picture(draw, ruler, folder, options.figures / entry["figure"])
    return entry


def _cell(arm: str, job: Job, ruler: Ruler, where: str) -> dict[str, Any]:
    """One arm of one seed, or what an earlier run kept of it."""
    file = job.folder / "cell.json"
    if file.exists():
        return read_json(file)
    made_file = job.folder / "made.json"
    if not made_file.exists():
        shutil.rmtree(job.folder, ignore_errors=True)
        job.folder.mkdir(parents=True)
        print(f"{time.strftime('%H:%M:%S')} {where}: {arm}", flush=True)
        with ProcessPoolExecutor(1, get_context("spawn"), compute.begin_worker) as pool:
            write_json(made_file, pool.submit(make, arm, job).result())
    cell = read_json(made_file) | ruler.measure(np.load(job.folder / "images.npy"))
    write_json(file, cell)
    found = cell["scopes"]["all"]
    told = ", ".join(f"{name} {found[name]:.3g}" for name in ("kid", "fid", "precision", "recall", "coverage"))
    said = " ".join([f"{told}.", *cell["notes"].get("health", ()), cell["copying"]["sentence"]])
    print(f"{time.strftime('%H:%M:%S')} {where}: {arm}: {said}", flush=True)
    return cell


def merged(file: Path, entry: dict[str, Any], judged: str) -> dict[str, Any]:
    """Put one set into the file: arms and seeds measured with the same settings stay, and the bars are drawn anew."""
    sets = read_json(file)["sets"] if file.exists() else {}
    key = entry["figure"].removeprefix("generators_").removesuffix(".png")
    before = sets.get(key)
    same = ("budget", "threads", "classes", "machine")
    if before and all(before[name] == entry[name] for name in same):
        for arm, cells in before["arms"].items():
            entry["arms"][arm] = cells | entry["arms"].get(arm, {})
        entry[FLOOR] = before[FLOOR] | entry[FLOOR]
    entry["arms"] = {arm: entry["arms"][arm] for arm in ARMS if entry["arms"].get(arm)}
    entry |= {"judged": judged, "titles": TITLES}
    entry["bars"] = [bar._asdict() for bar in bars(entry, judged)]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"sets": sets | {key: entry}}, indent=1) + "\n", encoding="utf-8")
    return entry


def _picture(draw: Split, ruler: Ruler, folder: Path, path: Path) -> None:
    """Of every arm that has been run with these settings, now or earlier.

    Real scans are not ours to publish: the picture for the documentation holds none, the one beside the arms does.
    """
    rows = np.concatenate([np.flatnonzero(draw.held_out.labels == c)[:n] for c, n in enumerate(ruler.counts)])
    shown = {"real, held out": draw.held_out.images[rows]}
    for arm in ARMS:
        if (folder / arm / "cell.json").exists():
            shown[TITLES.get(arm, arm)] = np.load(folder / arm / "images.npy")
    labels = draw.held_out.labels[rows]
    save_grid(shown, labels, draw.classes, folder / "real_and_generated.png")
    public = {title: images for title, images in shown.items() if title in {TITLES.get(a, a) for a in GENERATING}}
    if public:
        save_grid(public, labels, draw.classes, path)


def _told(name: str, options: argparse.Namespace) -> list[str]:
    """The command line of one set, without what changes no figure."""
    given = {"side": options.side, "train": options.train, "budget": options.budget, "threads": options.threads}
    return ["--sets", name, *(f"--{key} {value}" for key, value in given.items() if value)]


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--side", type=int, help="of the images, default: 32 for pneumoniamnist, 64 for the others")
    parser.add_argument("--train", type=int, help="training images, default: all that are not held out")
    parser.add_argument("--budget", type=_budget, help="of each training, default: 10m at 32 px, 30m at 64 px")
    parser.add_argument("--threads", type=int, default=compute.cores())
    parser.add_argument("--judge", choices=ARMS, default=DEFAULT_RECIPE, help="the recipe that bars are for")
    parser.add_argument("--keep", type=Path, help="arms go here, and are taken from here; empty it when code changes")
    parser.add_argument("--data", type=Path, default=REAL_DATA)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "generators.json")
    parser.add_argument("--figures", type=Path, default=ROOT / "docs" / "pages" / "figures")
    return parser.parse_args(arguments)


def _budget(text: str) -> str:
    try:
        parse_budget(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


if __name__ == "__main__":
    main()
