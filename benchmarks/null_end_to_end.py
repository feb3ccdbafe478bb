"""False verdicts of the whole comparison where nothing can help: both arms repeat the same real images.

    python benchmarks/null_end_to_end.py

Each run draws other subjects from PneumoniaMNIST (training, val and test), offers a random half of the training films
once more as the "synthetic" set, and lets `evaluate`'s own engine choose and compare arms of `probe` without
classical augmentation. The control is the one that duplicates as many real films, drawn at random in every repeat: the
two arms differ by the luck of the draw alone, so every `helps` or `hurts` is false. Features are computed once.

Reads the folder of real scans (CONTRIBUTING.md). Writes benchmarks/results/null_end_to_end.json.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
from real_data import REAL_DATA
from scipy.stats import binomtest

import medsyn
from medsyn import Dataset, Workspace, compute
from medsyn.cache import Cache
from medsyn.config import EvaluateOptions, load_preset
from medsyn.evaluate import verdict
from medsyn.evaluate.comparison import arms, cells, utility
from medsyn.evaluate.comparison.bank import Bank
from medsyn.evaluate.comparison.training import Engine
from medsyn.evaluate.inputs.images import Images, take
from medsyn.metrics.features import FeatureExtractor
from medsyn.progress import SILENT

ROOT = Path(__file__).resolve().parents[1]


class Known:
    """Features that are looked up instead of computed again."""

    name = "known"

    def __init__(self, pixels: np.ndarray, features: np.ndarray) -> None:
        self.of = {image.tobytes(): row for image, row in zip(pixels, features, strict=True)}

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return np.stack([self.of[image.tobytes()] for image in images])


class OnlyDuplicates(utility.Utility):
    """The comparison of one synthetic arm with one control, the duplicated one: the null is exact then."""

    def controls(self) -> list[arms.Plan]:
        return []

    def synthetic(self, cell: cells.Cell) -> list[arms.Plan]:
        return arms.synthetic(self.options.ratios, self.options.classical, alone=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--train", type=int, default=200)
    parser.add_argument("--val", type=int, default=60)
    parser.add_argument("--test", type=int, default=200)
    options = parser.parse_args()
    device = compute.device("cpu", 1)
    with tempfile.TemporaryDirectory() as folder:
        result = medsyn.ingest(REAL_DATA / "pneumoniamnist.npz", modality="xray", workspace=Path(folder) / "ws")
        dataset = Dataset.open(result.path)
        rows = dataset.rows()
        pixels, labels, units = dataset.images(rows), dataset.labels(rows), dataset.subjects(rows)
        everything = Images(pixels, labels, units, rows)
        print(f"features of {len(rows)} films", flush=True)
        known = Known(pixels, FeatureExtractor(device)(pixels))
        begun, found = time.monotonic(), []
        for run in range(options.runs):
            found.append(one(run, options, everything, known, device, Path(folder)))
            if run % 20 == 19:
                print(run + 1, Counter(d for d, _ in found), f"{time.monotonic() - begun:.0f} s", flush=True)
    decisions = Counter(decision for decision, _ in found)
    false = decisions["helps"] + decisions["hurts"]
    interval = binomtest(false, options.runs).proportion_ci()
    numbers = {
        "command": " ".join(["python benchmarks/null_end_to_end.py", *sys.argv[1:]]),
        "seed": "0 to runs - 1",
        "machine": f"{platform.machine()}, {compute.cores()} cores, no GPU",
        "runs": options.runs,
        "subjects": {"train": options.train, "val": options.val, "test": options.test},
        "decisions": dict(decisions),
        "false_verdicts": {"share": false / options.runs, "low": interval.low, "high": interval.high},
        "effects": {"mean": float(np.mean([e for _, e in found])), "sd": float(np.std([e for _, e in found]))},
        "seconds": round(time.monotonic() - begun),
    }
    (ROOT / "benchmarks" / "results" / "null_end_to_end.json").write_text(json.dumps(numbers, indent=2) + "\n")
    print(json.dumps(numbers, indent=2))


def one(run: int, options: argparse.Namespace, films: Images, known: Known, device: object, folder: Path) -> tuple:
    """One study: its decision and its effect."""
    order = compute.numpy_rng("null", run).permutation(len(films))
    train, val, test = np.split(order[: options.train + options.val + options.test], [options.train, -options.test])
    again = compute.numpy_rng("again", run).permutation(train)[: options.train // 2]
    synthetic = take(films, again)
    nothing = take(films, np.empty(0, int))
    cell = cells.Cell(
        train=take(films, train),
        tune=nothing,
        val=take(films, val),
        test=take(films, test),
        synthetic=Images(synthetic.pixels, synthetic.labels, np.full(len(again), ""), np.arange(len(again))),
        more=nothing,
        classes=2,
    )
    settings = EvaluateOptions(
        classifiers=["probe"], ratios=[0.25], classical="without", seed=run, bootstrap=300, threads=1
    )
    table = pd.DataFrame({"split": ["test"]}, index=[0])
    draws = [cells.Draw(r, 0, table["split"].to_dict(), np.empty(0, np.int64)) for r in range(settings.seeds)]
    setting = cells.Setting("all data", "", draws, regenerated=False)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        cache = Cache(Workspace(Path(place) / "ws"))
        engine = Engine(
            settings, load_preset("xray"), lambda where: cell, None, Bank(known, cache), cache, device, Path(place)
        )
        comparison = OnlyDuplicates(settings, engine, ["normal", "pneumonia"], SILENT)
        group = comparison.choose(setting, "probe")
        arm, control = (comparison.judged(group, plan) for plan in group.pair)
        assert control.name.startswith("duplicated")
        assert arm.ratio == 0.25
        made = verdict.verdict(
            control, arm, modality="xray", margin=settings.margin, estimand="", measure=settings.measure
        )
    return made.decision, made.effect.value


if __name__ == "__main__":
    main()
