"""Who is in training, val and test."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from medsyn.config import EvaluateOptions
from medsyn.errors import DataError
from medsyn.evaluate.comparison import cells

CLASSES = ["normal", "pneumonia"]


def table(normal: int = 120, pneumonia: int = 360, images: int = 2) -> pd.DataFrame:
    """Subjects with two images each: six tenths train, one tenth tune, the rest val and test."""
    rows = []
    for label, n in (("normal", normal), ("pneumonia", pneumonia)):
        for s in range(n):
            split = "train" if s < 0.6 * n else "tune" if s < 0.7 * n else "val" if s < 0.85 * n else "test"
            rows += [{"unit": f"{label}{s}", "label": label, "split": split}] * images
    return pd.DataFrame(rows)


def subjects(frame, draw, split, label=None):
    numbers = [i for i, s in draw.split_of.items() if s == split]
    here = frame.loc[numbers]
    return set(here.loc[here["label"] == label, "unit"] if label else here["unit"])


def test_the_stored_split_is_one_setting_for_all_repeats():
    frame = table()
    (setting,) = cells.settings(frame, CLASSES, EvaluateOptions(seeds=3))
    assert [d.repeat for d in setting.draws] == [0, 1, 2]
    assert not setting.regenerated
    assert all(d.split_of == frame["split"].to_dict() for d in setting.draws)
    assert setting.folds == 1


def test_a_rare_class_shrinks_in_train_and_val_alike():
    frame = table()
    options = EvaluateOptions(rare={"normal": 15}, train_subjects=215, seeds=2)
    (setting,) = cells.settings(frame, CLASSES, options)
    assert setting.regenerated
    first, second = setting.draws
    learnt = {d.repeat: subjects(frame, d, "train") | subjects(frame, d, "tune") for d in setting.draws}
    assert len(learnt[0]) == 215
    assert len({u for u in learnt[0] if u.startswith("normal")}) == 15
    assert len(subjects(frame, first, "val", "normal")) == 3
    assert len(subjects(frame, first, "val", "pneumonia")) == 40
    assert learnt[0] != learnt[1]  # drawn anew
    for draw in (first, second):
        assert subjects(frame, draw, "test") == set(frame.loc[frame["split"] == "test", "unit"])
        left = set(frame.loc[draw.more, "unit"])
        assert not left & (learnt[draw.repeat] | subjects(frame, draw, "val") | subjects(frame, draw, "test"))
        assert left | learnt[draw.repeat] == set(frame.loc[frame["split"].isin(["train", "tune"]), "unit"])
        # Both images of a subject go the same way.
        assert pd.Series(draw.split_of).groupby(frame["unit"]).nunique().max() == 1


def test_val_never_falls_below_three_subjects_of_a_class():
    (setting,) = cells.settings(table(), CLASSES, EvaluateOptions(rare={"normal": 5}))
    assert len(subjects(table(), setting.draws[0], "val", "normal")) == 3


def test_smaller_fractions_lie_within_larger_ones():
    frame = table()
    small, large, whole = cells.settings(frame, CLASSES, EvaluateOptions(fractions=[1.0, 0.1, 0.5], seeds=2))
    assert [s.decides for s in (small, large, whole)] == [False, False, True]
    for a, b in zip(small.draws, large.draws, strict=True):
        learnt = [subjects(frame, d, "train") | subjects(frame, d, "tune") for d in (a, b)]
        assert learnt[0] < learnt[1]
        assert len(learnt[1]) == round(0.5 * 84) + round(0.5 * 252)
        assert subjects(frame, a, "val") < subjects(frame, b, "val")


def test_folds_test_every_subject_once_in_every_repeat():
    frame = table(10, 12)
    (setting,) = cells.settings(frame, CLASSES, EvaluateOptions(folds=5, seeds=2))
    assert setting.folds == 5
    assert len(setting.draws) == 10
    for repeat in range(2):
        mine = [d for d in setting.draws if d.repeat == repeat]
        tested = [unit for d in mine for unit in subjects(frame, d, "test")]
        assert sorted(tested) == sorted(frame["unit"].unique())
        for d in mine:
            assert {subjects(frame, d, "test", c) != set() for c in CLASSES} == {True}
            assert pd.Series(d.split_of).groupby(frame["unit"]).nunique().max() == 1


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"rare": {"covid": 10}}, "no class 'covid'"),
        ({"rare": {"normal": 100}}, "100 subjects of 'normal' asked for, 84 are there"),
        ({"rare": {"normal": 30}, "train_subjects": 31}, "leave 1 for the classes"),
        ({"folds": 5}, "has 4 subjects"),
    ],
)
def test_what_cannot_be_drawn(options, match):
    frame = table(4, 30) if "folds" in options else table()
    with pytest.raises(DataError, match=match):
        cells.settings(frame, CLASSES, EvaluateOptions(**options))


def test_a_subject_with_two_labels_counts_with_the_rarer():
    frame = table()
    frame.loc[len(frame)] = {"unit": "pneumonia0", "label": "normal", "split": "train"}
    (setting,) = cells.settings(frame, CLASSES, EvaluateOptions(rare={"normal": 85}))
    assert "pneumonia0" in subjects(frame, setting.draws[0], "train") | subjects(frame, setting.draws[0], "tune")
    with pytest.raises(DataError, match="85 are there"):
        cells.settings(frame, CLASSES, EvaluateOptions(rare={"normal": 86}))


def test_draws_depend_on_seed_alone():
    again = [cells.settings(table(), CLASSES, EvaluateOptions(rare={"normal": 15}, seed=s))[0] for s in (0, 0, 1)]
    learnt = [s.draws[0].split_of for s in again]
    assert learnt[0] == learnt[1]
    assert learnt[0] != learnt[2]
    assert np.array_equal(again[0].draws[0].more, again[1].draws[0].more)
