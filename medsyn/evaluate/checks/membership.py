"""Does a synthetic set lie nearer to one group of subjects than to another of the same kind?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from medsyn.compute import numpy_rng
from medsyn.evaluate.inputs.sample import Sample
from medsyn.evaluate.measures.ranking import auroc
from medsyn.evaluate.results import Estimate, Membership
from medsyn.evaluate.statistics import bootstrap_weights
from medsyn.metrics.fidelity import distances
from medsyn.metrics.neighbours import coarse

ALPHA = 0.01
PERMUTATIONS = 2000
DRAWS = 500
NEIGHBOURS = 128
"""Nearest references looked at; beyond them a training image is all but certainly among the nearer ones."""

QUERIES = 1000
POOL = 4000
"""Synthetic images and references of a side that are compared at most, drawn at random."""

SMALLEST = 5
"""A class with fewer subjects on a side is left out."""


@dataclass(frozen=True)
class Share:
    """The share test in the space, of two, where it shows most.

    Attributes:
        share: Synthetic images whose nearest real neighbour, of equally many members and non-members, is a member's.
        null: Mean under permutation.
        limit: The permutation null's 99th percentile, corrected for two spaces: its 99.5th in this one.
        p_value: Corrected for two spaces.
        n: Synthetic images compared.
        references: Members and non-members compared, each.
        membership: How well a distance tells members.
    """

    share: Estimate
    null: float
    limit: float
    p_value: float
    n: int
    references: int
    membership: Membership

    @property
    def found(self) -> bool:
        """Whether the share lies above its limit."""
        return self.share.value > self.limit


def test(synthetic: Sample, members: Sample, others: Sample, classes: int, seed: int) -> Share | None:
    """Compare a synthetic set with members and non-members of its training set.

    Of every subject and class one image is drawn, so that images are independent; a subject on both sides counts as a
    member. Within each class, the larger side is cut to the size of the smaller one. The share is not that of one such
    cut but its expectation over all of them: if t images of the larger side N lie nearer than the first of the m of the
    smaller one, none of them is among m drawn at random with probability ``C(N - t, m) / C(N, m)``.

    Had the generator treated both sides alike, which subjects are members would be a random draw within each class. The
    null is made of such draws, the expectation formed anew in each; it holds for any distance and any generator. It is
    made in features and in aligned pixels, the p-value is Bonferroni's.

    Args:
        synthetic: The synthetic images.
        members: Images that the generator learnt from, or may have.
        others: Images of the same kind that it has not seen.
        classes: How many there are.
        seed: Of the draws.

    Returns:
        None where no class has `SMALLEST` subjects on both sides and a synthetic image.
    """
    others = others.take(~np.isin(others.units, members.units))
    members, others = (_one_each(side, seed, k) for k, side in enumerate((members, others)))
    ours = synthetic.take(np.sort(numpy_rng("share", seed).permutation(len(synthetic))[:QUERIES]))
    pool = members.join(others)
    member = np.arange(len(pool)) < len(members)
    rng = numpy_rng("share null", seed, len(pool))
    totals = {"features": np.zeros(PERMUTATIONS + 1), "pixels": np.zeros(PERMUTATIONS + 1)}
    to_synthetic, n, references = np.full((2, len(pool)), np.nan), 0, 0
    for c in range(classes):
        queries, rows = ours.take(ours.labels == c), np.flatnonzero(pool.labels == c)
        smaller = int(min(member[rows].sum(), (~member[rows]).sum()))
        if smaller < SMALLEST or not len(queries):
            continue
        rows = rng.permutation(rows)  # ties go to either side at random
        drawn = np.vstack([member[rows], rng.permuted(np.tile(member[rows], (PERMUTATIONS, 1)), axis=1)])
        theirs = pool.take(rows)
        for k, (space, chunks) in enumerate(
            (
                ("features", distances(queries.features, theirs.features)),
                ("pixels", coarse(queries.pixels, theirs.pixels)),
            )
        ):
            order, least = _order(chunks, len(rows))
            totals[space] += _shares(order, drawn, smaller)
            to_synthetic[k, rows] = least
        n, references = n + len(queries), references + smaller
    if not n:
        return None
    results = []
    for k, total in enumerate(totals.values()):
        share, null = total[0] / n, np.sort(total[1:] / n)
        p = (1 + int((null >= share - 1e-12).sum())) / (1 + PERMUTATIONS)
        results.append((p, -(share - null.mean()) / max(null.std(), 1e-12), k, share, null))
    p, _, k, share, null = min(results, key=lambda r: r[:3])
    half = 1.96 * float(null.std())
    kept = np.isfinite(to_synthetic[1])
    near = to_synthetic[1, kept]
    return Share(
        share=Estimate(value=float(share), low=max(0.0, float(share) - half), high=min(1.0, float(share) + half)),
        null=float(null.mean()),
        limit=float(np.quantile(null, 1 - ALPHA / len(results), method="higher")),
        p_value=min(1.0, p * len(results)),
        n=n,
        references=references,
        membership=_membership(near, member[kept], pool.labels[kept], pool.units[kept], seed),
    )


def _one_each(images: Sample, seed: int, side: int) -> Sample:
    order = numpy_rng("one each", seed, side).permutation(len(images))
    keys = np.stack([images.labels[order].astype(str), images.units[order].astype(str)], axis=1)
    _, first = np.unique(keys, axis=0, return_index=True)
    return images.take(np.sort(order[np.sort(first)[:POOL]]))


def _order(chunks: Iterable[tuple[slice, np.ndarray]], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Nearest references of each query, in order, and each reference's distance to its nearest query."""
    least, rows = np.full(size, np.inf), []
    k = min(NEIGHBOURS, size)
    for _, distance in chunks:
        least = np.minimum(least, distance.min(0))
        near = np.argpartition(distance, k - 1, axis=1)[:, :k]
        rows.append(np.take_along_axis(near, np.argsort(np.take_along_axis(distance, near, 1), 1, kind="stable"), 1))
    return np.concatenate(rows), least


def _shares(order: np.ndarray, drawn: np.ndarray, smaller: int) -> np.ndarray:
    """Expected number of queries with a member nearest, for each row of ``drawn`` (members among references)."""
    size = drawn.shape[1]
    larger = size - smaller
    members_are_larger = int(drawn[0].sum()) == larger
    t = np.arange(order.shape[1] + 1)
    left = larger - t
    none = np.where(
        left >= smaller,
        np.exp(
            gammaln(np.maximum(left, 0) + 1)
            - gammaln(np.maximum(left - smaller, 0) + 1)
            - gammaln(larger + 1)
            + gammaln(larger - smaller + 1)
        ),
        0.0,
    )
    value = 1 - none if members_are_larger else none
    out = np.empty(len(drawn))
    rows = max(1, 4_000_000 // order.size)
    for start in range(0, len(drawn), rows):
        small = ~drawn[start : start + rows] if members_are_larger else drawn[start : start + rows]
        hit = small[:, order]
        first = np.where(hit.any(2), hit.argmax(2), order.shape[1])
        out[start : start + rows] = value[first].sum(1)
    return out


def _membership(
    distance: np.ndarray, member: np.ndarray, labels: np.ndarray, units: np.ndarray, seed: int
) -> Membership:
    """AUROC of being near, the classes' mean weighted by their non-members; interval from a bootstrap of subjects."""
    weights = bootstrap_weights(units, 2 * labels + member, DRAWS, seed)
    values, share = [], []
    for c in np.unique(labels):
        here = labels == c
        score = np.stack([distance[here], -distance[here]], axis=1)
        both = np.vstack([np.ones(int(here.sum())), weights[:, here]])
        values.append(auroc(score, member[here].astype(int), both))
        share.append(int((here & ~member).sum()))
    value = np.average(values, axis=0, weights=share)
    half = 1.96 * float(np.nanstd(value[1:], ddof=1))
    estimate = Estimate(value=float(value[0]), low=max(0.0, value[0] - half), high=min(1.0, value[0] + half))
    return Membership(auroc=estimate, members=int(member.sum()), non_members=int((~member).sum()))
