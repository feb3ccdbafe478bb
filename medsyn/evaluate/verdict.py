"""The answer, by a rule that is fixed before the test split is opened."""

from __future__ import annotations

from collections.abc import Sequence

from medsyn.evaluate.comparison import Scored
from medsyn.evaluate.results import MEASURES, Contrast, Decision, Estimate, Verdict

MEASURE = "auroc"

RULE = (
    "On val, the synthetic arm and the real-only control with the highest AUROC (mean over seeds) are chosen. On test, "
    "the difference of their AUROC is taken with its 95 % interval (seeds and test subjects). Interval wholly above 0: "
    "helps. Wholly below 0: hurts. Otherwise, or with fewer than {few} subjects of a class in val or test: no "
    "evidence. Only classifier '{classifier}' counts; all other numbers are there to be read, not to decide. The "
    "interval holds for this one trained generator and this one synthetic set; another could come out differently."
)

FEW_UNITS = 5
"""With fewer subjects of a class the bootstrap has too little to resample, and chance chooses the arms on val."""

NOUNS = {"xray": "films", "mri": "slices", "ct": "slices"}
FEW_SEEDS = 5
THRESHOLD_GAIN = 0.02


def choose(scored: Sequence[Scored], classifier: str, kind: str) -> Scored:
    """The arm of one kind with the best AUROC on val; of equal ones the first, which is the simpler."""
    mine = [s for s in scored if s.outcome.classifier == classifier and s.outcome.plan.kind == kind]
    return max(mine, key=lambda s: s.val.per_seed[MEASURE].mean())


def contrasts(scored: Sequence[Scored], classifiers: Sequence[str], primary: str) -> list[Contrast]:
    """Every synthetic arm against the chosen control, in every measure; the primary one first."""
    found = []
    for classifier in classifiers:
        control, best = choose(scored, classifier, "control"), choose(scored, classifier, "synthetic")
        for arm in scored:
            if arm.outcome.classifier != classifier or arm.outcome.plan.kind != "synthetic":
                continue
            found += [
                Contrast(
                    classifier=classifier,
                    arm=arm.outcome.plan.name,
                    control=control.outcome.plan.name,
                    measure=measure,
                    effect=arm.test.minus(control.test, measure),
                    primary=classifier == primary and arm is best and measure == MEASURE,
                )
                for measure in MEASURES
            ]
    return sorted(found, key=lambda c: not c.primary)


def decide(effect: Estimate) -> Decision:
    """`helps`, `hurts` or `no evidence`, from the interval alone."""
    if effect.low is not None and effect.low > 0:
        return "helps"
    if effect.high is not None and effect.high < 0:
        return "hurts"
    return "no evidence"


def verdict(scored: Sequence[Scored], primary: str, modality: str, warnings: Sequence[str]) -> Verdict:
    """The verdict on the primary classifier.

    Args:
        scored: All arms.
        primary: Classifier that decides.
        modality: For the wording.
        warnings: Sentences from the other checks; those about the comparison itself are added.
    """
    control, arm = choose(scored, primary, "control"), choose(scored, primary, "synthetic")
    effect = arm.test.minus(control.test, MEASURE)
    few = _too_few(arm)
    decision = "no evidence" if few else decide(effect)
    opening = {
        "helps": "The synthetic {} help",
        "hurts": "The synthetic {} hurt",
        "no evidence": "No evidence that the synthetic {} help",
    }[decision].format(NOUNS.get(modality, "images"))
    means = [float(s.test.per_seed[MEASURE].mean()) for s in (arm, control)]
    sentence = (
        f"{opening}: AUROC {means[0]:.3f} with them against {means[1]:.3f} without (difference {signed(effect.value)}, "
        f"95 % interval {signed(effect.low)} to {signed(effect.high)}).{' ' * bool(few)}{few}"
    )
    return Verdict(
        decision=decision,
        sentence=sentence,
        rule=RULE.format(classifier=primary, few=FEW_UNITS),
        classifier=primary,
        measure=MEASURE,
        arm=arm.outcome.plan.name,
        control=control.outcome.plan.name,
        effect=effect,
        warnings=[*warnings, *[few] * bool(few), *_own_warnings(arm, control)],
    )


def signed(value: float | None) -> str:
    """A difference with its sign, three decimals; a rounded zero has none."""
    text = f"{value or 0.0:+.3f}"
    return text[1:] if float(text) == 0 else text.replace("-", "−")


def _too_few(arm: Scored) -> str:
    short = [f"{s.units} in {split}" for split, s in (("val", arm.val), ("test", arm.test)) if s.units < FEW_UNITS]
    if not short:
        return ""
    return f"Too few subjects to decide: the smallest class has {' and '.join(short)}; {FEW_UNITS} are the least."


def _own_warnings(arm: Scored, control: Scored) -> list[str]:
    found = []
    seeds = len(arm.test.per_seed[MEASURE])
    if seeds < FEW_SEEDS:
        found.append(f"Only {seeds} repeats of the training: the interval is wide. Use --seeds {FEW_SEEDS} or more.")
    half, tuned = (
        float((a.per_seed["balanced_accuracy"] - b.per_seed["balanced_accuracy"]).mean())
        for a, b in ((arm.at_half, control.at_half), (arm.test, control.test))
    )
    if half >= THRESHOLD_GAIN and tuned < half / 2:
        found.append(
            f"Without a decision threshold chosen on val, balanced accuracy changes by {signed(half)}; with one, by "
            f"{signed(tuned)}: that gain comes from a moved threshold, not from a better ranking."
        )
    return found
