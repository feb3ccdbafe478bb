"""The answer, by a rule that is fixed before the test split is opened."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from medsyn.evaluate import statistics
from medsyn.evaluate.measures.scoring import Scores
from medsyn.evaluate.results import PROBABILITY, Contrast, Decision, DeLong, Estimate, Verdict
from medsyn.page.numbers import signed

MEASURE = "auroc"
FEW_UNITS = 5
"""With fewer test subjects of a class the bootstrap has too little to resample."""
FEW_VAL_UNITS = 10
"""With fewer val subjects of a class chance chooses the arms and thresholds, which is told."""
FEW_SEEDS = 5
THRESHOLD_GAIN = 0.02

NAMES = {
    "auroc": "AUROC",
    "auprc": "average precision",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "f1": "F1",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "ppv": "positive predictive value",
    "npv": "negative predictive value",
    "sensitivity_at_specificity": "sensitivity at fixed specificity",
    "specificity_at_sensitivity": "specificity at fixed sensitivity",
    "brier": "Brier score",
    "calibration_error": "calibration error",
}
NOUNS = {"xray": "films", "mri": "slices", "ct": "slices"}

RULE = (
    "On val, the real-only control and the synthetic arm with the highest AUROC (mean over the seeds that choose) "
    "are chosen. On test, the difference of their {measure} (synthetic minus control{sign}) is taken with its 95 % "
    "interval over seeds and test subjects. Interval wholly {better} 0: helps. Wholly {worse} 0: hurts. Otherwise, "
    "wholly between −{margin:g} and +{margin:g}: equivalent. Otherwise, or with fewer than {seeds} seeds, or with "
    "fewer than {few} subjects of a class in test, or where neither arm was shown to rank better than chance or the"
    " generator seems to have learnt from test subjects: no evidence. Only setting '{setting}' with classifier "
    "'{classifier}' counts; all other numbers are there to be read, not to decide."
)


@dataclass(frozen=True)
class Judged:
    """An arm with its scores.

    Attributes:
        setting: Composition of the data.
        classifier: ``cnn``, ``probe``, ...
        name: Of the arm.
        kind: Of the arm.
        ratio: Synthetic images per real one.
        val_auroc: On val, of each seed ``[S]``.
        val_units: Subjects of the smallest class in val.
        test: With the threshold chosen on val; None: never opened.
        at_half: Decisions without a threshold chosen on val; None: never opened.
        mean_probabilities: On test, mean over seeds ``[n, K]``.
        labels: Of test ``[n]``.
        units: Subjects of test ``[n]``.
        groups: Cross-validation fold of each test image ``[n]``; None: all come from the same models.
    """

    setting: str
    classifier: str
    name: str
    kind: Literal["control", "synthetic", "more real"]
    ratio: float | None
    val_auroc: np.ndarray
    val_units: int
    test: Scores | None
    at_half: Scores | None
    mean_probabilities: np.ndarray
    labels: np.ndarray
    units: np.ndarray
    groups: np.ndarray | None = None


def best(val_auroc: Sequence[np.ndarray]) -> int:
    """The arm with the highest mean AUROC on val; of equal ones the first, which is the simpler.

    Args:
        val_auroc: Of each arm, of each seed ``[S]``.

    Raises:
        ValueError: A value is not finite, as where val lacks a class.
    """
    means = [float(np.mean(v)) for v in val_auroc]
    if not np.isfinite(means).all():
        raise ValueError("an arm has no AUROC on val")
    return int(np.argmax(np.round(means, 12)))


def choose(judged: Sequence[Judged], kind: str) -> Judged:
    """The `best` arm of one kind; all arms must be of one setting and one classifier."""
    mine = [j for j in judged if j.kind == kind]
    return mine[best([j.val_auroc for j in mine])]


def decide(effect: Estimate, margin: float) -> Decision:
    """The printed rule, from the interval alone; more must be better (see `oriented`).

    An interval above 0 is a gain even where it lies inside the margin: the gain is then real, but small.

    Args:
        effect: Synthetic minus control.
        margin: Differences smaller than this count as none.
    """
    if effect.low is None or effect.high is None:
        return "no evidence"
    if effect.low > 0:
        return "helps"
    if effect.high < 0:
        return "hurts"
    if -margin < effect.low and effect.high < margin:
        return "equivalent"
    return "no evidence"


def oriented(effect: Estimate, measure: str) -> Estimate:
    """The effect so that more is better: turned round for errors (Brier score, calibration error)."""
    if measure not in PROBABILITY or effect.low is None or effect.high is None:
        return effect
    return effect.model_copy(update={"value": -effect.value, "low": -effect.high, "high": -effect.low})


def contrasts(
    judged: Sequence[Judged],
    setting: str,
    classifier: str,
    measure: str = MEASURE,
    elsewhere: Sequence[Contrast] = (),
) -> list[Contrast]:
    """Every opened synthetic arm against the chosen control of its setting and classifier, in every measure.

    Args:
        judged: Arms of all settings and classifiers.
        setting: Of the primary contrast.
        classifier: Of the primary contrast.
        measure: The primary endpoint.
        elsewhere: Contrasts on other test sets, which join the secondary ones.

    Returns:
        The primary one first, its p value as it is; Holm's adjusted p values over all others.
    """
    found = list(elsewhere)
    for group in dict.fromkeys((j.setting, j.classifier) for j in judged):
        mine = [j for j in judged if (j.setting, j.classifier) == group]
        if not {"control", "synthetic"} <= {j.kind for j in mine}:
            continue
        control, best = choose(mine, "control"), choose(mine, "synthetic")
        for arm in mine:
            if arm.kind != "synthetic" or arm.test is None or control.test is None:
                continue
            for name in (measure, *(m for m in arm.test.per_seed if m != measure)):
                if not np.isfinite(arm.test.difference(control.test, name)[0]).all():
                    continue
                found.append(
                    Contrast(
                        setting=arm.setting,
                        classifier=arm.classifier,
                        arm=arm.name,
                        control=control.name,
                        measure=name,
                        effect=arm.test.minus(control.test, name),
                        primary=group == (setting, classifier) and arm is best and name == measure,
                    )
                )
    first = [c for c in found if c.primary]
    secondary = [c for c in found if not c.primary]
    adjusted = statistics.holm([1.0 if c.effect.p_value is None else c.effect.p_value for c in secondary])
    return first + [c.model_copy(update={"p_holm": p}) for c, p in zip(secondary, adjusted, strict=True)]


def verdict(
    control: Judged,
    arm: Judged,
    *,
    modality: str,
    margin: float,
    estimand: str,
    measure: str = MEASURE,
    quick: bool = False,
    void: str = "",
    warnings: Sequence[str] = (),
) -> Verdict:
    """The verdict on two chosen arms, whose test scores must be there.

    Args:
        control: The real-only control chosen on val.
        arm: The synthetic arm chosen on val.
        modality: For the wording.
        margin: Differences smaller than this count as none.
        estimand: What would have to be repeated for the interval to apply.
        measure: The primary endpoint, one of `results.MEASURES`.
        quick: A quick run, which decides nothing.
        void: Why no verdict is possible whatever the interval says, in a sentence; empty where it is.
        warnings: Sentences from the other checks; those about the comparison itself are added.
    """
    mine, other = _opened(arm), _opened(control)
    effect = mine.minus(other, measure)
    better = oriented(effect, measure)
    seeds = len(mine.per_seed[measure])
    quick = quick or seeds < FEW_SEEDS
    barred = _too_few_seeds(seeds) if quick else ""
    few = _too_few_subjects(arm)
    decision: Decision = "no evidence" if void or barred or few else decide(better, margin)
    detectable = statistics.detectable(effect)
    subjects = _needed_subjects(arm, control, measure, margin)
    noun = NOUNS.get(modality, "images")
    advice = _advice(arm, control, measure, margin, detectable, subjects)
    ending = {
        "helps": f" The gain is surely smaller than {margin:g}, which counts as none."
        if _within(better, margin)
        else "",
        "hurts": f" The loss is surely smaller than {margin:g}, which counts as none."
        if _within(better, margin)
        else "",
        "equivalent": f" Any difference is smaller than {margin:g}.",
        "no evidence": f" {few or barred or void or advice}",
    }[decision]
    opening = {
        "helps": f"The synthetic {noun} help",
        "hurts": f"The synthetic {noun} hurt",
        "equivalent": f"The synthetic {noun} make no difference that counts",
        "no evidence": f"No evidence that the synthetic {noun} help",
    }[decision]
    values = [float(scores.per_seed[measure].mean()) for scores in (mine, other)]
    sentence = (
        f"{opening}: {NAMES[measure]} {values[0]:.3f} with them against {values[1]:.3f} without (difference "
        f"{signed(effect.value)}, 95 % interval {signed(effect.low)} to {signed(effect.high)}).{ending}"
    )
    cross = _delong(control, arm, effect) if measure == "auroc" else None
    own = [few, barred, _chosen_by_chance(arm), _moved(control, arm)]
    if cross is not None and not cross.agrees:
        own.append(_disagreement(cross))
    lower = measure in PROBABILITY
    return Verdict(
        decision=decision,
        sentence=sentence,
        rule=RULE.format(
            measure=NAMES[measure],
            sign=", lower is better" if lower else "",
            better="below" if lower else "above",
            worse="above" if lower else "below",
            margin=margin,
            seeds=FEW_SEEDS,
            few=FEW_UNITS,
            setting=arm.setting,
            classifier=arm.classifier,
        ),
        estimand=estimand,
        setting=arm.setting,
        classifier=arm.classifier,
        measure=measure,
        margin=margin,
        arm=arm.name,
        control=control.name,
        effect=effect,
        quick=quick,
        detectable=detectable,
        needed_subjects=subjects,
        delong=cross,
        warnings=[*warnings, *(w for w in own if w)],
    )


def _opened(judged: Judged) -> Scores:
    if judged.test is None:
        raise ValueError(f"arm '{judged.name}' was never opened on test")
    return judged.test


def _within(effect: Estimate, margin: float) -> bool:
    return effect.low is not None and effect.high is not None and -margin < effect.low and effect.high < margin


def _too_few_seeds(seeds: int) -> str:
    return f"Only {seeds} repeats of the training: a quick run decides nothing; {FEW_SEEDS} repeats are the least."


def _too_few_subjects(arm: Judged) -> str:
    units = _opened(arm).units
    if units >= FEW_UNITS:
        return ""
    return f"Too few subjects to decide: the smallest class has {units} in test; {FEW_UNITS} are the least."


def _chosen_by_chance(arm: Judged) -> str:
    if arm.val_units >= FEW_VAL_UNITS:
        return ""
    return (
        f"Arms and decision thresholds are chosen on val, where the smallest class has {arm.val_units} subjects: "
        "largely by chance. Measures without a threshold, such as AUROC, do not suffer from the latter."
    )


def _needed_subjects(arm: Judged, control: Judged, measure: str, margin: float) -> int | None:
    """Of all classes, in the mix that test has."""
    test = _opened(arm)
    least = statistics.needed_subjects(*test.difference(_opened(control), measure), test.units, margin)
    return None if least is None else math.ceil(least * len(np.unique(arm.units)) / test.units)


def _advice(arm: Judged, control: Judged, measure: str, margin: float, detectable: float, subjects: int | None) -> str:
    """What this comparison could have found, and what it would take to find the margin."""
    test = _opened(arm)
    difference = test.difference(_opened(control), measure)
    could = f"This comparison finds a true difference of {detectable:.3f} in four of five repetitions"
    if detectable <= margin:
        return f"{could}."
    now = len(np.unique(arm.units))
    if subjects is not None:
        return f"{could}; to find {margin:g}, about {subjects:,} test subjects like these would be needed, not {now:,}."
    seeds = statistics.needed_seeds(*difference, test.units, margin)
    if seeds is not None:
        return (
            f"{could}; to find {margin:g}, no number of test subjects would do, because the trainings differ too much: "
            f"about {seeds} seeds would be needed."
        )
    if not np.ptp(difference[1]) > 0:
        return f"{could}: both arms gave the same values in every draw, on {now:,} test subjects."
    return f"{could}; to find {margin:g}, both more seeds and more test subjects would be needed."


def _delong(control: Judged, arm: Judged, effect: Estimate) -> DeLong | None:
    """Only where the test is defined: two classes, two subjects of each, one model for all test images."""
    if arm.mean_probabilities.shape[1] != 2 or arm.groups is not None or _opened(arm).units < 2:
        return None
    difference, _, p = statistics.delong(
        arm.mean_probabilities[:, 1], control.mean_probabilities[:, 1], arm.labels, arm.units
    )
    apart = effect.low is not None and effect.high is not None and (effect.low > 0 or effect.high < 0)
    return DeLong(difference=difference, p_value=p, agrees=(p < 1 - statistics.LEVEL) == apart)


def _disagreement(cross: DeLong) -> str:
    found = (
        "finds a difference where the interval above does not"
        if cross.p_value < 0.05
        else ("finds no difference where the interval above does")
    )
    return (
        f"DeLong's test {found} (AUROC of the seeds' mean scores {signed(cross.difference)}, p = {cross.p_value:.2g}): "
        "it holds for these trained networks averaged, not for training them again, and does not decide."
    )


def _moved(control: Judged, arm: Judged) -> str:
    if arm.at_half is None or control.at_half is None:
        return ""
    half, tuned = (
        float((a.per_seed["balanced_accuracy"] - b.per_seed["balanced_accuracy"]).mean())
        for a, b in ((arm.at_half, control.at_half), (_opened(arm), _opened(control)))
    )
    if half < THRESHOLD_GAIN or tuned >= half / 2:
        return ""
    return (
        f"Without a decision threshold chosen on val, balanced accuracy changes by {signed(half)}; with one, by "
        f"{signed(tuned)}: that gain comes from a moved threshold, not from a better ranking."
    )
