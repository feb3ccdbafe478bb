"""Which subjects are in training, val and test in each repeat of an evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd

from medsyn.compute import numpy_rng
from medsyn.config import EvaluateOptions
from medsyn.data import SPLITS
from medsyn.data.splits import TUNE_OF_TRAIN
from medsyn.errors import DataError
from medsyn.evaluate.inputs.images import Images, join

FEWEST = 3
"""Subjects of a class in a drawn training or val part, where there are as many."""

SplitOf = dict[int, str]


@dataclass(frozen=True)
class Draw:
    """One repeat, before its images are read: image number -> split; ``more`` are real images left out of training."""

    repeat: int
    fold: int
    split_of: SplitOf
    more: np.ndarray


@dataclass(frozen=True)
class Setting:
    """One composition of the data that arms are compared on.

    Attributes:
        name: As the report shows it.
        description: One sentence.
        draws: One a repeat, or one a repeat and fold.
        regenerated: Whether a generator is trained for each of them.
        decides: Whether the verdict is about it.
        subjects: Where the training subjects of a repeat come from: the stored split, a new draw, or fixed folds.
    """

    name: str
    description: str
    draws: list[Draw]
    regenerated: bool
    decides: bool = True
    subjects: Literal["stored", "drawn", "folds"] = "stored"

    @property
    def folds(self) -> int:
        return 1 + max(d.fold for d in self.draws)


@dataclass(frozen=True)
class Cell:
    """The images of one draw.

    Attributes:
        train: What the generator learnt from.
        tune: What its training was watched by; classifiers train on both.
        val: For thresholds and the choice of arms.
        test: For the final numbers.
        synthetic: Images of a generator that saw none of val and test; ``units`` are empty names.
        more: Real images left out of training; empty where all are in it.
        classes: Number of classes.
        generator: Digest of the generator, empty where unknown.
    """

    train: Images
    tune: Images
    val: Images
    test: Images
    synthetic: Images
    more: Images
    classes: int
    generator: str = ""

    @cached_property
    def real(self) -> Images:
        """train and tune together: an arm without tune would be weaker than what the user can have."""
        return join(self.train, self.tune)


def settings(table: pd.DataFrame, classes: list[str], options: EvaluateOptions) -> list[Setting]:
    """The settings that the options ask for; exactly one decides.

    Args:
        table: Labelled images, indexed by number, with ``unit``, ``label`` and ``split``.
        classes: Class names.
        options: ``fractions``, ``rare``, ``train_subjects``, ``folds``, ``seeds``.

    Raises:
        DataError: More subjects asked for than there are, or too few for the folds.
    """
    units = _Units(table, classes)
    if options.folds:
        return _whole([_folds(units, options)], units)
    if options.rare or options.train_subjects:
        return _whole([_rare(units, options)], units)
    if options.fractions:
        last = max(options.fractions)
        return _whole([_fraction(units, options, f, decides=f == last) for f in options.fractions], units)
    whole = {int(i): str(s) for i, s in table["split"].items()}
    draws = [Draw(r, 0, whole, np.empty(0, np.int64)) for r in range(options.seeds)]
    what = "a generator trained anew for every repeat" if options.regenerate else "one synthetic set"
    return [Setting("all data", f"The stored split, {what}.", draws, options.regenerate)]


def _whole(found: list[Setting], units: _Units) -> list[Setting]:
    """The settings, if every draw has every class in training, val and test."""
    for setting in found:
        for draw in setting.draws:
            splits = pd.Series(draw.split_of)
            labels = units.table.loc[splits.index, "label"]
            for split in ("train", "val", "test"):
                absent = set(units.classes) - set(labels[(splits == split).to_numpy()])
                if absent:
                    raise DataError(
                        f"a draw for '{setting.name}' has no '{min(absent)}' in {split}",
                        where="dataset",
                        mend="Ask for more subjects, or ingest more of that class.",
                    )
    return found


class _Units:
    """Subjects with the class they are stratified by: of several, the one that is rarest."""

    def __init__(self, table: pd.DataFrame, classes: list[str]) -> None:
        self.table, self.classes = table, classes
        frequency = table["label"].value_counts()
        first = table.assign(n=table["label"].map(frequency)).sort_values("n", kind="stable").groupby("unit").first()
        self.label, self.split = first["label"], table.groupby("unit")["split"].first()
        self.images = table.groupby("unit").indices

    def of(self, label: str, *splits: str) -> np.ndarray:
        """Names of the subjects of a class in some splits, sorted."""
        return np.sort(self.label.index[(self.label == label) & self.split.isin(splits)].to_numpy(str))

    def order(self, label: str, split: str, seed: int, repeat: int) -> np.ndarray:
        """The same names in the order they are drawn in: another one in every repeat."""
        names = self.of(label, *(("train", "tune") if split == "train" else (split,)))
        return numpy_rng("cells", seed, repeat, split, label).permutation(names)

    def numbers(self, names: Iterator[str] | np.ndarray | list[str]) -> np.ndarray:
        """Image numbers of subjects."""
        places = [self.images[name] for name in names]
        return self.table.index.to_numpy()[np.concatenate(places)] if places else np.empty(0, np.int64)

    def draw(self, repeat: int, train: Mapping[str, np.ndarray], val: Mapping[str, np.ndarray]) -> Draw:
        """A draw from the subjects of every class in training and val; test is all of the stored one."""
        split_of = {int(i): "test" for i in self.table.index[self.table["split"] == "test"]}
        for label in self.classes:
            for split, names in (_with_tune(train[label]) | {"val": val[label]}).items():
                split_of |= {int(i): split for i in self.numbers(names)}
        rest = self.table.index[self.table["split"].isin(["train", "tune"])].to_numpy()
        return Draw(repeat, 0, split_of, rest[[int(i) not in split_of for i in rest]])


def _with_tune(names: np.ndarray) -> dict[str, np.ndarray]:
    """Drawn training subjects of one class, the first of them for the generator's monitoring."""
    tune = max(1, round(TUNE_OF_TRAIN * len(names))) if len(names) > 3 else 0
    return {"tune": names[:tune], "train": names[tune:]}


def _fraction(units: _Units, options: EvaluateOptions, share: float, *, decides: bool) -> Setting:
    if share == 1:
        whole = {int(i): str(s) for i, s in units.table["split"].items()}
        draws = [Draw(r, 0, whole, np.empty(0, np.int64)) for r in range(options.seeds)]
    else:
        draws = []
        for repeat in range(options.seeds):
            train, val = (
                {
                    c: order[: max(min(FEWEST, len(order)), round(share * len(order)))]
                    for c in units.classes
                    for order in [units.order(c, split, options.seed, repeat)]
                }
                for split in ("train", "val")
            )
            draws.append(units.draw(repeat, train, val))
    words = f"{100 * share:g} % of the subjects in training and val, drawn anew for every repeat; test is whole."
    subjects: Literal["stored", "drawn"] = "stored" if share == 1 else "drawn"
    return Setting(f"{100 * share:g} % of the subjects", words, draws, True, decides, subjects)


def _rare(units: _Units, options: EvaluateOptions) -> Setting:
    unknown = sorted(set(options.rare) - set(units.classes))
    if unknown:
        raise DataError(f"no class '{unknown[0]}'", where="--rare", mend=f"There are: {', '.join(units.classes)}.")
    have = {c: len(units.of(c, "train", "tune")) for c in units.classes}
    wanted = _wanted(have, options)
    for c, n in wanted.items():
        if n > have[c]:
            raise DataError(
                f"{n} subjects of '{c}' asked for, {have[c]} are there",
                where="--rare / --train-subjects",
                mend="Ask for fewer.",
            )
    draws = []
    for repeat in range(options.seeds):
        train = {c: units.order(c, "train", options.seed, repeat)[:n] for c, n in wanted.items()}
        val = {
            c: units.order(c, "val", options.seed, repeat)[: max(FEWEST, round(options.val_share * n))]
            for c, n in wanted.items()
        }
        draws.append(units.draw(repeat, train, val))
    told = ", ".join(f"{c} {n}" for c, n in wanted.items())
    words = f"Training subjects drawn anew for every repeat ({told}), val shrunk with them; test is whole."
    return Setting(f"training of {told}", words, draws, True, subjects="drawn")


def _wanted(have: Mapping[str, int], options: EvaluateOptions) -> dict[str, int]:
    """Training subjects of every class: the rare ones as asked, the others in proportion to what is there."""
    if options.train_subjects is None:
        return {c: options.rare.get(c, n) for c, n in have.items()}
    others = {c: n for c, n in have.items() if c not in options.rare}
    left = options.train_subjects - sum(options.rare.values())
    if left < FEWEST * len(others) or (not others and left):
        raise DataError(
            f"{options.train_subjects} subjects leave {left} for the classes that --rare does not name",
            where="--train-subjects",
            mend="Ask for more in training, or for fewer of the rare classes.",
        )
    total = sum(others.values())
    counts = {c: options.rare.get(c) or max(FEWEST, int(left * have[c] / total)) for c in have}
    if not others:
        return counts
    by_remainder = sorted(others, key=lambda c: counts[c] - left * have[c] / total)
    for c in by_remainder[: max(0, left - sum(counts[c] for c in others))]:
        counts[c] += 1
    largest = max(others, key=lambda c: counts[c])
    counts[largest] -= sum(counts[c] for c in others) - left  # what the smallest classes were raised by
    return counts


def _folds(units: _Units, options: EvaluateOptions) -> Setting:
    k = int(options.folds or 0)
    fewest = min(units.classes, key=lambda c: len(units.of(c, *SPLITS)))
    if len(units.of(fewest, *SPLITS)) < k or k < 3:
        raise DataError(
            f"{k} folds, but class '{fewest}' has {len(units.of(fewest, *SPLITS))} subjects",
            where="--folds",
            mend="Ask for at least 3 folds and at most as many as the rarest class has subjects.",
        )
    fold_of = {
        name: i % k
        for c in units.classes
        for i, name in enumerate(numpy_rng("folds", options.seed, c).permutation(units.of(c, *SPLITS)))
    }
    draws = []
    for repeat in range(options.seeds):
        for fold in range(k):
            split_of: SplitOf = {}
            for c in units.classes:
                rest = np.array([n for n in units.of(c, *SPLITS) if fold_of[n] not in (fold, (fold + 1) % k)])
                rest = numpy_rng("cells", options.seed, repeat, fold, c).permutation(rest)
                parts = _with_tune(rest)
                for split, place in (("test", fold), ("val", (fold + 1) % k)):
                    parts[split] = np.array([n for n in units.of(c, *SPLITS) if fold_of[n] == place])
                for split, names in parts.items():
                    split_of |= {int(i): split for i in units.numbers(names)}
            draws.append(Draw(repeat, fold, split_of, np.empty(0, np.int64)))
    words = (
        f"Cross-validation over {k} folds of subjects: each fold is tested once in every repeat, by networks and "
        "generators that never saw it; one more fold is val. Arms are chosen by the mean over the folds' val, so that "
        "the choice has seen every subject: with few subjects this favours whichever side has more arms."
    )
    return Setting(f"{k} folds", words, draws, True, subjects="folds")
