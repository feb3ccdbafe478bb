"""How often does the fidelity rule of `medsyn evaluate` call a set far from real, honest or not?

    python benchmarks/fidelity_rule.py --data <folder with pneumoniamnist.npz, xray and mri>

Subjects are split in three at random: held-out images, the floor, and the material of the "synthetic" set. Honest: that
third itself. Not honest: a class Gaussian and SMOTE learnt from it, or its images blurred, rebuilt from few principal
components, or with noise. SMOTE is no fault that the rule must find; it is listed to show where the rule stands.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from real_data import REAL_DATA
from scipy.ndimage import gaussian_filter
from sklearn.decomposition import PCA

from medsyn import compute
from medsyn.evaluate.checks.fidelity import RULE, is_far
from medsyn.evaluate.checks.references import class_gaussian, smote_in_pixels
from medsyn.evaluate.results import Estimate, FidelityRow
from medsyn.metrics.features import FeatureExtractor
from medsyn.metrics.fidelity import kid, prdc
from medsyn.metrics.spectrum import log_spectra, spectrum_distance

ROOT = Path(__file__).parent.parent
PCA_COMPONENTS = 32
Set = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]  # features, spectra, labels, units


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=REAL_DATA)
    parser.add_argument("--honest", type=int, default=200, help="honest sets of each size")
    parser.add_argument("--faulty", type=int, default=20, help="sets of each fault and size")
    parser.add_argument("--per-class", type=int, nargs="+", default=[16, 120])
    options = parser.parse_args()
    compute.device("cpu", 1)
    extract, started, rows = FeatureExtractor(), time.perf_counter(), []
    for name, (images, labels, units) in datasets(options.data):
        known = {"honest": images, **corrupted(images)}
        measured = {fault: (extract(pixels), log_spectra(pixels)) for fault, pixels in known.items()}
        for n in options.per_class:
            for fault in (*known, "class Gaussian", "SMOTE"):
                repeats = options.honest if fault == "honest" else options.faulty
                flagged = sum(trial(images, labels, units, measured, fault, n, s, extract) for s in range(repeats))
                rows.append({"data": name, "set": fault, "per_class": n, "flagged": flagged, "of": repeats})
                print(f"{name:14s} {n:4d} a class  {fault:16s} {flagged:3d} of {repeats}", flush=True)
    numbers = {
        "command": " ".join(["python benchmarks/fidelity_rule.py", *sys.argv[1:]]),
        "rule": RULE,
        "rows": rows,
        "seconds": round(time.perf_counter() - started),
        "machine": {"processor": platform.machine(), "threads": 1, "python": platform.python_version()},
    }
    target = ROOT / "benchmarks" / "results" / "fidelity_rule.json"
    target.write_text(json.dumps(numbers, indent=2) + "\n")


def datasets(folder: Path):
    with np.load(folder / "pneumoniamnist.npz") as file:
        rows = np.random.default_rng(0).permutation(len(file["train_labels"]))[:1500]
        images, labels = file["train_images"][rows, None], file["train_labels"][rows].ravel().astype(int)
    yield "PneumoniaMNIST", (images.astype(np.float32) / 255, labels, rows.astype(str))
    for name, subject in (("xray", "patient_id"), ("mri", "dup_group")):
        table = pd.read_csv(folder / name / "labels.csv")
        scans = [Image.open(folder / name / f).convert("L").resize((64, 64), Image.Resampling.BOX) for f in table.file]
        images = np.stack([np.asarray(scan, np.float32) / 255 for scan in scans])[:, None]
        yield name, (images, pd.factorize(table.label)[0], table[subject].astype(str).to_numpy())


def corrupted(images: np.ndarray) -> dict[str, np.ndarray]:
    flat = images.reshape(len(images), -1)
    pca = PCA(PCA_COMPONENTS, svd_solver="randomized", random_state=0).fit(flat)
    rebuilt = pca.inverse_transform(pca.transform(flat)).reshape(images.shape).clip(0, 1)
    noise = compute.numpy_rng("noise").normal(0, 0.03, images.shape)
    return {
        "blur 1 px": gaussian_filter(images, (0, 0, 1, 1)),
        f"PCA {PCA_COMPONENTS}": rebuilt.astype(np.float32),
        "noise 0.03": (images + noise).clip(0, 1).astype(np.float32),
    }


def trial(
    images: np.ndarray,
    labels: np.ndarray,
    units: np.ndarray,
    measured: dict[str, tuple[np.ndarray, np.ndarray]],
    fault: str,
    n: int,
    seed: int,
    extract: FeatureExtractor,
) -> bool:
    """Whether one set is called far from the floor, over all images or within a class."""
    rng = compute.numpy_rng("trial", seed)
    subjects = rng.permutation(np.unique(units))
    third = dict(zip(subjects, np.arange(len(subjects)) * 3 // len(subjects), strict=True))
    part = np.array([third[unit] for unit in units])
    pools = [
        [rng.permutation(np.flatnonzero((part == k) & (labels == c))) for c in np.unique(labels)] for k in range(3)
    ]
    n = min(n, *(len(p) for pool in pools for p in pool))
    held, floor, mine = (np.concatenate([p[:n] for p in pool]) for pool in pools)
    features, spectra = measured["honest"]
    real: Set = features[held], spectra[held], labels[held], units[held]
    other: Set = features[floor], spectra[floor], labels[floor], units[floor]
    if fault in measured:
        ours: Set = measured[fault][0][mine], measured[fault][1][mine], labels[mine], None
    else:
        learn, make = np.concatenate(pools[2]), class_gaussian if fault == "class Gaussian" else smote_in_pixels
        made, _ = make(images[learn], labels[learn], [n] * len(pools[2]), seed)
        ours = extract(made), log_spectra(made), labels[mine], None
    scopes = [np.arange(len(held)), *(np.flatnonzero(real[2] == c) for c in np.unique(labels))]
    return any(is_far(row(real, ours, members), row(real, other, members)) for members in scopes)


def row(real: Set, other: Set, members: np.ndarray) -> FidelityRow:
    """What the rule reads of a row."""
    a, b = real[0][members], other[0][members]
    of_other = None if other[3] is None else other[3][members]
    distance = kid(a, b, real_units=real[3][members], fake_units=of_other)
    return FidelityRow.model_construct(
        kid=Estimate(value=distance.value, low=distance.low, high=distance.high),
        coverage=prdc(a, b).coverage,
        spectrum=spectrum_distance(real[1][members], other[1][members]),
    )


if __name__ == "__main__":
    main()
