"""How near the synthetic images are to real ones that the generator never saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from medsyn.compute import numpy_rng
from medsyn.evaluate.inputs.sample import Sample
from medsyn.evaluate.results import Estimate, Fidelity, FidelityRow
from medsyn.metrics.diversity import bandwidth, ms_ssim_diversity, vendi
from medsyn.metrics.fidelity import fid, kid, prdc, unit_numbers
from medsyn.metrics.spectrum import grey_histograms, histogram_distance, log_spectra, spectrum_distance
from medsyn.metrics.texture import texture_distance, texture_features
from medsyn.metrics.two_sample import FOLDS, c2st

Kind = Literal["synthetic", "unfiltered", "floor", "reference"]
SYNTHETIC, FLOOR = "synthetic", "floor (real train)"
"""What the two sets are called that are judged."""

UNFILTERED = "unfiltered"
"""The synthetic set with nothing filtered out, class by class in the same rows. Every other set is a reference."""

LARGEST = 1000
"""Images of a set that are compared; more would only narrow intervals that are narrow enough."""

NEIGHBOURS = 5
SMALLEST, SMALLEST_SUBJECTS = 12, 8
"""Images, and subjects in every set, below which a scope has no rows: two neighbourhoods, and halves of 4 subjects."""

SMALLEST_FID = 200
"""On real films and MR slices 149 to 198 principal components hold 90 % of the features' variance: with fewer images a
covariance does not even span them, and sampling makes up over a fifth of the largest value that FID can take."""

SMALLEST_C2ST = 50

COVERAGE_SHARE = 0.75
SPECTRUM_EXCESS = 3.0
RULE = (
    "Far from the floor: over all images, or within a class, the KID interval of the synthetic set lies wholly above "
    f"that of equally many real training images, and its coverage is below {COVERAGE_SHARE:.0%} of theirs or its power "
    f"spectrum is {SPECTRUM_EXCESS:.0f} dB further from the held-out images than theirs."
)


@dataclass(frozen=True)
class _Drawn:
    """What is kept of a drawn sample, class by class: measured image by image, so that pixels need not stay."""

    kind: Kind
    labels: np.ndarray
    features: np.ndarray
    units: np.ndarray  # names of subjects, "" where there is none
    spectra: np.ndarray
    histograms: np.ndarray
    texture: np.ndarray
    similarity: list[float | None]  # MS-SSIM of each class

    def subjects(self, members: np.ndarray) -> int:
        return int(unit_numbers(len(members), self.units[members]).max(initial=-1)) + 1


def compare(
    held_out: Sample,
    others: Mapping[str, Sample],
    classes: Sequence[str],
    seed: int,
    extractor_name: str,
    held_out_name: str,
) -> Fidelity:
    """Compare every set with the held-out one at equal n, class by class and together.

    Every class gives equally many images to every set, since another mix of classes would count as infidelity and
    every measure here depends on n.

    Args:
        held_out: Real images that the generator never saw.
        others: Name of a set -> its images; by custom the synthetic one, the floor (real training images) and the
            references of `references.reference_samples`.
        classes: Class names.
        seed: Of the draws.
        extractor_name: What made the features.
        held_out_name: Where the held-out images are from.

    Returns:
        Rows of scope "all" first. A scope in which some set has too few images or subjects (`SMALLEST`) has no rows.
    """
    counts = equal_counts([s.labels for s in (held_out, *others.values())], len(classes))
    real = _draw(held_out, counts, "held-out", seed)
    drawn = {name: _draw(sample, counts, name, seed) for name, sample in others.items()}
    rows = []
    for scope, within in [("all", range(len(classes))), *((name, [c]) for c, name in enumerate(classes))]:
        members = np.flatnonzero(np.isin(real.labels, list(within)))
        subjects = min(d.subjects(members) for d in (real, *drawn.values()))
        if len(members) < SMALLEST or subjects < SMALLEST_SUBJECTS:
            continue
        width = bandwidth(real.features[members])
        distinct = vendi(real.features[members], width)
        for name, other in drawn.items():
            similarity = _weighted([(other.similarity[c], counts[c]) for c in within])
            variety = vendi(other.features[members], width) / distinct
            rows.append(_row(name, scope, real, other, members, seed, similarity, variety))
    n = sum(counts)
    mix = ", ".join(f"{name} {k}" for name, k in zip(classes, counts, strict=True))
    described = (
        f"{held_out_name}: {n} images of {real.subjects(np.arange(n))} subjects ({mix}), and as many of every other set"
    )
    if n >= LARGEST - len(classes):
        described += f"; at most {LARGEST} are compared"
    found, sentence = judge(rows, classes)
    return Fidelity(extractor=extractor_name, held_out=described, rows=rows, found=found, sentence=sentence)


def equal_counts(labels: Sequence[np.ndarray], classes: int) -> list[int]:
    """Images of each class that every set can give, at most `LARGEST` together."""
    counts = [min(int((of_set == c).sum()) for of_set in labels) for c in range(classes)]
    shrink = min(1.0, LARGEST / max(sum(counts), 1))
    return [int(n * shrink) for n in counts]


_KINDS: dict[str, Kind] = {SYNTHETIC: "synthetic", UNFILTERED: "unfiltered", FLOOR: "floor"}


def _draw(sample: Sample, counts: Sequence[int], name: str, seed: int) -> _Drawn:
    # The same rows of both: they shall differ in what was filtered out, not in luck.
    drawn_as = SYNTHETIC if name == UNFILTERED else name
    of_class = [
        numpy_rng("fidelity", seed, drawn_as, c).permutation(np.flatnonzero(sample.labels == c))[:n]
        for c, n in enumerate(counts)
    ]
    rows = np.concatenate(of_class).astype(np.int64)
    pixels, similarity = sample.pixels[rows], []
    units = sample.units[rows]
    for c, n in enumerate(counts):
        members = np.arange(n) + sum(counts[:c])
        similarity.append(ms_ssim_diversity(pixels[members], seed, units=units[members]) if n else None)
    return _Drawn(
        kind=_KINDS.get(name, "reference"),
        labels=sample.labels[rows],
        features=sample.features[rows],
        units=units,
        spectra=log_spectra(pixels),
        histograms=grey_histograms(pixels),
        texture=texture_features(pixels),
        similarity=similarity,
    )


def _weighted(values: Sequence[tuple[float | None, int]]) -> float | None:
    known = [(value, n) for value, n in values if value is not None]
    return sum(value * n for value, n in known) / sum(n for _, n in known) if known else None


def _row(
    name: str,
    scope: str,
    real: _Drawn,
    other: _Drawn,
    members: np.ndarray,
    seed: int,
    similarity: float | None,
    variety: float,
) -> FidelityRow:
    a, b, n = real.features[members], other.features[members], len(members)
    units = real.units[members], other.units[members]
    distance, balls = kid(a, b, seed=seed, real_units=units[0], fake_units=units[1]), prdc(a, b, NEIGHBOURS)
    enough = n >= SMALLEST_C2ST and min(d.subjects(members) for d in (real, other)) >= 2 * FOLDS
    told = c2st(a, b, seed, *units) if enough else None
    return FidelityRow(
        name=name,
        kind=other.kind,
        scope=scope,
        n=n,
        kid=Estimate(value=distance.value, low=distance.low, high=distance.high),
        fid=fid(a, b) if n >= SMALLEST_FID else None,
        precision=balls.precision,
        recall=balls.recall,
        density=balls.density,
        coverage=balls.coverage,
        ms_ssim=similarity,
        vendi=variety,
        spectrum=spectrum_distance(real.spectra[members], other.spectra[members]),
        histogram=histogram_distance(real.histograms[members], other.histograms[members]),
        texture=texture_distance(real.texture[members], other.texture[members]),
        c2st=Estimate(value=told.auroc, low=told.low, high=told.high) if told else None,
    )


def is_far(row: FidelityRow, floor: FidelityRow) -> bool:
    """`RULE`, for one scope."""
    clear = row.kid.low is not None and floor.kid.high is not None and row.kid.low > floor.kid.high
    thin = row.coverage < COVERAGE_SHARE * floor.coverage
    return clear and (thin or row.spectrum > floor.spectrum + SPECTRUM_EXCESS)


def judge(rows: Sequence[FidelityRow], classes: Sequence[str]) -> tuple[bool, str]:
    """Whether the synthetic set is far from the floor, by `RULE`, and the sentence that says so."""
    of = {(row.kind, row.scope): row for row in rows if row.kind in ("synthetic", "floor")}
    ours, floor = of.get(("synthetic", "all")), of.get(("floor", "all"))
    if ours is None or floor is None:
        missing = "there is no floor to compare with" if rows else "too few images or subjects are common to the sets"
        return False, f"Fidelity was not judged: {missing}."
    far = [
        scope
        for scope in ("all", *classes)
        if (mine := of.get(("synthetic", scope))) and (theirs := of.get(("floor", scope))) and is_far(mine, theirs)
    ]
    numbers = (
        f"their distance to unseen real images (KID) is {_interval(ours)}, where equally many real training images "
        f"have {_interval(floor)}; {ours.coverage:.0%} of the unseen real images have a synthetic one nearby "
        f"(real ones: {floor.coverage:.0%})"
    )
    placed = _place(ours, [row for row in rows if row.kind == "reference" and row.scope == "all"])
    if "all" in far:
        start = "The synthetic images are clearly unlike real ones"
        if ours.spectrum > floor.spectrum + SPECTRUM_EXCESS:
            start += f", also in sharpness or noise ({ours.spectrum:.1f} dB off in the spectrum)"
    elif far:
        named = ", ".join(f"'{scope}'" for scope in far)
        start = f"The synthetic images of {named} are clearly unlike real ones; over all classes"
    else:
        start = "The synthetic images are not far from real ones"
    return bool(far), f"{start}: {numbers}.{placed}"


def _interval(row: FidelityRow) -> str:
    return f"{row.kid.value:.2f} ({row.kid.low:.2f} to {row.kid.high:.2f})"


def _place(ours: FidelityRow, references: Sequence[FidelityRow]) -> str:
    """Where the set stands among the reference generators, by KID."""
    if not references:
        return ""
    ordered = sorted(references, key=lambda row: row.kid.value)
    nearer = [row for row in ordered if row.kid.value <= ours.kid.value]
    further = [row for row in ordered if row.kid.value > ours.kid.value]

    def named(row: FidelityRow) -> str:
        return f"{row.name} ({row.kid.value:.2f})"

    if not further:
        return f" No reference generator is further away; the furthest is {named(ordered[-1])}."
    if not nearer:
        return f" That is nearer than every reference generator; next is {named(ordered[0])}."
    return f" Among generators that need no training it stands between {named(nearer[-1])} and {named(further[0])}."
