"""Does the synthetic set serve some patients and fail others?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from medsyn.evaluate import statistics
from medsyn.evaluate.measures import scoring
from medsyn.evaluate.results import Estimate, Subgroup, SubgroupGap

FEW_UNITS = 5
"""With fewer subjects of a class a subgroup gets no AUROC."""

MEASURE = "auroc"


def compare(
    control: np.ndarray,
    synthetic: np.ndarray,
    labels: np.ndarray,
    units: np.ndarray,
    covariates: Mapping[str, np.ndarray | Sequence[str | None]],
    draws: int,
    seed: int,
    *,
    groups: np.ndarray | None = None,
) -> tuple[list[Subgroup], list[SubgroupGap]]:
    """Macro AUROC of both arms within every part of the test subjects.

    Images without a value are left out, as are covariates of which only one value occurs. A subgroup with fewer than
    `FEW_UNITS` subjects of any class is listed with its numbers and without an AUROC.

    Args:
        control: Probabilities of the chosen control ``[S, n, K]``.
        synthetic: Of the chosen synthetic arm ``[S, n, K]``.
        labels: Class indices ``[n]``.
        units: Subject of each image ``[n]``.
        covariates: Name (view, sex, age band, vendor) -> value of each image ``[n]``, None where it is not known.
        draws: Bootstrap draws.
        seed: Of the draws.
        groups: Cross-validation fold of each image ``[n]``.

    Returns:
        The subgroups, and for each covariate with two or more measured ones the gap between the best and the worst.
    """
    found: list[Subgroup] = []
    gaps: list[SubgroupGap] = []
    for covariate, column in covariates.items():
        known = [value for value in column if isinstance(value, str)]
        if len(set(known)) < 2:
            continue
        values = np.array([value if isinstance(value, str) else "" for value in column])
        parts = []
        for value in sorted(set(known)):
            here = values == value
            estimates: tuple[Estimate, Estimate, Estimate] | tuple[None, None, None] = (None, None, None)
            if _enough(labels[here], units[here], control.shape[2]):
                weights = statistics.bootstrap_weights(units[here], labels[here], draws, seed)
                a, b = (
                    scoring.score(
                        p[:, here],
                        None,
                        labels[here],
                        units[here],
                        weights,
                        groups=None if groups is None else groups[here],
                        measures=(MEASURE,),
                    )
                    for p in (control, synthetic)
                )
                if np.isfinite([a.per_seed[MEASURE], b.per_seed[MEASURE]]).all():
                    estimates = a.estimates()[MEASURE], b.estimates()[MEASURE], b.minus(a, MEASURE)
            parts.append(
                Subgroup(
                    covariate=covariate,
                    value=value,
                    images=int(here.sum()),
                    subjects=len(np.unique(units[here])),
                    control=estimates[0],
                    synthetic=estimates[1],
                    effect=estimates[2],
                )
            )
        found += parts
        spread = [
            [e.value for e in estimates if e is not None]
            for estimates in ([p.control for p in parts], [p.synthetic for p in parts])
        ]
        if len(spread[0]) > 1:
            gaps.append(
                SubgroupGap(
                    covariate=covariate,
                    control=max(spread[0]) - min(spread[0]),
                    synthetic=max(spread[1]) - min(spread[1]),
                )
            )
    return found, gaps


def _enough(labels: np.ndarray, units: np.ndarray, classes: int) -> bool:
    return all(len(np.unique(units[labels == c])) >= FEW_UNITS for c in range(classes))
