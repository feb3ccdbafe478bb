"""The ways to compose training data that are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from medsyn.compute import numpy_rng
from medsyn.evaluate.comparison.cells import Cell

Kind = Literal["control", "synthetic", "more real"]
MORE = (0.5, 1.0, 2.0)
"""More real subjects that are tried, relative to those in training, as a scale for what synthetic cases are worth."""


@dataclass(frozen=True)
class Plan:
    """One arm: what is trained on, and how. Steps, batch, schedule and selection rule are the same for all.

    Attributes:
        name: As the report shows it.
        kind: ``control`` uses no synthetic image; ``more real`` is a control with real subjects that others lack.
        real: Whether real training images take part.
        ratio: Synthetic images per real training image; for synthetic-only the size of the set per real image.
        classical: Classical augmentation.
        balance: Classes as they come, drawn equally often, or weighed in the loss.
        duplicated: Real images repeated to the counts of the synthetic arm with this ratio; infinite: of the arm with
            synthetic images only, and then without the real images once each.
        more: Real subjects added.
    """

    name: str
    kind: Kind
    real: bool = True
    ratio: float | None = None
    classical: bool = True
    balance: Literal["none", "oversample", "weights"] = "none"
    duplicated: float | None = None
    more: int = 0


@dataclass(frozen=True)
class Pool:
    """What one arm trains on in one repeat: rows of the cell's real, left-out and synthetic images, int64."""

    real: np.ndarray
    more: np.ndarray
    synthetic: np.ndarray


def controls(classical: str) -> list[Plan]:
    """Real images only, the simpler before the richer (which settles ties).

    Args:
        classical: As in `synthetic`; ``without`` leaves no arm with classical augmentation.
    """
    augmented = classical != "without"
    tail = " + classical" * augmented
    return [
        Plan("real", "control", classical=False),
        *([Plan("real + classical", "control")] if augmented else []),
        Plan(f"oversampled{tail}", "control", classical=augmented, balance="oversample"),
        Plan(f"class weights{tail}", "control", classical=augmented, balance="weights"),
    ]


def synthetic(ratios: Sequence[float], classical: str, *, alone: bool) -> list[Plan]:
    """Arms with synthetic images.

    Args:
        ratios: Synthetic images per real one.
        classical: ``with`` classical augmentation, ``without``, or ``both``.
        alone: Whether synthetic images alone can train a classifier: every class is among them.
    """
    found = [
        Plan(
            f"real + synthetic x{ratio:.3g}{' + classical' * augmented}", "synthetic", ratio=ratio, classical=augmented
        )
        for augmented in (True, False)
        for ratio in ratios
        if classical in ("both", "with" if augmented else "without")
    ]
    if alone:
        augmented = classical != "without"
        found.append(Plan(f"synthetic only{' + classical' * augmented}", "synthetic", real=False, classical=augmented))
    return found


def duplicated(of: Plan) -> Plan:
    """The control that repeats real images to the counts of a synthetic arm: is it the images, or their number?"""
    tail = " + classical" * of.classical
    if of.ratio is None:
        name = f"duplicated real, counts of synthetic only{tail}"
        return Plan(name, "control", real=False, classical=of.classical, duplicated=float("inf"))
    return Plan(f"duplicated real x{of.ratio:.3g}{tail}", "control", classical=of.classical, duplicated=of.ratio)


def more_real(control: Plan, cell: Cell) -> list[Plan]:
    """The control with more real subjects, as many as there are."""
    have, left = len(np.unique(cell.real.units)), len(np.unique(cell.more.units))
    numbers = sorted({min(left, round(share * have)) for share in MORE})
    return [
        Plan(
            f"{control.name}, {k} more patients",
            "more real",
            classical=control.classical,
            balance=control.balance,
            more=k,
        )
        for k in numbers
        if k
    ]


def usable(ratios: Sequence[float], available: int, real: int) -> list[float]:
    """The ratios that a set is large enough for; beyond them only one more, which uses all there is."""
    enough = [ratio for ratio in ratios if 1 <= round(ratio * real) <= available]
    beyond = any(round(ratio * real) > available for ratio in ratios)
    if beyond and available and (not enough or round(enough[-1] * real) < available):
        enough.append(available / real)
    return enough


def compose(plan: Plan, cell: Cell, seed: int) -> Pool:
    """Which images an arm trains on in one repeat.

    Args:
        plan: The arm.
        cell: Its images.
        seed: Of the repeat; another repeat draws other synthetic images.
    """
    real, none = np.arange(len(cell.real)), np.empty(0, np.int64)
    if plan.kind == "more real":
        return Pool(real, _of_subjects(cell, plan.more, seed), none)
    if plan.duplicated is not None:
        wanted = np.bincount(cell.synthetic.labels[_drawn(cell, plan.duplicated, seed)], minlength=cell.classes)
        repeats = [_repeats(cell, c, int(n), seed) for c, n in enumerate(wanted)]
        return Pool(np.concatenate([real, *repeats] if plan.real else repeats), none, none)
    if plan.kind == "control":
        return Pool(real, none, none)
    if not plan.real:
        return Pool(none, none, np.arange(len(cell.synthetic)))
    return Pool(real, none, _drawn(cell, plan.ratio or 0.0, seed))


def _drawn(cell: Cell, ratio: float, seed: int) -> np.ndarray:
    available = len(cell.synthetic)
    wanted = available if np.isinf(ratio) else min(available, round(ratio * len(cell.real)))
    # A smaller ratio uses the first part of the same permutation: ratios differ in number, not in luck.
    return np.sort(numpy_rng("synthetic", seed, available).permutation(available)[:wanted])


def _repeats(cell: Cell, c: int, n: int, seed: int) -> np.ndarray:
    """``n`` real images of one class, each as often as any other to within one."""
    mine = np.flatnonzero(cell.real.labels == c)
    rounds, rest = divmod(n, len(mine))
    return np.sort(np.concatenate([np.tile(mine, rounds), numpy_rng("duplicates", seed, c).permutation(mine)[:rest]]))


def _of_subjects(cell: Cell, k: int, seed: int) -> np.ndarray:
    """Images of ``k`` left-out subjects, in the proportions of the training classes as far as there are enough."""
    units, first = np.unique(cell.more.units, return_index=True)
    of = cell.more.labels[first]
    share = np.bincount(cell.real.labels, minlength=cell.classes) / len(cell.real)
    place = np.empty(len(units))
    for c in range(cell.classes):
        mine = numpy_rng("more", seed, c).permutation(np.flatnonzero(of == c))
        place[mine] = (np.arange(len(mine)) + 0.5) / max(share[c], 1e-9)
    return np.flatnonzero(np.isin(cell.more.units, units[np.argsort(place, kind="stable")[:k]]))
