"""Near-duplicates: hit rates on injected copies, false pairs on real sets, time against the number of images.

    python benchmarks/near_duplicates.py

Copies of real images are made at 256 px (28 px for PneumoniaMNIST), given to another subject and shrunk to 64 px as
`ingest` does. A hit is a copy that `pairs` finds among all images of the set. Beside it stands the usual recipe: a
64-bit DCT hash within 6 bits, then a correlation of 32 x 32 thumbnails above 0.985. "Strangers" are images of different
subjects; the upper tail of their likeness is fitted by a power law (Hill's estimator) to extrapolate false pairs.

Reads the folder of real scans (CONTRIBUTING.md). Writes benchmarks/results/near_duplicates.json.
"""

from __future__ import annotations

import argparse
import io
import json
import platform
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from real_data import REAL_DATA
from scipy.fft import dctn
from scipy.ndimage import map_coordinates, zoom

from medsyn import compute
from medsyn.data import near, splits
from medsyn.data.likeness import SIDE, centred, details, likeness
from medsyn.data.resize import pad, shrink

ROOT = Path(__file__).resolve().parents[1]
STORED = 64
COPIES = 300
COUNTS = (1_000, 10_000, 100_000)
ASKED = (10_000, 1_000_000, 10_000_000)
TAIL = 300
"""Pairs of strangers that the power law is fitted to."""

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def resized(image: np.ndarray, side: int, box: tuple[float, float, float, float] | None = None) -> np.ndarray:
    out = Image.fromarray(image.astype(np.float32)).resize((side, side), Image.Resampling.LANCZOS, box=box)
    return np.clip(np.asarray(out), 0, 1)


def jpeg(image: np.ndarray, _: np.random.Generator) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(np.rint(image * 255).astype(np.uint8)).save(buffer, "JPEG", quality=50)
    return np.asarray(Image.open(buffer), np.float32) / 255


def noise(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.clip(image + 0.02 * rng.normal(size=image.shape), 0, 1)


def shifted(pixels: float) -> Change:
    """Shift right and down by ``pixels`` of 256, black coming in."""

    def change(image: np.ndarray, _: np.random.Generator) -> np.ndarray:
        by = round(pixels * len(image) / 256)
        out = np.zeros_like(image)
        out[by:, by:] = image[:-by, :-by]
        return out

    return change


def cropped(share: float) -> Change:
    """Cut a share off at the left and the right, half of it at the top, as much and half more at the bottom."""

    def change(image: np.ndarray, _: np.random.Generator) -> np.ndarray:
        side = len(image)
        by = share * side
        return resized(image, side, (by, by / 2, side - by, side - 1.5 * by))

    return change


CHANGES: dict[str, Change] = {
    "JPEG, quality 50": jpeg,
    "half the size and back": lambda image, _: resized(resized(image, len(image) // 2), len(image)),
    "gamma 0.8": lambda image, _: image**0.8,
    "another window": lambda image, _: np.clip((image - 0.1) / 0.75, 0, 1),
    "noise of 0.02": noise,
    "shifted by 2 of 256 px": shifted(2),
    "shifted by 4 of 256 px": shifted(4),
    "shifted by 8 of 256 px": shifted(8),
    "cropped by 1 %": cropped(0.01),
    "cropped by 2 %": cropped(0.02),
    "cropped by 4 %": cropped(0.04),
    "cropped by 1 %, gamma, JPEG, noise": lambda image, rng: noise(jpeg(cropped(0.01)(image, rng) ** 0.8, rng), rng),
}


def load(name: str) -> tuple[list[np.ndarray], np.ndarray, pd.Series | None]:
    """Images float32 [0, 1] before storing, subject codes, and the dup_group of `mri`."""
    if name == "pneumoniamnist":
        file = np.load(REAL_DATA / "pneumoniamnist.npz")
        stack = np.concatenate([file[f"{s}_images"] for s in ("train", "val", "test")]).astype(np.float32) / 255
        return list(stack), np.arange(len(stack)), None
    table = pd.read_csv(REAL_DATA / name / "labels.csv")
    images = [
        pad(shrink(np.asarray(Image.open(REAL_DATA / name / f).convert("L"), np.float32) / 255, 256), 256, 0.0)
        for f in table["file"]
    ]
    if name == "mri":
        return images, np.arange(len(images)), table["dup_group"]
    return images, pd.factorize(table["patient_id"])[0], None


def thumbnails(images: list[np.ndarray]) -> np.ndarray:
    side = min(STORED, len(images[0]))
    return np.concatenate([near.thumbnail(resized(i, side)[None]) for i in images])


def usual(thumbs: np.ndarray, copies: np.ndarray) -> np.ndarray:
    """Whether the usual recipe takes each copy for one ``[n]``."""

    def bits(t: np.ndarray) -> np.ndarray:
        c = dctn(t.astype(float), axes=(1, 2))[:, :8, :8].reshape(len(t), -1)
        return c > np.median(c[:, 1:], axis=1, keepdims=True)

    a, b = (t.reshape(len(t), -1).astype(float) for t in (thumbs, copies))
    a, b = (t - t.mean(1, keepdims=True) for t in (a, b))
    r = (a * b).sum(1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-9)
    return ((bits(thumbs) != bits(copies)).sum(1) <= 6) & (r > 0.985)


def injected(images: list[np.ndarray], thumbs: np.ndarray, groups: np.ndarray, seed: int) -> dict[str, Any]:
    """Hits for every kind of copy; with others: pairs of a copy and an image of another subject than its original's."""
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(images))[:COPIES])
    n, out = len(images), {}
    repeats = near.pairs(near.fingerprint(thumbs), thumbs, np.arange(n))
    same = splits.join([(str(a), str(b)) for a, b in repeats], map(str, range(n)))
    for name, change in CHANGES.items():
        if name.startswith("shifted") and len(images[0]) < 256:
            continue  # less than a pixel
        copies = thumbnails([change(images[i], rng) for i in rows])
        every = np.concatenate([thumbs, copies])
        subjects = np.concatenate([groups, groups.max() + 1 + np.arange(len(rows))])
        found = near.pairs(near.fingerprint(every), every, subjects, new_from=n)
        # A copy rightly meets the repeats of its original, and their copies; through them it is tied to it as well.
        ends = np.where(found < n, found, rows[np.maximum(found - n, 0)])
        wrong = [groups[a] != groups[b] and same[str(a)] != same[str(b)] for a, b in ends]
        right = [(str(a), str(b)) for (a, b), w in zip(found, wrong, strict=True) if not w]
        known = [(str(i), f"subject {g}") for i, g in enumerate(groups)] + [(str(a), str(b)) for a, b in repeats]
        of = splits.join(
            [*right, *known], {node for edge in [*right, *known] for node in edge} | set(map(str, range(len(every))))
        )
        hits = [of[str(i)] == of[str(n + k)] for k, i in enumerate(rows)]
        alike = likeness(every, np.stack([rows, n + np.arange(len(rows))], axis=1))
        out[name] = {
            "hits": float(np.mean(hits)),
            "pairs_with_others": int(np.sum(wrong)),
            **{f"likeness_suffices_among_{asked}": float((alike > near.threshold(asked)).mean()) for asked in ASKED},
            "usual_recipe": float(usual(thumbs[rows], copies).mean()),
        }
        print(name, out[name], flush=True)
    return out


def strangers(thumbs: np.ndarray, groups: np.ndarray) -> dict[str, Any]:
    """The upper tail of the likeness of images of different subjects, over all pairs, and what it promises."""
    flat = centred(details(thumbs))
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    alike = np.concatenate(
        [
            likeness(thumbs, part[at : at + 2048])
            for part in _plausible(flat, groups)
            for at in range(0, len(part), 2048)
        ]
    )
    total = sum(int((groups[i + 1 :] != groups[i]).sum()) for i in range(len(groups)))
    unlike = np.sort(1 - alike[alike < 0.98])[: TAIL + 1]
    exponent = TAIL / np.log(unlike[TAIL] / unlike[:TAIL]).sum()
    rate = {n: TAIL / total * ((1 - near.threshold(n)) / unlike[TAIL]) ** exponent for n in ASKED}
    return {
        "pairs": total,
        "above": {str(t): int((alike > t).sum()) for t in (0.9, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99)},
        "exponent": float(exponent),
        "expected_false_pairs": {str(n): float(rate[n] * n**2 / 2) for n in ASKED},
        "expected_false_partners_per_image": {str(n): float(rate[n] * n) for n in ASKED},
    }


def _plausible(flat: np.ndarray, groups: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(flat), 500):
        i, j = np.nonzero(flat[start : start + 500] @ flat.T > 0.7)
        wanted = (i + start < j) & (groups[i + start] != groups[j])
        yield np.stack([i[wanted] + start, j[wanted]], axis=1)


def truth(thumbs: np.ndarray, known: pd.Series) -> dict[str, Any]:
    """How the groups of the labels of `mri` come out, where every image is a subject."""
    found = near.pairs(near.fingerprint(thumbs), thumbs, np.arange(len(thumbs)))
    of = splits.join([(str(a), str(b)) for a, b in found], map(str, range(len(thumbs))))
    unit = pd.Series([of[str(i)] for i in range(len(thumbs))])
    several = known.groupby(known).transform("size") > 1
    inside = known[found[:, 0]].to_numpy() == known[found[:, 1]].to_numpy()
    return {
        "pairs_found_inside": int(inside.sum()),
        "known_groups": int(known[several].nunique()),
        "known_groups_whole": int((unit[several].groupby(known[several]).nunique() == 1).sum()),
        "pairs_found_across": int((~inside).sum()),
        "largest_unit": int(unit.value_counts().max()),
    }


def invented(films: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Thumbnails of ``n`` strangers: two films, each bent at random, blended. uint8 ``[n, SIDE, SIDE]``."""
    grid = np.stack(np.mgrid[:SIDE, :SIDE]).astype(np.float32)
    out = np.empty((n, SIDE, SIDE), np.uint8)
    for i in range(n):
        bent = [
            map_coordinates(film, grid + zoom(rng.normal(0, 1.5, (2, 3, 3)), (1, SIDE / 3, SIDE / 3), order=1), order=1)
            for film in films[rng.integers(0, len(films), 2)]
        ]
        out[i] = np.rint((bent[0].astype(float) + bent[1]) / 2)
    return out


def growth(films: np.ndarray, seed: int) -> list[dict[str, Any]]:
    """Time for more and more images, 1 % of which are copies of another one (noise of 5 grey levels)."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    every = invented(films, max(COUNTS), rng)
    for n in COUNTS:
        thumbs = every[:n].copy()
        copied = n // 100
        thumbs[-copied:] = np.clip(thumbs[:copied] + rng.normal(0, 5, (copied, SIDE, SIDE)), 0, 255).astype(np.uint8)
        begin = time.perf_counter()
        prints = near.fingerprint(thumbs)
        middle = time.perf_counter()
        found = near.pairs(prints, thumbs, np.arange(n))
        end = time.perf_counter()
        hits = int((found[:, 1] - found[:, 0] == n - copied).sum())
        row = {"images": n, "fingerprint_seconds": middle - begin, "pairs_seconds": end - middle}
        row |= {"copies": copied, "hits": hits, "other_pairs": len(found) - hits}
        if rows:
            row["pairs_seconds_over_tenth"] = row["pairs_seconds"] / rows[-1]["pairs_seconds"]
        rows.append(row)
        print(row, flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    if not (REAL_DATA / "pneumoniamnist.npz").exists():
        sys.exit(f"no real scans at {REAL_DATA}: set MEDSYN_TEST_DATA")
    sets: dict[str, Any] = {}
    for name in ("xray", "mri", "pneumoniamnist"):
        images, groups, known = load(name)
        thumbs = thumbnails(images)
        found = near.pairs(near.fingerprint(thumbs), thumbs, groups)
        sets[name] = {
            "images": len(images),
            "subjects": len(np.unique(groups)),
            "threshold": near.threshold(len(images)),
            "featureless": int(near.featureless(thumbs).sum()),
            "pairs": len(found),
            "exact_pairs": int((thumbs[found[:, 0]] == thumbs[found[:, 1]]).all((1, 2)).sum()),
            "truth": truth(thumbs, known) if known is not None else None,
            "strangers": strangers(thumbs, groups) if known is None else None,
            "copies": injected(images, thumbs, groups, seed),
        }
        print(name, {k: v for k, v in sets[name].items() if k != "copies"}, flush=True)
    numbers = {
        "command": "python benchmarks/near_duplicates.py",
        "seed": seed,
        "machine": f"{platform.machine()}, {compute.cores()} cores, no GPU",
        "copies_per_change": COPIES,
        "sets": sets,
        "growth": growth(thumbs, seed),
    }
    file = ROOT / "benchmarks" / "results" / "near_duplicates.json"
    file.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
