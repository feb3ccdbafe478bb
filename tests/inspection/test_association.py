"""Cramér's V and the permutation of subjects: right where the answer is known, calibrated where nothing is there."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from medsyn.inspection.association import cramers_v, permutation_p, phi2


def test_phi2_is_chi_square_over_n() -> None:
    table = np.array([[30, 12, 5], [14, 22, 9]])
    assert phi2(table) == pytest.approx(chi2_contingency(table, correction=False).statistic / table.sum())


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ([[50, 0], [0, 50]], 1.0),
        ([[25, 25], [25, 25]], 0.0),
        ([[50, 50], [0, 0]], 0.0),  # one class only
        ([[40, 10], [10, 40]], np.sqrt((0.36 - 1 / 99) / (1 - 1 / 99))),  # by hand after Bergsma 2013
    ],
)
def test_cramers_v(table: list[list[int]], expected: float) -> None:
    assert cramers_v(np.array(table), 100) == pytest.approx(expected)


def test_fewer_subjects_make_the_same_table_weigh_less() -> None:
    table = np.array([[40, 10], [10, 40]])
    assert cramers_v(table, 10) < cramers_v(table, 100)


def test_p_of_a_strong_association_is_the_least_there_is() -> None:
    classes = np.repeat([0, 1], 40)
    assert permutation_p(classes, classes, np.arange(80), seed=0, draws=199) == 1 / 200


def test_one_patient_with_many_images_proves_nothing() -> None:
    rng = np.random.default_rng(0)
    units = np.concatenate([np.zeros(500, int), np.arange(1, 61)])
    classes, levels = rng.integers(0, 2, 560), rng.integers(0, 2, 560)
    classes[:500], levels[:500] = 1, 1
    table = np.zeros((2, 2))
    np.add.at(table, (classes, levels), 1)
    assert chi2_contingency(table).pvalue < 1e-6  # what counting images would say
    assert permutation_p(classes, levels, units, seed=0, draws=199) > 0.2


@pytest.mark.parametrize("mixed", [False, True])
def test_no_false_alarms_with_several_images_a_patient(mixed: bool) -> None:
    rng = np.random.default_rng(5)
    found = []
    for draw in range(200):
        count = rng.integers(1, 12, 50)
        units = np.repeat(np.arange(50), count)
        classes, levels = rng.integers(0, 2, 50)[units], rng.integers(0, 3, 50)[units]
        if mixed:  # patients with films of both classes and of several levels
            classes = np.where(rng.random(len(units)) < 0.5, classes, rng.integers(0, 2, len(units)))
            levels = np.where(rng.random(len(units)) < 0.5, levels, rng.integers(0, 3, len(units)))
        found.append(permutation_p(classes, levels, units, seed=draw, draws=99) <= 0.05)
    assert sum(found) <= 20  # 10 expected; 21 or more has a probability below 0.001


def test_an_association_within_patients_is_seen() -> None:
    units = np.repeat(np.arange(40), 4)
    classes = np.tile([0, 0, 1, 1], 40)
    assert permutation_p(classes, classes, units, seed=0, draws=199) <= 0.01
