"""Does a synthetic set hold copies, and does it lie nearer to the training images than to unseen ones?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medsyn.evaluate.checks import membership, singles
from medsyn.evaluate.inputs.sample import Sample
from medsyn.evaluate.results import Copying, Estimate

LOOK = "Look at the closest pairs before sharing anything, and leave the copies out."


def test(
    synthetic: Sample, train: Sample, unseen: Sample, classes: Sequence[str], seed: int
) -> tuple[Copying, list[tuple[int, int, float]]]:
    """Look for single copies among all training images, and compare training with unseen subjects.

    Args:
        synthetic: The synthetic images.
        train: Images that the generator learnt from.
        unseen: Real images of the same source that it has not: tune and val; test where these are too few.
        classes: Class names.
        seed: Of the draws.

    Returns:
        The result, and of every synthetic image (its row, the row of the training image most like it, the ratio of
        distances that tells a copy), best first.
    """
    single = singles.find(synthetic.pixels, train.pixels, train.units, seed)
    shared = membership.test(synthetic, train, unseen, len(classes), seed)
    copies, examined = int(single.copies.sum()), len(synthetic)
    order = np.lexsort((single.nearest.distance, single.nearest.ratio))
    closest = [(int(i), int(single.nearest.rows[i]), float(single.nearest.ratio[i])) for i in order]
    result = Copying(
        tested=shared is not None,
        examined=examined,
        copies=copies,
        limit=single.limit,
        n=shared.n if shared else 0,
        share=shared.share if shared else Estimate(value=0),
        null=shared.null if shared else 0.5,
        null_99=shared.limit if shared else 1.0,
        p_value=shared.p_value if shared else 1.0,
        references=shared.references if shared else 0,
        nearest_ratio=_ratio(single) if examined and len(train) else None,
        distance_ratio=float(np.median(single.nearest.second)) if examined and len(train) else None,
        membership=shared.membership if shared else None,
        found=copies > 0 or (shared is not None and shared.found),
        sentence=_sentence(copies, examined if len(train) else 0, shared),
    )
    return result, closest


def untested(why: str) -> Copying:
    """The result where no comparison was possible."""
    sentence = f"Copying was not tested: {why}."
    return Copying(tested=False, n=0, share=Estimate(value=0), p_value=1, found=False, sentence=sentence)


def _ratio(single: singles.Singles) -> float:
    return float(np.median(single.nearest.distance) / max(single.typical, 1e-12))


def _sentence(copies: int, examined: int, shared: membership.Share | None) -> str:
    few = f"{copies} of {examined} synthetic images all but equal a training image"
    if shared is None:
        if copies:
            return f"Copying: {few}. {LOOK}"
        seen = f"none of {examined} synthetic images all but equals a training image" if examined else ""
        untested = "too few unseen real images to compare the training images with" if examined else "no training image"
        return (
            f"Copying was tested in part: {seen}; {untested}." if examined else f"Copying was not tested: {untested}."
        )
    count = round(shared.share.value * shared.n)
    compared = (
        f"{count} of {shared.n} synthetic images ({shared.share.value:.1%}) lie nearer to a training image than to "
        f"any of equally many unseen ones ({shared.references} each); chance gives {shared.null:.1%}, at most "
        f"{shared.limit:.1%} in 199 of 200 cases"
    )
    if copies or shared.found:
        parts = [few] * bool(copies) + [compared] * shared.found
        advice = LOOK if copies else "Train for less long, or on more subjects; look at the closest pairs."
        return f"Copying: {'; '.join(parts)}. {advice}"
    return (
        f"No sign of copying: none of {examined} synthetic images all but equals a training image; {compared}. "
        "That alone does not make them safe to publish."
    )


def knows(synthetic: Sample, suspects: Sample, others: Sample, classes: Sequence[str], seed: int) -> tuple[bool, str]:
    """Has the generator seen images that it should not have? For a synthetic set that comes without a record.

    The tests of `test`, with the test split as suspects and val as images of the same kind. Both must have been drawn
    alike: where the test split comes from elsewhere, it may lie nearer for that reason.

    Args:
        synthetic: The synthetic images.
        suspects: Images that the generator must not have seen.
        others: Images of the same source that it has not seen either.
        classes: Class names.
        seed: Of the draws.

    Returns:
        Whether it looks so, and a sentence.
    """
    single = singles.find(synthetic.pixels, suspects.pixels, suspects.units, seed)
    shared = membership.test(synthetic, suspects, others, len(classes), seed)
    copies = int(single.copies.sum())
    found = []
    if copies:
        found.append(f"{copies} of {len(synthetic)} synthetic images all but equal a test image")
    if shared is not None and shared.found:
        found.append(
            f"{shared.share.value:.1%} of {shared.n} synthetic images lie nearer to a test image than to any of "
            f"equally many val images ({shared.references} each), more than chance allows ({shared.limit:.1%})"
        )
    if found:
        return True, f"The generator seems to have learnt from test subjects: {'; '.join(found)}."
    if shared is None:
        return False, (
            f"None of {len(synthetic)} synthetic images all but equals a test image; test and val hold too few "
            "subjects to tell more."
        )
    return False, (
        f"No sign that the generator learnt from test subjects: none of {len(synthetic)} synthetic images all but "
        f"equals a test image, and {shared.share.value:.1%} lie nearer to a test image than to any of "
        f"equally many val images (chance: {shared.null:.1%}, at most {shared.limit:.1%})."
    )
