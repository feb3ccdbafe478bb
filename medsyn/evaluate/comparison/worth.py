"""How many more real patients would have done as much as the synthetic cases."""

from __future__ import annotations

from collections.abc import Sequence

from scipy.optimize import isotonic_regression

from medsyn.evaluate import results
from medsyn.evaluate.comparison.group import Group
from medsyn.evaluate.comparison.utility import Utility


def in_patients(comparison: Utility, group: Group) -> results.Worth | None:
    """How many more real patients did as much on test as the synthetic cases; None without a scale."""
    scale = [plan for plan in group.plans if plan.kind == "more real"]
    if not scale:
        return None
    arm, control = group.pair
    reached, *values = (
        float(comparison.test_scores(group, plan).per_seed["auroc"].mean()) for plan in (arm, control, *scale)
    )
    return read_off([0, *(plan.more for plan in scale)], values, reached)


def read_off(numbers: Sequence[int], values: Sequence[float], reached: float) -> results.Worth:
    """Read off the scale of more real patients what the synthetic cases did.

    Args:
        numbers: Patients added, ascending, the first 0.
        values: AUROC on test with them, as measured.
        reached: AUROC of the synthetic arm.
    """
    told = ", ".join(f"{value:.3f} with {n} more" for n, value in zip(numbers[1:], values[1:], strict=True))
    scale = (
        f"AUROC on test was {values[0]:.3f} without, {told}, and {reached:.3f} with the synthetic cases (means over "
        "the repeats, read off without an interval)"
    )
    # More patients cannot make matters worse but by chance.
    rising = isotonic_regression(values).x
    if rising[-1] <= rising[0]:
        return results.Worth(patients=None, sentence=f"No gain from more real patients was seen either: {scale}.")
    if reached <= rising[0]:
        return results.Worth(patients=0, sentence=f"The synthetic cases were worth no additional patient: {scale}.")
    if reached > rising[-1]:
        return results.Worth(
            patients=None, sentence=f"The synthetic cases were worth more than {numbers[-1]} more patients: {scale}."
        )
    upper = next(i for i, value in enumerate(rising) if value >= reached)
    low, high = rising[upper - 1], rising[upper]
    share = (reached - low) / (high - low)
    patients = float(numbers[upper - 1] + share * (numbers[upper] - numbers[upper - 1]))
    return results.Worth(
        patients=patients,
        sentence=f"The synthetic cases were worth about {patients:.0f} more real patients: {scale}.",
    )
