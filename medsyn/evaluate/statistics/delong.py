"""DeLong's test of two correlated AUROCs."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm, rankdata


def delong(
    scores_a: np.ndarray, scores_b: np.ndarray, labels: np.ndarray, units: np.ndarray | None = None
) -> tuple[float, float, float]:
    """Difference of two AUROCs on the same images, its variance, and the two-sided p value.

    DeLong, DeLong and Clarke-Pearson 1988, with the placement values taken from midranks (Sun and Xu 2014, n log n).
    With several images a subject the placements are summed within subjects, and a subject with images of both classes
    contributes to both sums and to their covariance (Obuchowski 1997). With one image a subject the two agree.

    Args:
        scores_a: ``[n]``, higher is more likely positive.
        scores_b: ``[n]``, of the other classifier.
        labels: 1 for positive, 0 for negative ``[n]``.
        units: Subject of each image ``[n]``; None: each its own.

    Returns:
        AUROC of a minus AUROC of b, its variance, p. Where nothing varies p is 1 for equal AUROCs and else 0.
    """
    positive = labels == 1
    m, n = int(positive.sum()), int((~positive).sum())
    # Placement of a positive: share of negatives below it; of a negative: share of positives above it.
    up, down = np.zeros(m), np.zeros(n)
    for sign, scores in ((1, scores_a), (-1, scores_b)):
        ranks = rankdata(scores)
        up += sign * (ranks[positive] - rankdata(scores[positive])) / n
        down += sign * (1 - (ranks[~positive] - rankdata(scores[~positive])) / m)
    difference = float(up.mean())
    if units is None:
        variance = float(up.var(ddof=1) / m + down.var(ddof=1) / n)
    else:
        place = np.unique(units, return_inverse=True)[1]
        of_up, of_down = (
            np.bincount(place[mask], values - difference, place.max() + 1)
            for mask, values in ((positive, up), (~positive, down))
        )
        i, j = len(np.unique(place[positive])), len(np.unique(place[~positive]))
        every = place.max() + 1
        alone = i / (i - 1) * (of_up @ of_up) / m**2 + j / (j - 1) * (of_down @ of_down) / n**2
        variance = max(float(alone + 2 * every / (every - 1) * (of_up @ of_down) / (m * n)), 0.0)
    if variance <= 1e-15:
        return difference, variance, float(abs(difference) < 1e-12)
    return difference, variance, float(2 * norm.sf(abs(difference) / np.sqrt(variance)))
