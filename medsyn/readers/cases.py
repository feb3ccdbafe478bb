"""The cases of a study: as many real as synthetic ones of every class, in an order that tells nothing."""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from medsyn.compute import numpy_rng
from medsyn.data import Dataset, Split
from medsyn.errors import DataError

SPLITS: tuple[Split, ...] = ("val", "tune")
"""Where real cases come from, in this order. Not train, which a generator may repeat; test is for `evaluate` alone."""

Truth = Literal["real", "synthetic"]


@dataclass(frozen=True)
class Drawn:
    """One case before it has a place in the order: ``source`` is its number in the dataset or the set."""

    truth: Truth
    label: int
    source: int


def secret(key: bytes, *parts: object) -> str:
    """What nobody can compute without the project key: HMAC-SHA-256, as 64 hexadecimal digits."""
    return hmac.new(key, "\x1f".join(map(str, parts)).encode(), "sha256").hexdigest()


def counts(n: int, classes: int) -> list[int]:
    """Real cases of each class, and synthetic ones, among ``n`` cases: the first classes get what is left over."""
    half = n // 2
    return [half // classes + (c < half % classes) for c in range(classes)]


def draw(dataset: Dataset, learnt: frozenset[str], labels: np.ndarray, n: int, order: str) -> list[Drawn]:
    """Draw the cases of a study, shuffled.

    Every real case is of another patient, so that cases may be counted as independent.

    Args:
        dataset: Opened for `SPLITS`.
        learnt: Subjects that the generator learnt from: never shown.
        labels: Class index of every synthetic image ``[N]``.
        n: Cases, even.
        order: Secret that the draw follows from.

    Raises:
        DataError: Too few patients or synthetic images of a class.
    """
    rng = numpy_rng("reader study", order)
    wanted = counts(n, len(dataset.classes))
    real, used = _real(dataset, learnt, rng), set[str]()
    drawn: list[Drawn] = []
    missing: list[tuple[str, int, int]] = []
    for label in sorted(range(len(wanted)), key=lambda c: (len({u for _, u in real[c]}), c)):
        taken = list(_of_other_patients(real[label], used, wanted[label]))
        made = rng.permutation(np.flatnonzero(labels == label))[: wanted[label]]
        for what, found in ((f"patients in {' and '.join(SPLITS)}", len(taken)), ("synthetic images", len(made))):
            if found < wanted[label]:
                missing.append((f"only {found} {what} of class '{dataset.classes[label]}'", found, wanted[label]))
        drawn += [Drawn("real", label, image) for image in taken]
        drawn += [Drawn("synthetic", label, int(row)) for row in made]
    if missing:
        what, least, needed = min(missing, key=lambda m: m[1])
        fits = 2 * len(wanted) * least
        raise DataError(
            f"has {what}, and {needed} are needed for {n} cases",
            where=dataset.path,
            mend=f"Ask for fewer: --n {fits}." if fits >= 4 else "Ingest more patients, or generate more images.",
        )
    return [drawn[k] for k in rng.permutation(len(drawn))]


def _real(dataset: Dataset, learnt: frozenset[str], rng: np.random.Generator) -> list[list[tuple[int, str]]]:
    """(image, patient) of each class in random order, those of the first split first."""
    table = dataset.table
    strange = table["subject"].isin(learnt) | table["unit"].isin(learnt) | table["synthetic"]
    table = table[table["label"].notna() & ~strange]
    found: list[list[tuple[int, str]]] = []
    for name in dataset.classes:
        of_class = table[table["label"] == name]
        parts = [of_class[of_class["split"] == split] for split in SPLITS]
        shuffled = [part.iloc[rng.permutation(len(part))] for part in parts]
        found.append([(int(i), str(u)) for part in shuffled for i, u in zip(part.index, part["unit"], strict=True)])
    return found


def _of_other_patients(candidates: Sequence[tuple[int, str]], used: set[str], n: int) -> Iterator[int]:
    for image, unit in candidates:
        if n <= 0:
            return
        if unit not in used:
            used.add(unit)
            n -= 1
            yield image
