"""How often do the checks of `medsyn evaluate` find what is wrong, and how often do they call out what is not?

    python benchmarks/detection_rates.py --data <folder with pneumoniamnist.npz and xray/>

Every repeat draws new subjects: training, unseen, test and synthetic sets of real images, into which one fault is put.
Honest counterparts: unseen real images as the synthetic set, and draws of a class Gaussian over `COMPONENTS` principal
components fitted on the training images. Features are computed once for all real images, and for changed images after.

PneumoniaMNIST names no patients: films of its train and val with equal pixels count as one subject, all others as
subjects of their own. Lookalike pairs that may show one child stay apart, and are false alarms where they are called
out. In `xray` subjects are patients.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from real_data import REAL_DATA
from scipy.stats import beta
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from medsyn import compute
from medsyn.evaluate.checks import collapse, copying, labels, leakage, shortcuts
from medsyn.evaluate.inputs.sample import Sample
from medsyn.evaluate.measures.ranking import auroc
from medsyn.evaluate.results import Estimate
from medsyn.evaluate.statistics import bootstrap_weights
from medsyn.metrics.features import FeatureExtractor

ROOT = Path(__file__).parent.parent
CLASSES = ["no_finding", "pneumonia"]
SIZES = {"pneumoniamnist": (600, 300, 200, 400), "xray": (260, 130, 130, 160)}
"""Subjects in training, unseen (val), test and synthetic sets."""

COMPONENTS = 30
DISGUISES = ("exact", "mirrored", "gamma 0.8", "shifted 2 px", "noise 0.05")
BRIGHTER = 0.1
"""Added to images of class 1 where labels are to follow brightness."""

SLIPPED = 3
"""Held-out images that are replaced by near-duplicates of training images."""


@dataclass(frozen=True)
class Draw:
    """One repeat: four sets of different subjects, and what a generator of the training images would be judged by."""

    train: Sample
    val: Sample
    test: Sample
    fresh: Sample
    seed: int


class Counts:
    """Alarms and tries of each row of the table."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0])

    def add(self, dataset: str, kind: str, name: str, alarm: bool) -> None:
        row = self.rows[(dataset, kind, name)]
        row[0] += bool(alarm)
        row[1] += 1

    def table(self) -> list[dict[str, object]]:
        """Rates with 95 % Clopper-Pearson intervals."""
        out = []
        for (dataset, kind, name), (alarms, n) in self.rows.items():
            low = float(beta.ppf(0.025, alarms, n - alarms + 1)) if alarms else 0.0
            high = float(beta.ppf(0.975, alarms + 1, n - alarms)) if alarms < n else 1.0
            reached = alarms / n >= 0.95 if kind == "fault" else alarms / n <= 0.01
            out.append(
                {"set": dataset, "kind": kind, "name": name, "alarms": alarms, "n": n, "rate": round(alarms / n, 4),
                 "low": round(low, 4), "high": round(high, 4), "reached": reached if kind != "other" else None}
            )  # fmt: skip
        return out


def load(name: str, folder: Path, features: FeatureExtractor) -> Sample:
    """All real images of a dataset, one class a subject where a patient has both."""
    if name == "pneumoniamnist":
        with np.load(folder / "pneumoniamnist.npz") as file:
            pixels = np.concatenate([file[f"{s}_images"] for s in ("train", "val")])[:, None].astype(np.float32) / 255
            given = np.concatenate([file[f"{s}_labels"].ravel() for s in ("train", "val")]).astype(int)
        units = np.array([hashlib.sha256(image.tobytes()).hexdigest() for image in pixels])
    else:
        table = pd.read_csv(folder / "xray" / "labels.csv")
        pixels = np.stack([_film(folder / "xray" / file) for file in table["file"]])[:, None]
        given = np.array([CLASSES.index(label) for label in table["label"]])
        units = table["patient_id"].to_numpy(str)
    return Sample(pixels, features(pixels), given, units)


def _film(path: Path, side: int = 64) -> np.ndarray:
    film = Image.open(path).convert("L")
    film.thumbnail((side, side), Image.Resampling.LANCZOS)
    canvas = np.zeros((side, side), np.float32)
    top, left = (side - film.height) // 2, (side - film.width) // 2
    canvas[top : top + film.height, left : left + film.width] = np.asarray(film, np.float32) / 255
    return canvas


def draw(pool: Sample, sizes: tuple[int, ...], seed: int) -> Draw:
    """Sets of different subjects, redrawn by ``seed``."""
    names = compute.numpy_rng("detection", seed).permutation(np.unique(pool.units))
    parts = np.split(names, np.cumsum(sizes))[: len(sizes)]
    train, val, test, fresh = (pool.take(np.isin(pool.units, part)) for part in parts)
    return Draw(train, val, test, synthetic_of(fresh), seed)


def synthetic_of(images: Sample) -> Sample:
    return replace(images, units=np.full(len(images), ""))


def disguised(pixels: np.ndarray, how: str, rng: np.random.Generator) -> np.ndarray:
    """Changed images, clipped and rounded to 8 bits as a file would hold them."""
    if how == "mirrored":
        pixels = pixels[..., ::-1]
    elif how == "gamma 0.8":
        pixels = pixels**0.8
    elif how == "shifted 2 px":
        pixels = np.roll(pixels, tuple(rng.choice([-2, 2], 2)), (-2, -1))
    elif how == "noise 0.05":
        pixels = pixels + rng.normal(0, 0.05, pixels.shape)
    return (np.clip(pixels, 0, 1) * 255).round().astype(np.float32) / 255


def with_copies(d: Draw, share: float, how: str, rng: np.random.Generator, features: FeatureExtractor) -> Sample:
    """The fresh images, as many replaced as make ``share`` of the training images."""
    n = round(share * len(d.train))
    rows = rng.permutation(len(d.train))[:n]
    pixels = disguised(d.train.pixels[rows], how, rng)
    made = Sample(pixels, features(pixels), d.train.labels[rows], np.full(n, ""))
    return made.join(d.fresh.take(rng.permutation(len(d.fresh))[n:]))


def few_modes(d: Draw, kept: float, rng: np.random.Generator, features: FeatureExtractor) -> Sample:
    """Small variations of the training images of some of 10 clusters a class."""
    rows = []
    for c in range(len(CLASSES)):
        own = np.flatnonzero(d.train.labels == c)
        found = KMeans(10, n_init=1, random_state=int(rng.integers(2**31))).fit(d.train.features[own]).labels_
        chosen = own[np.isin(found, rng.permutation(10)[: round(10 * kept)])]
        rows.append(rng.choice(chosen, int((d.fresh.labels == c).sum())))
    rows = np.concatenate(rows)
    pixels = np.stack([_varied(d.train.pixels[i], rng) for i in rows])
    return Sample(pixels, features(pixels), d.train.labels[rows], np.full(len(rows), ""))


def _varied(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    moved = np.roll(image, tuple(rng.integers(-1, 2, 2)), (-2, -1)) + rng.normal(0, 0.02, image.shape)
    return (np.clip(moved, 0, 1) ** rng.uniform(0.9, 1.1)).astype(np.float32)


def interpolated(images: Sample, n: int, rng: np.random.Generator, features: FeatureExtractor) -> Sample:
    """What a generator that memorised ``images`` would make: between an image and one of its 5 neighbours."""
    first = rng.integers(0, len(images), n)
    second = np.empty(n, int)
    for k, i in enumerate(first):
        own = np.flatnonzero((images.labels == images.labels[i]) & (np.arange(len(images)) != i))
        distance = ((images.pixels[own] - images.pixels[i]) ** 2).sum((1, 2, 3))
        second[k] = own[np.argsort(distance)[rng.integers(0, 5)]]
    share = rng.uniform(size=(n, 1, 1, 1)).astype(np.float32)
    pixels = share * images.pixels[first] + (1 - share) * images.pixels[second]
    return Sample(pixels, features(pixels), images.labels[first], np.full(n, ""))


def class_gaussian(images: Sample, counts: np.ndarray, rng: np.random.Generator, features: FeatureExtractor) -> Sample:
    """Draws of a Gaussian over the principal components of each class, with a little noise."""
    made, given = [], []
    for c, n in enumerate(counts):
        flat = images.pixels[images.labels == c].reshape(-1, images.pixels[0].size)
        axes = PCA(min(COMPONENTS, len(flat) - 1), random_state=0).fit(flat)
        code = rng.normal(size=(n, axes.n_components_)) * np.sqrt(axes.explained_variance_)
        made.append(axes.inverse_transform(code) + rng.normal(0, 0.01, (n, flat.shape[1])))
        given.append(np.full(n, c))
    pixels = np.clip(np.concatenate(made), 0, 1).astype(np.float32).reshape(-1, *images.pixels.shape[1:])
    return Sample(pixels, features(pixels), np.concatenate(given), np.full(len(pixels), ""))


def marked(images: Sample, how: str, rng: np.random.Generator) -> Sample:
    """Images with random labels, of which class 1 is made brighter, or turned upside down (which no statistic sees)."""
    given = rng.integers(0, 2, len(images))
    changed = np.clip(images.pixels + BRIGHTER, 0, 1) if how == "brighter" else images.pixels[:, :, ::-1]
    pixels = np.where(given[:, None, None, None] == 1, changed, images.pixels)
    return replace(images, pixels=pixels, labels=given)


def shortcut(train: Sample, test: Sample, seed: int) -> bool:
    """Alarm of the shortcut check beside a control that sees the pixels."""
    model = labels.classifier(64).fit(train.pixels.reshape(len(train), -1), train.labels)
    control = float(auroc(model.predict_proba(test.pixels.reshape(len(test), -1)), test.labels)[0])
    size = train.pixels.shape[-2:]
    return shortcuts.test(
        (train.pixels, np.tile(size, (len(train), 1)), train.labels),
        (test.pixels, np.tile(size, (len(test), 1)), test.labels, test.units),
        control,
        200,
        seed,
    ).found


def random_real(d: Draw) -> bool:
    """Alarm of the control's interval: a classifier of train's features, measured on test."""
    p = labels.classifier(64).fit(d.train.features, d.train.labels).predict_proba(d.test.features)
    value = float(auroc(p, d.test.labels)[0])
    half = 1.96 * float(
        auroc(p, d.test.labels, bootstrap_weights(d.test.units, d.test.labels, 300, d.seed)).std(ddof=1)
    )
    return labels.random(Estimate(value=value, low=value - half, high=value + half)) is not None


def leaks(d: Draw, val: Sample) -> bool:
    return leakage.test(d.train, {"val": val, "test": d.test}, d.seed).found


def faults(d: Draw, dataset: str, counts: Counts, features: FeatureExtractor) -> None:
    """Each fault once."""
    rng = compute.numpy_rng("faults", d.seed)
    for share in (0.05, 0.1):
        for how in DISGUISES:
            found = copying.test(with_copies(d, share, how, rng, features), d.train, d.val, CLASSES, d.seed)[0].found
            counts.add(dataset, "fault", f"copies of {share:.0%} of train, {how}", found)
    for kept in (0.5, 0.1):
        found = collapse.test(d.train, few_modes(d, kept, rng, features), CLASSES, d.seed).found
        counts.add(dataset, "fault", f"collapse to {kept:.0%} of modes", found)
    shuffled = replace(d.fresh, labels=rng.permutation(d.fresh.labels))
    counts.add(dataset, "fault", "random synthetic labels", labels.test(d.train, d.val, shuffled, d.seed).found)
    sets = (replace(s, labels=rng.permutation(s.labels)) for s in (d.train, d.val, d.test))
    counts.add(dataset, "fault", "random real labels", random_real(Draw(*sets, d.fresh, d.seed)))
    counts.add(
        dataset,
        "fault",
        "a patient in two splits",
        leaks(d, d.val.join(d.train.take(rng.permutation(len(d.train))[:1]))),
    )
    for how in DISGUISES:
        rows = rng.permutation(len(d.train))[:SLIPPED]
        slipped = replace(d.train.take(rows), pixels=disguised(d.train.pixels[rows], how, rng))
        slipped = replace(slipped, units=np.array([f"other {i}" for i in range(SLIPPED)]))
        counts.add(dataset, "fault", f"{SLIPPED} near-duplicates across splits, {how}", leaks(d, d.val.join(slipped)))
    made = interpolated(d.test, len(d.fresh), rng, features)
    counts.add(
        dataset, "fault", "generator trained on test subjects", copying.knows(made, d.test, d.val, CLASSES, d.seed)[0]
    )
    bright = (marked(s, "brighter", rng) for s in (d.train, d.test))
    counts.add(dataset, "fault", "labels that follow brightness", shortcut(*bright, d.seed))
    counts.add(dataset, "other", "shortcut: the labels of the dataset itself", shortcut(d.train, d.test, d.seed))


def honest(d: Draw, dataset: str, counts: Counts, features: FeatureExtractor | None) -> None:
    """Every check on sound data; with ``features`` on draws of an honest generator, too."""
    rng = compute.numpy_rng("honest", d.seed)
    counts.add(dataset, "honest", "leakage: splits by subject", leaks(d, d.val))
    counts.add(dataset, "honest", "real labels", random_real(d))
    turned = (marked(s, "turned", rng) for s in (d.train, d.test))
    counts.add(dataset, "honest", "shortcut: labels that no statistic sees", shortcut(*turned, d.seed))
    synthetic = {"unseen real images": d.fresh}
    if features is not None:
        synthetic["class Gaussian"] = class_gaussian(d.train, np.bincount(d.fresh.labels), rng, features)
    for name, images in synthetic.items():
        found = copying.test(images, d.train, d.val, CLASSES, d.seed)[0]
        counts.add(dataset, "honest", f"copying: {name}", found.found)
        counts.add(dataset, "honest", f"copying, single copies alone: {name}", found.copies > 0)
        counts.add(dataset, "honest", f"labels: {name}", labels.test(d.train, d.val, images, d.seed).found)
        seen = copying.knows(images, d.test, d.val, CLASSES, d.seed)[0]
        counts.add(dataset, "honest", f"trained on test: {name}", seen)
        # Images of a Gaussian are few kinds to the extractor, so an alarm on them is no mistake: counted, not judged.
        kind = "honest" if images is d.fresh else "other"
        counts.add(dataset, kind, f"collapse: {name}", collapse.test(d.train, images, CLASSES, d.seed).found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=REAL_DATA)
    parser.add_argument("--repeats", type=int, default=20, help="of each fault")
    parser.add_argument("--honest", type=int, default=200, help="repeats of each honest counterpart")
    parser.add_argument("--sets", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--gaussians", type=int, default=50, help="of these, repeats with a class Gaussian, too")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    compute.device("cpu", 1)
    started, counts, features, pools = time.perf_counter(), Counts(), FeatureExtractor(), {}
    for dataset in options.sets:
        pool = load(dataset, options.data, features)
        pools[dataset] = {"images": len(pool), "subjects": len(np.unique(pool.units))}
        for i in range(max(options.repeats, options.honest)):
            d = draw(pool, SIZES[dataset], options.seed + i)
            if i < options.repeats:
                faults(d, dataset, counts, features)
            if i < options.honest:
                honest(d, dataset, counts, features if i < options.gaussians else None)
            if i % 20 == 19:
                print(f"{dataset}: {i + 1} repeats, {time.perf_counter() - started:.0f} s", flush=True)
    table = counts.table()
    for row in table:
        aim = {True: "reached", False: "MISSED", None: ""}[row["reached"]]
        print(f"{row['set']:15} {row['kind']:7} {row['name']:55} {row['alarms']:4}/{row['n']:<4} {aim}")
    numbers = {
        "command": " ".join(["python benchmarks/detection_rates.py", *sys.argv[1:]]),
        "aims": {"fault": ">= 0.95 alarms", "honest": "<= 0.01 alarms"},
        "seed": options.seed,
        "pools": pools,
        "subjects_per_set": {
            k: dict(zip(("train", "unseen", "test", "synthetic"), v, strict=True)) for k, v in SIZES.items()
        },
        "rows": table,
        "seconds": round(time.perf_counter() - started),
        "machine": {
            "processor": platform.machine(),
            "cores": compute.cores(),
            "threads": 1,
            "python": platform.python_version(),
            "torch": torch.__version__,
        },
    }
    out = Path(__file__).parent / "results" / "detection_rates.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(numbers, indent=2) + "\n")


if __name__ == "__main__":
    main()
