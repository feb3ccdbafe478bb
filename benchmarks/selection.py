"""Does the selection of `medsyn augment` catch copies and wrong labels, and what does it cost?

    python benchmarks/selection.py --data <folder with pneumoniamnist.npz, xray/ and mri/>

Real sets are ingested as a user would. The selection is fitted on train and tune. Copies are training images,
disguised; honest images are those of val and test, of subjects that neither training nor calibration saw. Each draw
splits the subjects anew (a workspace of its own); PneumoniaMNIST keeps its official split, and its draws differ in tune
and in the images that are disguised.

Labels: in a tenth of the images the label is another one than it should be. Once for real held-out films of
PneumoniaMNIST, whose labels are known, and once for films that a generator made, whose labels are those asked for.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from real_data import REAL_DATA
from scipy.ndimage import affine_transform, gaussian_filter
from scipy.ndimage import shift as shifted

import medsyn
from medsyn import generator
from medsyn.augment.selection import COPIES, RULES, Selector, fit
from medsyn.compute import numpy_rng
from medsyn.data import Dataset
from medsyn.metrics.features import FeatureExtractor

ROOT = Path(__file__).parent.parent
COPIED = 300
"""Training images that are disguised, of each draw."""

FLIPPED = 0.1
LOST = (0.01, 0.02, 0.05, 0.1, 0.2)
"""Shares of rightly labelled images that may be lost, at which the share of caught flips is told."""

SETS: dict[str, dict[str, Any]] = {
    "pneumoniamnist": {"path": "pneumoniamnist.npz"},
    "xray": {"path": "xray", "labels": "xray/labels.csv", "modality": "xray", "size": 64},
    "mri": {"path": "mri", "labels": "mri/labels.csv", "modality": "mri", "size": 64, "subject_from": "file"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=REAL_DATA)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--budget", default="3m", help="of the generator whose labels are flipped")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    started, extract = time.perf_counter(), FeatureExtractor()
    numbers: dict[str, Any] = {
        "command": " ".join(["python benchmarks/selection.py", *sys.argv[1:]]),
        "machine": f"{platform.machine()}, {options.threads} thread, Python {platform.python_version()}",
        "draws": options.draws,
        "copied": COPIED,
        "sets": {},
        "labels": {},
    }
    for name in options.sets:
        found: dict[str, list[Any]] = defaultdict(list)
        for draw in range(options.draws):
            with tempfile.TemporaryDirectory() as folder:
                dataset = _ingest(name, options.data, Path(folder), draw)
                for key, value in copies(dataset, extract, draw).items():
                    found[key].append(value)
                print(name, draw, found["caught"][-1], found["lost"][-1], flush=True)
                if name == "pneumoniamnist" and draw == 0:
                    numbers["labels"] = labels(dataset, extract, Path(folder), options.budget)
                    print(numbers["labels"], flush=True)
        numbers["sets"][name] = _mean(found)
        numbers["seconds"] = round(time.perf_counter() - started)
        (ROOT / "benchmarks" / "results" / "selection.json").write_text(json.dumps(numbers, indent=2) + "\n")


def _ingest(name: str, data: Path, folder: Path, seed: int) -> Dataset:
    given = dict(SETS[name])
    path = str(data / given.pop("path"))
    if "labels" in given:
        given["labels"] = str(data / given["labels"])
    made = medsyn.ingest(path, workspace=folder / f"workspace-{seed}", **given)
    return Dataset.open(made.path)


def copies(dataset: Dataset, extract: FeatureExtractor, seed: int) -> dict[str, Any]:
    """Shares of disguised copies that are caught, and of honest images that are lost."""
    begun = time.perf_counter()
    seen = Dataset.open(dataset.path, splits=("train", "tune"))
    selector = Selector(fit(seen, extract, dataset.classes), seen, extract)
    fitted = time.perf_counter() - begun
    held, train = dataset.rows("val", "test"), dataset.rows("train")
    train = np.sort(numpy_rng("copied", seed).permutation(train)[:COPIED])
    caught = {
        name: _share(selector, images, dataset.labels(train), COPIES)
        for name, images in disguises(dataset.images(train), seed).items()
    }
    honest, of = dataset.images(held), dataset.labels(held)
    begun = time.perf_counter()
    lost = {rule: _share(selector, honest, of, [rule]) for rule in RULES if rule != "near_duplicate"}
    return {
        "caught": caught,
        "caught_by_pixels": {
            name: _share(selector, images, dataset.labels(train), ["copy"])
            for name, images in disguises(dataset.images(train), seed).items()
        },
        "lost": {
            "copies": _share(selector, honest, of, COPIES),
            "any rule": _share(selector, honest, of, RULES),
            **lost,
        },
        "training_images": len(dataset.rows("train")),
        "tune_images": len(dataset.rows("tune")),
        "honest_images": len(held),
        "seconds_to_fit": fitted,
    }


def disguises(images: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Copies as a generator might return them, at 8 bits, float32 ``[n, 1, H, W]``."""
    rng, side = numpy_rng("disguises", seed), images.shape[-1]
    moves = [(0, 2), (0, -2), (2, 0), (-2, 0), (2, -2)]
    noise = rng.standard_normal(images.shape)
    centre = (side - 1) / 2

    def turned(image: np.ndarray, degrees: float, zoom: float) -> np.ndarray:
        a = np.deg2rad(degrees)
        matrix = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) / zoom
        offset = centre - matrix @ np.array([centre, centre])
        return affine_transform(image, matrix, offset, order=1, mode="nearest")

    made = {
        "exact": images,
        "mirrored": images[..., ::-1],
        "gamma 0.8": images**0.8,
        "shifted 2 px": np.stack(
            [shifted(x, (0, *moves[i % len(moves)]), order=0, mode="nearest") for i, x in enumerate(images)]
        ),
        "noise 0.02": images + 0.02 * noise,
        "noise 0.05": images + 0.05 * noise,
        "blurred, 1 px": np.stack([gaussian_filter(x, (0, 1, 1)) for x in images]),
        "rotated 5 degrees": np.stack([turned(x[0], 5, 1)[None] for x in images]),
        "zoomed 1.1": np.stack([turned(x[0], 0, 1.1)[None] for x in images]),
    }
    return {name: np.rint(x.clip(0, 1) * 255).astype(np.float32) / 255 for name, x in made.items()}


def _share(selector: Selector, images: np.ndarray, labels: np.ndarray, rules: Any) -> float:
    """Of images that fail one of the rules."""
    failed = np.zeros(len(images), bool)
    for c in np.unique(labels):
        mine = labels == c
        scores = selector.judge(images[mine], int(c)).scores
        failed[mine] = np.any([scores[rule] > 1 for rule in rules if rule in scores], axis=0)
    return float(failed.mean())


def labels(dataset: Dataset, extract: FeatureExtractor, folder: Path, budget: str) -> dict[str, Any]:
    """Curves: share of flipped labels that are caught against share of right ones that are lost."""
    seen = Dataset.open(dataset.path, splits=("train", "tune"))
    selector = Selector(fit(seen, extract, dataset.classes), seen, extract)
    held = dataset.rows("val", "test")
    trained = medsyn.train_gan(workspace=dataset.path.parent.parent, budget=budget, threads=1)
    model = generator.load(trained.path)
    index = np.arange(2000)
    asked = index % len(model.classes)
    place = np.array([dataset.classes.index(c) for c in model.classes])
    return {
        "real held-out films": _curve(selector, dataset.images(held), dataset.labels(held), len(dataset.classes)),
        "generated films": _curve(selector, model.sample(asked, 0, index), place[asked], len(dataset.classes)),
        "budget": budget,
    }


def _curve(selector: Selector, images: np.ndarray, right: np.ndarray, classes: int) -> dict[str, Any]:
    rng = numpy_rng("flips")
    flipped = rng.random(len(right)) < FLIPPED
    given = np.where(flipped, (right + rng.integers(1, classes, len(right))) % classes, right)
    score = np.empty(len(right))
    for c in range(classes):
        score[given == c] = selector.judge(images[given == c], c).scores["label"]
    order = np.sort(score[~flipped])[::-1]
    limits = {str(lost): float(order[int(lost * len(order))]) for lost in LOST}
    return {
        "images": len(right),
        "flipped": int(flipped.sum()),
        "caught_at": {lost: float((score[flipped] > limit).mean()) for lost, limit in limits.items()},
        "at_the_default": {
            "caught": float((score[flipped] > 1).mean()),
            "lost": float((score[~flipped] > 1).mean()),
        },
    }


def _mean(found: dict[str, list[Any]]) -> dict[str, Any]:
    """Mean over draws of every number."""
    return {
        key: {k: float(np.mean([v[k] for v in values])) for k in values[0]}
        if isinstance(values[0], dict)
        else float(np.mean(values))
        for key, values in found.items()
    }


if __name__ == "__main__":
    main()
