"""Intervals, tests and numbers needed, for arms that share seeds and test subjects."""

from medsyn.evaluate.statistics.bootstrap import bootstrap_weights, fewest_units
from medsyn.evaluate.statistics.delong import delong
from medsyn.evaluate.statistics.estimate import LEVEL, Components, components, estimate
from medsyn.evaluate.statistics.multiplicity import holm
from medsyn.evaluate.statistics.power import detectable, needed_seeds, needed_subjects

__all__ = [
    "LEVEL",
    "Components",
    "bootstrap_weights",
    "components",
    "delong",
    "detectable",
    "estimate",
    "fewest_units",
    "holm",
    "needed_seeds",
    "needed_subjects",
]
