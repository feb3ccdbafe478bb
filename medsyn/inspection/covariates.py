"""How images were acquired, against the classes: what else could a classifier learn from?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from medsyn.inspection.association import DRAWS, UNITS_PER_CLASS, cramers_v, permutation_p
from medsyn.inspection.columns import Coded, Columns
from medsyn.inspection.results import UNKNOWN, UNLABELLED, CrossTable, Gap, Rule

GAP = 0.20
"""Classes differ by at least this share of their images ..."""
LEVEL = 0.05
"""... and chance explains the table with a probability below this, divided by the number of covariates."""
LEVELS = 6
"""Numbers with more distinct values than this are cut at their quartiles."""


@dataclass(frozen=True)
class Covariate:
    """One grouping of the images by how they were acquired."""

    name: str
    title: str
    noun: str  # "a classifier can learn <noun> instead of the disease"
    phrase: str  # "68 % of one class, but 45 % of another <phrase>"
    coded: Coded

    def says(self, level: str) -> str:
        if level == UNKNOWN:
            return f"have no {self.title.lower()} recorded"
        return self.phrase.format(level)


def examine(columns: Columns, labels: np.ndarray, classes: Sequence[str]) -> tuple[list[CrossTable], dict[str, str]]:
    """Cross every covariate with the classes.

    Args:
        columns: Of the dataset.
        labels: Class index of each image, -1 without a label.
        classes: Their names.

    Returns:
        The tables, the strongest association first, and the covariates that are the same everywhere: title -> value.
    """
    varying, same = [], {}
    for covariate in covariates(columns):
        levels = levels_of(covariate.coded)
        seen = np.unique(levels.codes)
        if len(seen) > 1:
            varying.append((covariate, levels))
        elif len(seen):
            same[covariate.title] = levels.values[int(seen[0])]
    known = labels >= 0
    several = len(np.unique(labels[known])) > 1
    examined = sum(several and len(np.unique(levels.codes[known])) > 1 for _, levels in varying)
    limit = LEVEL / max(1, examined)
    tables = [_cross(c, levels, labels, classes, columns.unit.codes, limit) for c, levels in varying]
    return sorted(tables, key=lambda t: (not t.confounded, -(t.cramers_v or 0.0))), same


def rule(covariates: int) -> Rule:
    """When a covariate is called confounded, given how many were examined."""
    limit = LEVEL / max(1, covariates)
    return Rule(
        GAP,
        limit,
        f"A covariate is called confounded with the class where its share differs by {GAP * 100:.0f} points or more "
        f"between two classes and chance alone would make so uneven a table with a probability of at most {limit:.4f} "
        f"({LEVEL} shared among {covariates} covariates). The probability comes from {DRAWS} permutations of whole "
        f"subjects (at most {UNITS_PER_CLASS} a class), so that many images of one patient count once. "
        "Images without a label are left out.",
    )


def covariates(columns: Columns) -> Iterator[Covariate]:
    """The covariates that the dataset has a column for."""
    for name, title, noun, phrase in _TEXTS:
        coded = columns.text(name, "splits" if name == "origin" else "index")
        if coded is not None:
            yield Covariate(name, title, noun, phrase, coded)
    directions = columns.orientation()
    if directions is not None:
        yield Covariate("plane", "Slice plane", "the slice plane", "are {}", _planes(directions))
    for name, title, noun, phrase, write in _NUMBERS:
        values = columns.number(name)
        if values is not None:
            yield Covariate(name, title, noun, phrase, binned(values, write))


_TEXTS = (
    ("view", "View", "the view", "are {}"),
    ("sex", "Sex", "the sex", "are of sex {}"),
    ("age_band", "Age", "the age", "are of patients aged {}"),
    ("vendor", "Vendor", "the vendor", "come from {}"),
    ("modality", "Kind of scan", "the kind of scan", "are {}"),
    ("photometric", "Photometric interpretation", "the photometric interpretation", "are {}"),
    ("display_source", "Display range from", "how grey values were set", "are shown by {}"),
    ("has_mask", "Has a mask", "which images have a mask", "have 'has a mask' {}"),
    ("inverted", "Stored inverted", "how films are stored", "have 'stored inverted' {}"),
    ("synthetic", "Synthetic", "what is synthetic", "have 'synthetic' {}"),
    ("origin", "Split from", "where a split came from", "have a split that is {}"),
)  # fmt: skip
_NUMBERS: tuple[tuple[str, str, str, str, Callable[[float], str]], ...] = (
    ("spacing_row", "Stored spacing, mm", "the pixel size", "have a spacing of {} mm", lambda v: f"{v:.3g}"),
    ("source_height", "Source height, px", "the size of the source image", "are {} pixels high", lambda v: f"{v:.0f}"),
    ("source_width", "Source width, px", "the size of the source image", "are {} pixels wide", lambda v: f"{v:.0f}"),
)


def levels_of(coded: Coded) -> Coded:
    """The same with `UNKNOWN` as a level of its own where there is no value: what is missing may differ by class."""
    names = {"true": "yes", "false": "no"}
    values = [names.get(v, v) for v in coded.values]
    if (coded.codes >= 0).all():
        return Coded(coded.codes, values)
    return Coded(np.where(coded.codes < 0, len(values), coded.codes).astype(np.int32), [*values, UNKNOWN])


def binned(values: np.ndarray, write: Callable[[float], str]) -> Coded:
    """Numbers as levels: each value where there are few, else quarters of the images.

    Args:
        values: float64 ``[n]``, NaN for nothing.
        write: A number as text; numbers that read the same are the same.
    """
    known = values[np.isfinite(values)]
    codes = np.full(len(values), -1, np.int32)
    distinct = np.unique(known)
    texts = dict.fromkeys(write(v) for v in distinct)
    if len(texts) <= LEVELS:
        place = {text: i for i, text in enumerate(texts)}
        of = np.array([place[write(v)] for v in distinct], np.int32)
        codes[np.isfinite(values)] = of[np.searchsorted(distinct, known)]
        return Coded(codes, list(texts))
    # Borders are values that occur, so that a frequent value never lies on both sides.
    borders = np.unique(np.quantile(known, [0.25, 0.5, 0.75], method="inverted_cdf"))
    borders = borders[borders < distinct[-1]]
    if not len(borders):  # most have the largest value: all others are the other level
        borders = distinct[-2:-1]
    codes[np.isfinite(values)] = np.searchsorted(borders, known, side="left")
    starts = [distinct[0], *(distinct[np.searchsorted(distinct, b, side="right")] for b in borders)]
    ends = [*borders, distinct[-1]]
    return Coded(codes, [_range(write(a), write(b)) for a, b in zip(starts, ends, strict=True)])


def _range(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"


def _planes(directions: np.ndarray) -> Coded:
    """Planes by the main axis of the slice normal (row direction x column direction, DICOM PS3.3 C.7.6.2.1.1)."""
    normal = np.abs(np.cross(directions[:, :3], directions[:, 3:]))
    codes = np.full(len(directions), -1, np.int32)
    known = np.isfinite(normal).all(1)
    codes[known] = normal[known].argmax(1)
    return Coded(codes, ["sagittal", "coronal", "axial"])


def _cross(
    covariate: Covariate,
    levels: Coded,
    labels: np.ndarray,
    classes: Sequence[str],
    units: np.ndarray,
    limit: float,
) -> CrossTable:
    """One covariate against the classes; levels in the order of their values, `UNKNOWN` last."""
    order = _order(levels.values)
    rank = np.argsort(order)
    codes, names = rank[levels.codes], [levels.values[i] for i in order]
    k, m = len(classes), len(names)
    known = labels >= 0
    table = np.bincount(labels[known] * m + codes[known], minlength=k * m).reshape(k, m)
    occurs = table.sum(0) + np.bincount(codes[~known], minlength=m) > 0
    images = {name: table[i][occurs].tolist() for i, name in enumerate(classes)}
    if not known.all():
        images[UNLABELLED] = np.bincount(codes[~known], minlength=m)[occurs].tolist()
    names = [n for n, there in zip(names, occurs, strict=True) if there]
    table = table[:, occurs]
    there = table.sum(1) > 0
    if there.sum() < 2 or (table.sum(0) > 0).sum() < 2:
        return CrossTable(covariate.name, covariate.title, names, images, None, None, None, False, "")
    place = np.cumsum(occurs) - 1
    v = cramers_v(table, len(np.unique(units[known])))
    p = permutation_p(labels[known], place[codes[known]], units[known], seed=0)
    gap = _gap(table, classes, names)
    found = gap.difference >= GAP and p <= limit
    sentence = ""
    if found:
        noun = "where images came from" if gap.level == UNKNOWN else covariate.noun
        sentence = (
            f"{gap.high_share * 100:.0f} % of {gap.high} but {gap.low_share * 100:.0f} % of {gap.low} "
            f"{covariate.says(gap.level)}: a classifier can learn {noun} instead of the disease."
        )
    return CrossTable(covariate.name, covariate.title, names, images, v, p, gap, found, sentence)


def _gap(table: np.ndarray, classes: Sequence[str], levels: Sequence[str]) -> Gap:
    there = np.flatnonzero(table.sum(1) > 0)
    shares = table[there] / table[there].sum(1, keepdims=True)
    level = int(np.ptp(shares, axis=0).argmax())
    # With two levels both differ alike: the one that is more frequent reads better.
    ties = np.flatnonzero(np.isclose(np.ptp(shares, axis=0), np.ptp(shares[:, level])))
    level = max(map(int, ties), key=lambda i: (levels[i] != UNKNOWN, levels[i] != "no", shares[:, i].mean()))
    high, low = int(shares[:, level].argmax()), int(shares[:, level].argmin())
    return Gap(
        levels[level],
        classes[int(there[high])],
        float(shares[high, level]),
        classes[int(there[low])],
        float(shares[low, level]),
    )


def _order(values: Sequence[str]) -> list[int]:
    """Numbers ascending, then texts, `UNKNOWN` last."""

    def key(i: int) -> tuple[bool, bool, float, str]:
        start = values[i].split(" to ")[0].split("-")[0].rstrip("+")
        try:
            number = float(start)
        except ValueError:
            return values[i] == UNKNOWN, True, 0.0, values[i]
        return values[i] == UNKNOWN, False, number, values[i]

    return sorted(range(len(values)), key=key)
