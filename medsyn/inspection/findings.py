"""What a reader must not miss, gathered from all parts of an inspection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from medsyn.data.schema import SPLITS
from medsyn.inspection.results import (
    UNLABELLED,
    Brightness,
    ClassCount,
    CrossTable,
    Finding,
    InputCount,
    Leak,
    Outliers,
    PerSubject,
)

RARE = 10
"""A class this many times rarer than the most frequent one is told."""
DOMINANT = 0.1
"""A subject with this share of all images, and five times the median number, is told."""
FAILED = 0.05


def gather(
    leaks: Sequence[Leak],
    counts: Sequence[ClassCount],
    per_subject: PerSubject,
    covariates: Sequence[CrossTable],
    brightness: Sequence[Brightness],
    outliers: Sequence[Outliers],
    inputs: Sequence[InputCount],
    caveats: Sequence[str],
) -> list[Finding]:
    """All findings, severe ones first; caveats of the ingest last."""
    found = [
        *(
            Finding("leak", True, f"Leak: {leak.crossing} of {leak.examined} {leak.what} are in more than one split.")
            for leak in leaks
            if leak.crossing
        ),
        *_labels(counts),
        *(Finding("confounded", False, f"{c.title}: {c.sentence}") for c in covariates if c.confounded),
        *_brightness(brightness),
        *_pictures(outliers),
        *_inputs(inputs),
        *_subjects(per_subject),
    ]
    told = {f.sentence for f in found}
    found += [Finding("caveat", False, caveat) for caveat in caveats if f"{caveat}." not in told]
    return sorted(found, key=lambda f: not f.severe)


def _labels(counts: Sequence[ClassCount]) -> Iterator[Finding]:
    labelled = [c for c in counts if c.label != UNLABELLED]
    total = {c.label: sum(c.images.values()) for c in labelled}
    if not any(total.values()):
        yield Finding("labels", True, "No image has a label, so nothing can be trained on this.")
        return
    for count in counts:
        if count.label == UNLABELLED:
            n = sum(count.images.values())
            # As the caveat of the ingest says it, which is not told a second time.
            said = "has no label and is not trained on" if n == 1 else "have no label and are not trained on"
            yield Finding("labels", False, f"{n} of {n + sum(total.values())} images {said}.")
    for split in SPLITS:
        missing = [c.label for c in labelled if not c.images[split]]
        if missing and split != "tune":
            yield Finding("counts", True, f"No image of {', '.join(missing)} in {split}.")
    most = max(total, key=lambda name: total[name])
    for name, n in total.items():
        if 0 < n * RARE <= total[most]:
            yield Finding(
                "counts", False, f"{name} is rare: {n} images, {total[most] / n:.0f} times fewer than {most}."
            )


def _brightness(rows: Sequence[Brightness]) -> Iterator[Finding]:
    told = [
        f"{b.label} ({'brighter' if b.auroc > 0.5 else 'darker'}, AUROC {max(b.auroc, 1 - b.auroc):.2f})"
        for b in rows
        if b.found and b.auroc is not None
    ]
    if told:
        yield Finding(
            "brightness",
            False,
            f"Brightness: the mean grey value alone tells {', '.join(told)} from the rest: "
            "a classifier can learn the exposure instead of the disease.",
        )


def _pictures(rows: Sequence[Outliers]) -> Iterator[Finding]:
    for o in rows:
        if o.kind in ("constant", "nearly black", "nearly white") and o.found:
            numbers = ", ".join(map(str, o.images[:5])) + (" ..." if o.found > 5 else "")
            sentence = f"{o.found} of {o.examined} images looked at {'is' if o.found == 1 else 'are'} {o.kind}"
            yield Finding("pictures", False, f"{sentence} (image {numbers}).")


def _inputs(rows: Sequence[InputCount]) -> Iterator[Finding]:
    total = sum(r.rows for r in rows)
    failed = sum(r.rows for r in rows if r.outcome == "failed")
    if failed > FAILED * total:
        yield Finding("inputs", False, f"{failed} of {total} rows of the ledger could not be read.")


def _subjects(per_subject: PerSubject) -> Iterator[Finding]:
    large = [s for s in per_subject.largest if s.share >= DOMINANT and s.images > 5 * per_subject.quartiles[2]]
    if large:
        told = ", ".join(f"{s.key} has {s.share * 100:.0f} % ({s.images})" for s in large)
        yield Finding("counts", False, f"Much of all images comes from few subjects: {told}.")
