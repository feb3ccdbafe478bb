"""What each arm trains on."""

from __future__ import annotations

import numpy as np
import pytest

from medsyn.evaluate.comparison import arms
from medsyn.evaluate.comparison.cells import Cell
from medsyn.evaluate.inputs.images import Images


def images(labels, prefix="", two=False):
    labels = np.asarray(labels)
    units = np.array([f"{prefix}{i // 2 if two else i}" for i in range(len(labels))])
    return Images(np.zeros((len(labels), 1, 2, 2), np.float32), labels, units, np.arange(len(labels)))


@pytest.fixture
def cell():
    nothing = images([])
    nothing = Images(nothing.pixels, nothing.labels.astype(int), nothing.units.astype(str), nothing.rows)
    return Cell(
        train=images([0] * 20 + [1] * 60),
        tune=images([0] * 5 + [1] * 15, "t"),
        val=nothing,
        test=nothing,
        synthetic=images([0, 1] * 100),
        more=images([0] * 8 + [1] * 40, "m", two=True),
        classes=2,
    )


def plan(plans, name):
    return next(p for p in plans if p.name == name)


def test_which_arms_there_are():
    assert [p.name for p in arms.controls("both")] == [
        "real", "real + classical", "oversampled + classical", "class weights + classical",
    ]  # fmt: skip
    assert [p.name for p in arms.controls("without")] == ["real", "oversampled", "class weights"]
    names = [p.name for p in arms.synthetic([0.5, 2.0], "both", alone=True)]
    assert names == [
        "real + synthetic x0.5 + classical", "real + synthetic x2 + classical", "real + synthetic x0.5",
        "real + synthetic x2", "synthetic only + classical",
    ]  # fmt: skip
    assert [p.name for p in arms.synthetic([1.0], "without", alone=True)] == ["real + synthetic x1", "synthetic only"]
    assert all(p.ratio for p in arms.synthetic([1.0], "with", alone=False))
    assert not any(p.classical for p in arms.controls("without"))


def test_smaller_ratio_uses_part_of_the_larger(cell):
    half, one, alone = arms.synthetic([0.5, 1.0], "with", alone=True)
    few, many = (arms.compose(p, cell, 4).synthetic for p in (half, one))
    assert (len(few), len(many)) == (50, 100)
    assert set(few) < set(many)
    assert not np.array_equal(many, arms.compose(one, cell, 5).synthetic)
    assert len(arms.compose(alone, cell, 4).synthetic) == 200
    assert len(arms.compose(alone, cell, 4).real) == 0
    assert len(arms.compose(half, cell, 4).real) == 100


def test_controls_see_no_synthetic_image(cell):
    for p in arms.controls("both"):
        pool = arms.compose(p, cell, 0)
        assert (len(pool.real), len(pool.more), len(pool.synthetic)) == (100, 0, 0)


def test_the_duplicated_control_has_the_counts_of_its_synthetic_arm(cell):
    (one,) = arms.synthetic([1.0], "with", alone=False)
    repeated = arms.duplicated(one)
    for seed in range(3):
        synthetic = cell.synthetic.labels[arms.compose(one, cell, seed).synthetic]
        pool = arms.compose(repeated, cell, seed)
        assert len(pool.synthetic) == 0
        drawn = np.bincount(cell.real.labels[pool.real]) - np.bincount(cell.real.labels)
        assert drawn.tolist() == np.bincount(synthetic).tolist()
        times = np.bincount(pool.real)
        for c in (0, 1):
            assert np.ptp(times[cell.real.labels == c]) <= 1
    alone = arms.compose(arms.duplicated(arms.synthetic([1.0], "with", alone=True)[-1]), cell, 0)
    assert np.bincount(cell.real.labels[alone.real]).tolist() == [100, 100]


def test_more_real_patients_come_whole_and_in_proportion(cell):
    control = plan(arms.controls("both"), "class weights + classical")
    (few,) = arms.more_real(control, cell)  # 50, 100 and 200 are wanted
    assert few.more == 24  # all that are left
    pool = arms.compose(few, cell, 0)
    units = cell.more.units[pool.more]
    assert len(set(units)) == few.more
    assert (np.unique(units, return_counts=True)[1] == 2).all()
    assert (few.balance, few.classical, few.kind) == ("weights", True, "more real")
    five = arms.Plan("", "more real", more=8)
    labels = cell.more.labels[arms.compose(five, cell, 0).more]
    assert np.bincount(labels).tolist() == [4, 12]  # a quarter normal, as in training


def test_nothing_left_out_means_no_scale(cell):
    empty = Cell(**{**cell.__dict__, "more": cell.val})
    assert arms.more_real(arms.controls("both")[0], empty) == []


@pytest.mark.parametrize(
    ("available", "expected"),
    [(1000, [0.5, 1.0, 5.0]), (300, [0.5, 1.0, 3.0]), (100, [0.5, 1.0]), (30, [0.3]), (1, [0.01]), (0, [])],
)
def test_ratios_that_a_set_is_large_enough_for(available, expected):
    assert arms.usable([0.5, 1.0, 5.0], available, 100) == expected
