"""What a seeded sample of the images shows: brightness by class, histograms, odd images, pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medsyn.data.grey import display, luminance
from medsyn.data.schema import SPLITS
from medsyn.errors import DataError
from medsyn.images import to_pixels
from medsyn.inspection.columns import Columns
from medsyn.inspection.results import UNLABELLED, Brightness, Histogram, Outliers

PER_CLASS = 1000
"""Images a class whose pixels are read, at most."""
BATCH = 64
GREY_EDGES = np.linspace(0, 1, 33)
HU_EDGES = np.linspace(-1000, 2000, 61)
DRAWS = 500
LEAST = 0.65
"""An AUROC of brightness from which a class is called told apart by it, where its interval excludes 0.5."""

CONSTANT, DARK, BRIGHT, MOSTLY = 2 / 255, 0.05, 0.95, 0.95
PROPORTIONS = 1.5
USUAL = 0.25
"""Share of the images from which proportions or a size are a habit of the set: nothing stands out by it."""
SHOWN = 10


@dataclass(frozen=True)
class Sample:
    """Sampled images: their places among `Columns.images`, group (class, or the number of classes), and measures."""

    rows: np.ndarray
    group: np.ndarray
    mean: np.ndarray
    contrast: np.ndarray
    dark: np.ndarray  # share of pixels
    bright: np.ndarray
    grey: np.ndarray  # counts [groups, bins]
    hounsfield: np.ndarray | None


class Pixels:
    """The shards of a dataset, read by image."""

    def __init__(self, folder: Path, meta: Mapping[str, Any], columns: Columns) -> None:
        self.shape = tuple(meta["shape"][1:])
        self.dtype = meta["dtype"]
        self._columns = columns
        try:
            self._shards = [np.load(folder / shard["file"], mmap_mode="r") for shard in meta["shards"]]
        except (OSError, ValueError):
            raise DataError("a shard is missing or damaged", where=folder, mend="Ingest the scans again.") from None

    def batches(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Places in ``rows``, shown grey or colour float32 ``[b, C, H, W]`` in [0, 1], and values in their unit."""
        names = ["shard", "row", "slope", "intercept", "display_low", "display_high", "inverted"]
        table = self._columns.values(names, rows)
        # In the order of the disk.
        order = np.lexsort((table["row"], table["shard"]))
        for start in range(0, len(rows), BATCH):
            at = order[start : start + BATCH]
            part = table.iloc[at]
            stored = np.stack([self._shards[s][r] for s, r in zip(part["shard"], part["row"], strict=True)])
            slope, intercept, low, high, inverted = (part[n].to_numpy()[:, None, None, None] for n in names[2:])
            yield at, display(stored, slope, intercept, low, high, inverted), stored * slope + intercept

    def pictures(self, rows: np.ndarray) -> np.ndarray:
        """uint8 ``[n, C, H, W]``."""
        out = np.zeros((len(rows), *self.shape), np.uint8)
        for at, shown, _ in self.batches(rows):
            out[at] = to_pixels(shown)
        return out


def groups_of(labels: np.ndarray, classes: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Class indices with the unlabelled as a group of its own, and the names of the groups that occur."""
    if (labels >= 0).all():
        return labels, list(classes)
    return np.where(labels < 0, len(classes), labels), [*classes, UNLABELLED]


def read(pixels: Pixels, columns: Columns, labels: np.ndarray, classes: Sequence[str], seed: int = 0) -> Sample:
    """Draw at most `PER_CLASS` images a group over all splits and measure them."""
    rng = np.random.default_rng(seed)
    group, names = groups_of(labels, classes)
    rows = np.concatenate([_some(np.flatnonzero(group == g), PER_CLASS, rng) for g in range(len(names))])
    unit = columns.text("unit")
    hounsfield = np.zeros(len(rows), bool)
    if unit is not None and "HU" in unit.values:
        hounsfield = unit.codes[rows] == unit.values.index("HU")
    n, g = len(rows), len(names)
    mean, contrast, dark, bright = (np.zeros(n) for _ in range(4))
    grey, hu = np.zeros((g, len(GREY_EDGES) - 1), np.int64), np.zeros((g, len(HU_EDGES) - 1), np.int64)
    for at, shown, values in pixels.batches(rows):
        flat = (shown[:, 0] if shown.shape[1] == 1 else luminance(shown.transpose(0, 2, 3, 1))).reshape(len(at), -1)
        mean[at], contrast[at] = flat.mean(1), np.ptp(flat, axis=1)
        dark[at], bright[at] = (flat < DARK).mean(1), (flat > BRIGHT).mean(1)
        for i, place in enumerate(at):
            of = group[rows[place]]
            grey[of] += np.histogram(flat[i], GREY_EDGES)[0]
            if hounsfield[place]:
                hu[of] += np.histogram(np.clip(values[i], HU_EDGES[0], HU_EDGES[-1]), HU_EDGES)[0]
    return Sample(rows, group[rows], mean, contrast, dark, bright, grey, hu if hounsfield.any() else None)


def _some(rows: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    return rows if len(rows) <= n else np.sort(rng.choice(rows, n, replace=False))


def brightness(sample: Sample, units: np.ndarray, classes: Sequence[str], seed: int = 0) -> list[Brightness]:
    """Mean shown grey of each class against the others, the interval by bootstrap over subjects."""
    known = sample.group < len(classes)
    mean, group = sample.mean[known], sample.group[known]
    unit = np.unique(units[sample.rows[known]], return_inverse=True)[1]
    rng = np.random.default_rng(seed)
    several = len(np.unique(group)) > 1
    weights = np.ones((1, len(mean)))
    if several:
        drawn = rng.multinomial(unit.max() + 1, np.full(unit.max() + 1, 1 / (unit.max() + 1)), DRAWS)
        weights = np.concatenate([weights, drawn[:, unit]])
    out = []
    for i, name in enumerate(classes):
        here = group == i
        if not here.any():
            continue
        auroc = low = high = None
        found = False
        if several:
            values = _auroc(mean, here, weights)
            auroc = float(values[0])
            low, high = (float(v) for v in np.nanpercentile(values[1:], [2.5, 97.5]))
            found = max(auroc, 1 - auroc) >= LEAST and not low <= 0.5 <= high
        average, spread = float(mean[here].mean()), float(mean[here].std())
        out.append(Brightness(name, int(here.sum()), average, spread, auroc, low, high, found))
    return out


def _auroc(score: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted chance that a positive scores higher, ties half, for each row of weights ``[draws, n]``."""
    place = np.unique(score, return_inverse=True)[1]
    order = np.argsort(place, kind="stable")
    starts = np.flatnonzero(np.diff(place[order], prepend=-1))
    up = np.add.reduceat(weights[:, order] * positive[order], starts, axis=1)
    down = np.add.reduceat(weights[:, order] * ~positive[order], starts, axis=1)
    below = np.cumsum(down, axis=1) - down / 2
    with np.errstate(invalid="ignore"):  # a draw without one of the sides
        return (up * below).sum(1) / (up.sum(1) * down.sum(1))


def histograms(sample: Sample, names: Sequence[str]) -> list[Histogram]:
    """Shares of shown grey values and, for CT, of Hounsfield units."""
    made = [_histogram("Shown grey values", "0 black to 1 white", GREY_EDGES, sample.grey, names)]
    if sample.hounsfield is not None:
        made.append(
            _histogram(
                "Hounsfield units", "HU; the outer bins hold what lies beyond", HU_EDGES, sample.hounsfield, names
            )
        )
    return made


def _histogram(title: str, unit: str, edges: np.ndarray, counts: np.ndarray, names: Sequence[str]) -> Histogram:
    shares = {name: (c / c.sum()).tolist() for name, c in zip(names, counts, strict=True) if c.sum()}
    return Histogram(title, unit, edges.tolist(), shares)


def outliers(sample: Sample, columns: Columns, side: int) -> list[Outliers]:
    """Images that are no usual picture; proportions and sizes of all images, grey values of the sample."""
    made = []
    for kind, rule, there in (
        ("constant", "all pixels alike as they are shown", sample.contrast < CONSTANT),
        ("nearly black", f"{MOSTLY * 100:.0f} % of the pixels below {DARK}", sample.dark >= MOSTLY),
        ("nearly white", f"{MOSTLY * 100:.0f} % of the pixels above {BRIGHT}", sample.bright >= MOSTLY),
    ):
        # What is constant is not told a second time.
        if kind != "constant":
            there = there & (sample.contrast >= CONSTANT)
        made.append(_outliers(kind, rule, len(sample.rows), columns.images[np.sort(sample.rows[there])]))
    height, width = columns.number("source_height"), columns.number("source_width")
    if height is not None and width is not None:
        aspect = width / np.maximum(height, 1)
        middle = float(np.median(aspect))
        odd = np.abs(np.log(aspect / middle)) > np.log(PROPORTIONS)
        rule = f"width to height more than {PROPORTIONS} times off the usual {middle:.2f}"
        made.append(_standing_out("unusual proportions", rule, columns.images, odd))
        small = np.maximum(height, width) < side
        rule = f"longer side of the source below the {side} pixels stored"
        made.append(_standing_out("enlarged", rule, columns.images, small))
    return made


def _standing_out(kind: str, rule: str, images: np.ndarray, there: np.ndarray) -> Outliers:
    n = int(there.sum())
    if n <= USUAL * len(images):
        return _outliers(kind, rule, len(images), images[there])
    return _outliers(kind, f"{rule}: true of {n} images, so usual in this set", len(images), images[:0])


def _outliers(kind: str, rule: str, examined: int, images: np.ndarray) -> Outliers:
    return Outliers(kind, rule, examined, len(images), [int(i) for i in images[:SHOWN]])


def for_display(
    columns: Columns, labels: np.ndarray, classes: Sequence[str], per_class: int, seed: int = 0
) -> dict[str, np.ndarray]:
    """A few random train images a class, each of another subject as far as there are any.

    Returns:
        class -> places among `Columns.images`.
    """
    rng = np.random.default_rng(seed)
    group, names = groups_of(labels, classes)
    train = columns.split.codes == next((i for i, v in enumerate(columns.split.values) if v == SPLITS[0]), -2)
    out = {}
    for g, name in enumerate(names):
        rows = rng.permutation(_some(np.flatnonzero(train & (group == g)), 50 * per_class, rng))
        first = np.unique(columns.unit.codes[rows], return_index=True)[1]
        again = np.setdiff1d(np.arange(len(rows)), first)
        chosen = rows[np.concatenate([np.sort(first), again])[:per_class].astype(np.int64)]
        if len(chosen):
            out[name] = chosen
    return out
