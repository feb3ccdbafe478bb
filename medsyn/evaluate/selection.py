"""What the filter of the candidates did: the set against one of the same size with nothing filtered out."""

from __future__ import annotations

from typing import Any

from medsyn.evaluate import verdict
from medsyn.evaluate.checks.run import Checks
from medsyn.evaluate.comparison.unfiltered import Beside
from medsyn.evaluate.inputs.resolve import Given
from medsyn.evaluate.measures.scoring import Scores
from medsyn.evaluate.results import Decision, Estimate, Selection
from medsyn.page.numbers import signed
from medsyn.synthetic.unfiltered import Unfiltered


def judged(given: Given | None, classes: list[str]) -> dict[str, Any]:
    """How many candidates of each class were judged, accepted, and rejected by which rule: fields of `Selection`."""
    if given is None or given.opened is None:
        return {}
    table = given.opened.candidates()
    of_class = {name: table[table["label"] == name] for name in classes}
    return {
        "judged": {name: len(mine) for name, mine in of_class.items()},
        "accepted": {name: int(mine["accepted"].sum()) for name, mine in of_class.items()},
        "rejected": {
            name: mine.loc[~mine["accepted"], "reason"].fillna("unknown").value_counts(sort=False).to_dict()
            for name, mine in of_class.items()
        },
    }


def compare(
    beside: Beside,
    filtered: Scores,
    unfiltered: Scores,
    examined: Checks,
    copies: int,
    *,
    measure: str,
    margin: float,
    barred: bool,
) -> Selection:
    """Contrast the chosen synthetic arm with the one that was trained on the unfiltered set.

    Args:
        beside: The unfiltered set.
        filtered: The chosen arm on test.
        unfiltered: The other on test.
        examined: Searches for copies.
        copies: What was found in the set.
        measure: The primary endpoint.
        margin: Differences smaller than this count as none.
        barred: Whether nothing may be decided here, whatever the interval says.
    """
    swapped, synthetic = beside.swapped, examined.examined.cell.synthetic
    effect = filtered.minus(unfiltered, measure)
    barred = barred or filtered.units < verdict.FEW_UNITS
    decision: Decision = "no evidence" if barred else verdict.decide(verdict.oriented(effect, measure), margin)
    gone, came = (examined.copies_among(pixels) for pixels in (swapped.pixels, synthetic.pixels[swapped.rows]))
    both = None if gone is None or came is None else (copies, copies - came + gone)
    replaced = f"{len(swapped.rows)} of {len(synthetic)} images"
    return Selection(
        tested=True,
        **judged(examined.inputs.given, examined.classes),
        replaced=len(swapped.rows),
        measure=measure,
        filtered=filtered.estimates().get(measure),
        unfiltered=unfiltered.estimates().get(measure),
        effect=effect,
        decision=decision,
        filtered_copies=both and both[0],
        unfiltered_copies=both and both[1],
        notes=_notes(swapped),
        sentence=sentence(effect, decision, measure, margin, replaced, both, barred=barred),
    )


def untested(given: Given | None, classes: list[str], why: str) -> Selection:
    """The result where there is nothing to compare.

    Args:
        given: The synthetic set.
        classes: Class names.
        why: The end of a sentence.
    """
    return Selection(tested=False, **judged(given, classes), sentence=f"Selection was not compared: {why}.")


def sentence(
    effect: Estimate,
    decision: Decision,
    measure: str,
    margin: float,
    replaced: str,
    copies: tuple[int, int] | None,
    *,
    barred: bool = False,
) -> str:
    """The result in one sentence.

    Args:
        effect: Filtered minus unfiltered.
        decision: What it comes to.
        measure: Of the effect.
        margin: Differences smaller than this count as none.
        replaced: How many images are others.
        copies: Found in the filtered and the unfiltered set; None: not searched.
        barred: Whether nothing could be decided.
    """
    small = f", by less than the {margin:g} that counts" if _within(effect, margin) else ""
    came_to = {
        "helps": f"with these candidates it helps the classifier{small}",
        "hurts": f"with these candidates it hurts the classifier{small}",
        "equivalent": f"with these candidates the classifier changes by less than {margin:g}",
        "no evidence": "no evidence that it helps the classifier" + ", and too little here to tell" * barred,
    }[decision]
    found = ""
    if copies is not None:
        found = (
            f"; {copies[0]} of the images all but equal a training image with it, {copies[1]} without"
            if any(copies)
            else "; no image all but equals a training image, with it or without"
        )
    return (
        f"Selection replaced {replaced} and changed {verdict.NAMES[measure]} by {signed(effect.value)} (95 % "
        f"interval {signed(effect.low)} to {signed(effect.high)}): {came_to}{found}."
    )


def _within(effect: Estimate, margin: float) -> bool:
    return effect.low is not None and effect.high is not None and -margin < effect.low and effect.high < margin


def _notes(swapped: Unfiltered) -> list[str]:
    if not swapped.changed:
        return []
    return [
        f"{swapped.changed} of the {len(swapped.rows)} rejected images have other bits here than where they were "
        "judged (another machine, or another version of torch). Images of the set that were made again for comparison "
        f"are {255 * swapped.apart:.2g} of 255 grey levels away from themselves."
    ]
