"""How estimates, measures and classifiers are written in the report: one way each."""

from __future__ import annotations

from medsyn.evaluate.results import Estimate
from medsyn.page.numbers import number, signed


def interval(estimate: Estimate, digits: int = 3, *, difference: bool = False) -> str:
    """The 95 % interval as ``low to high``, or nothing where the estimate has none.

    "to" and not a dash: with minus signs about, a dash can be misread.
    """
    if estimate.low is None or estimate.high is None:
        return ""
    write = signed if difference else number
    return f"{write(estimate.low, digits)} to {write(estimate.high, digits)}"


_MEASURES = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "f1": "F1",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "sensitivity_at_specificity": "Sensitivity at fixed specificity",
    "specificity_at_sensitivity": "Specificity at fixed sensitivity",
    "brier": "Brier score",
    "calibration_error": "Calibration error",
}
_CLASSIFIERS = {"cnn": "Convolutional network", "probe": "Probe on fixed features"}


def measure_name(key: str) -> str:
    """A measure in words; an unknown one by its key."""
    return _MEASURES.get(key, key.replace("_", " "))


def classifier_name(key: str) -> str:
    """A classifier in words with its key; a user's own by its key."""
    return f"{_CLASSIFIERS[key]} ({key})" if key in _CLASSIFIERS else key
