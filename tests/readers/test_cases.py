"""Which cases are drawn, and what their order may tell."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from helpers import blobs, make_dataset

from medsyn.data import Dataset
from medsyn.errors import DataError
from medsyn.readers import cases
from medsyn.workspace import Workspace

LABELS = np.arange(60) % 3


@pytest.fixture
def dataset(workspace: Workspace) -> Dataset:
    """120 films of 60 patients, three classes."""
    images, labels = blobs(120, classes=3, side=16)
    labels = np.arange(120) // 2 % 3
    subjects = [f"p{i // 2}" for i in range(120)]
    made = make_dataset(workspace, images, labels, subjects=subjects, class_names=["a", "b", "c"])
    return Dataset.open(made.path, splits=cases.SPLITS)


def test_both_kinds_have_the_same_classes_and_every_real_case_another_patient(dataset: Dataset) -> None:
    drawn = cases.draw(dataset, frozenset(), LABELS, 20, "secret")
    counts = Counter((d.truth, d.label) for d in drawn)
    for label, n in enumerate(cases.counts(20, 3)):
        assert counts["real", label] == counts["synthetic", label] == n
    real = [d for d in drawn if d.truth == "real"]
    table = dataset.table.loc[[d.source for d in real]]
    assert table["unit"].is_unique
    assert [dataset.classes[d.label] for d in real] == list(table["label"])
    assert {*table["split"]} <= {"val", "tune"}
    synthetic = [d for d in drawn if d.truth == "synthetic"]
    assert len({d.source for d in synthetic}) == len(synthetic)
    assert all(LABELS[d.source] == d.label for d in synthetic)


def test_val_comes_before_tune(dataset: Dataset) -> None:
    drawn = cases.draw(dataset, frozenset(), LABELS, 6, "secret")
    assert {dataset.table.at[d.source, "split"] for d in drawn if d.truth == "real"} == {"val"}


def test_who_taught_the_generator_is_never_shown(dataset: Dataset) -> None:
    first = cases.draw(dataset, frozenset(), LABELS, 6, "secret")
    shown = {dataset.table.at[d.source, "subject"] for d in first if d.truth == "real"}
    again = cases.draw(dataset, frozenset(shown), LABELS, 6, "secret")
    assert not shown & {dataset.table.at[d.source, "subject"] for d in again if d.truth == "real"}


def test_the_order_follows_from_the_secret_alone(dataset: Dataset) -> None:
    draws = [cases.draw(dataset, frozenset(), LABELS, 20, secret) for secret in ("one", "one", "two")]
    assert draws[0] == draws[1] != draws[2]
    assert cases.secret(b"k" * 32, "x", 1) != cases.secret(b"j" * 32, "x", 1)


def test_a_place_in_the_order_tells_nothing(dataset: Dataset) -> None:
    real = np.array(
        [[d.truth == "real" for d in cases.draw(dataset, frozenset(), LABELS, 12, str(k))] for k in range(400)]
    )
    assert np.abs(real.mean(0) - 0.5).max() < 0.1
    alike = (real[:, 1:] == real[:, :-1]).mean()  # of neighbours: 5 of 11 where half of 12 are real
    assert alike == pytest.approx(5 / 11, abs=0.03)


def test_too_few_patients_say_how_many_cases_there_could_be(dataset: Dataset) -> None:
    with pytest.raises(DataError, match=r"only \d+ patients in val and tune of class '[abc]'") as told:
        cases.draw(dataset, frozenset(), LABELS, 60, "secret")
    most = int(told.value.mend.removeprefix("Ask for fewer: --n ").rstrip("."))
    assert len(cases.draw(dataset, frozenset(), LABELS, most, "secret")) == most


def test_too_few_synthetic_images_are_told(dataset: Dataset) -> None:
    with pytest.raises(DataError, match="only 1 synthetic images of class 'b'"):
        cases.draw(dataset, frozenset(), np.array([0, 0, 0, 1, 2, 2]), 12, "secret")
