"""How often `evaluate` says that a filter helps or hurts which rejects at random.

    python benchmarks/filter_null.py

Each run draws other subjects from PneumoniaMNIST (training, val and test). Its "synthetic" images are more real films,
as of a generator without fault; of the candidates some are rejected by chance, and others come in for them. The chosen
arm of `probe`, without classical augmentation, is trained on both sets, and contrasted as `evaluate` does. The filter
has no effect on average; what it has in one run is the luck of these candidates, which all repeats share where an arm
takes the whole set, and share in part where it takes half of it. Features are computed once.

Reads the folder of real scans (CONTRIBUTING.md). Writes benchmarks/results/filter_null.json.
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
from typing import Any

import numpy as np
import pandas as pd
from null_end_to_end import DATA, ROOT, Known
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

TRAIN, VAL, TEST, SET = 100, 60, 200, 200
REJECTED = 0.3
"""Share of the unfiltered set that the filter rejects."""


class WithSynthetic(utility.Utility):
    """Real and synthetic images together is the one synthetic arm."""

    def synthetic(self, cell: cells.Cell) -> list[arms.Plan]:
        return arms.synthetic(self.options.ratios, self.options.classical, alone=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=300)
    options = parser.parse_args()
    device = compute.device("cpu", 1)
    begun = time.monotonic()
    numbers: dict[str, Any] = {
        "command": " ".join(["python benchmarks/filter_null.py", *sys.argv[1:]]),
        "seed": "0 to runs - 1",
        "machine": f"{platform.machine()}, {compute.cores()} cores, no GPU",
        "runs": options.runs,
        "images": {"train": TRAIN, "val": VAL, "test": TEST, "synthetic": SET, "rejected": round(REJECTED * SET)},
        "used": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        result = medsyn.ingest(DATA / "pneumoniamnist.npz", modality="xray", workspace=Path(folder) / "ws")
        dataset = Dataset.open(result.path)
        rows = dataset.rows()
        films = Images(dataset.images(rows), dataset.labels(rows), dataset.subjects(rows), rows)
        print(f"features of {len(rows)} films", flush=True)
        known = Known(films.pixels, FeatureExtractor(device)(films.pixels))
        for used in (1.0, 0.5):
            found = [one(run, used, films, known, device, Path(folder)) for run in range(options.runs)]
            decisions = Counter(decision for decision, _ in found)
            false = decisions["helps"] + decisions["hurts"]
            interval = binomtest(false, options.runs).proportion_ci()
            effects = np.array([effect for _, effect in found])
            numbers["used"][str(used)] = {
                "decisions": dict(decisions),
                "false": {"share": false / options.runs, "low": interval.low, "high": interval.high},
                "effects": {"mean": float(effects.mean()), "sd": float(effects.std(ddof=1))},
            }
            print(used, numbers["used"][str(used)], flush=True)
    numbers["seconds"] = round(time.monotonic() - begun)
    (ROOT / "benchmarks" / "results" / "filter_null.json").write_text(json.dumps(numbers, indent=2) + "\n")


def one(run: int, used: float, films: Images, known: Known, device: object, folder: Path) -> tuple[str, float]:
    """One study: what is said of the filter, and its effect."""
    order = compute.numpy_rng("filter null", run).permutation(len(films))
    train, val, test, made, rest = np.split(order, np.cumsum([TRAIN, VAL, TEST, SET]))
    swapped = made.copy()
    for c in range(2):
        mine = np.flatnonzero(films.labels[made] == c)
        mine = mine[: round(REJECTED * len(mine))]
        swapped[mine] = rest[films.labels[rest] == c][: len(mine)]
    nothing = take(films, np.empty(0, int))
    parts = {name: take(films, rows) for name, rows in (("train", train), ("val", val), ("test", test))}
    filtered, unfiltered = (
        cells.Cell(**parts, tune=nothing, synthetic=take(films, rows), more=nothing, classes=2)
        for rows in (made, swapped)
    )
    settings = EvaluateOptions(
        classifiers=["probe"],
        primary="probe",
        ratios=[used * SET / TRAIN],
        classical="without",
        seed=run,
        bootstrap=300,
        threads=1,
    )
    table = pd.DataFrame({"split": ["test"]}, index=[0])
    draws = [cells.Draw(r, 0, table["split"].to_dict(), np.empty(0, np.int64)) for r in range(settings.seeds)]
    setting = cells.Setting("all data", "", draws, regenerated=False)
    beside = cells.Setting("unfiltered", "", draws, regenerated=False, decides=False)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        cache = Cache(Workspace(Path(place) / "ws"))
        engine = Engine(
            settings,
            load_preset("xray"),
            lambda where: unfiltered if where[0] == "unfiltered" else filtered,
            None,
            Bank(known, cache),
            cache,
            device,
            Path(place),
        )
        comparison = WithSynthetic(settings, engine, ["normal", "pneumonia"], SILENT)
        group = comparison.choose(setting, "probe")
        plan = group.pair[0]
        other = comparison.add(beside, "probe", plan)
        effect = comparison.test_scores(group, plan).minus(comparison.test_scores(other, plan), settings.measure)
    return verdict.decide(effect, settings.margin), effect.value


if __name__ == "__main__":
    main()
