"""Covariates against classes: what is called confounded, and in which words."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from inspection.conftest import make_trap
from medsyn.data import Dataset
from medsyn.inspection import covariates
from medsyn.inspection.columns import Coded, Columns
from medsyn.inspection.results import UNKNOWN, UNLABELLED, CrossTable
from medsyn.inspection.stage import inspect
from medsyn.workspace import Workspace


def tables(dataset: Dataset, labels: np.ndarray | None = None) -> dict[str, CrossTable]:
    columns = Columns(dataset.path)
    labels = columns.labels(dataset.classes) if labels is None else labels
    return {t.name: t for t in covariates.examine(columns, labels, dataset.classes)[0]}


def test_the_view_is_confounded_and_the_sex_is_not(trap: tuple[Workspace, Dataset]) -> None:
    found = tables(trap[1])
    view, sex = found["view"], found["sex"]
    counted = trap[1].table.groupby(["label", "view"]).size()
    for name in trap[1].classes:
        assert view.images[name] == [counted[name, level] for level in view.levels]
    high, low = (counted[name, "PA"] / 60 for name in ("no_finding", "pneumonia"))
    assert view.confounded
    assert view.sentence == (
        f"{100 * high:.0f} % of no_finding but {100 * low:.0f} % of pneumonia are PA: "
        "a classifier can learn the view instead of the disease."
    )
    assert view.gap is not None
    assert view.gap.difference == pytest.approx(high - low)
    assert list(found) == ["view", "sex"]
    assert not sex.confounded
    assert sex.sentence == ""


def test_a_wide_gap_of_few_patients_is_not_called(workspace: Workspace) -> None:
    # 60 images a class, but of two patients each: a gap of 50 points is chance.
    subjects = [f"s{i % 2}{i // 60}" for i in range(120)]
    labels_of = np.repeat([0, 1], 60)
    view = ["AP" if s in ("s01", "s11", "s00") else "PA" for s in subjects]
    dataset = make_trap(workspace, subjects=subjects, view=view, sex=None)
    found = tables(dataset, labels_of)["view"]
    assert found.gap is not None
    assert found.gap.difference >= 0.4
    assert found.p_value is not None
    assert found.p_value > 0.05
    assert not found.confounded


def test_what_is_missing_for_one_class_is_a_level(workspace: Workspace) -> None:
    sex = ["M" if i // 2 % 2 else None for i in range(120)]
    found = tables(make_trap(workspace, view=None, sex=sex))["sex"]
    assert found.levels == ["M", UNKNOWN]
    assert found.confounded
    assert "where images came from" in found.sentence or "the sex" in found.sentence


def test_images_without_a_label_have_a_column_of_their_own(trap: tuple[Workspace, Dataset]) -> None:
    labels = Columns(trap[1].path).labels(trap[1].classes)
    labels[:10] = -1
    found = tables(trap[1], labels)["view"]
    assert sum(found.images[UNLABELLED]) == 10
    labels[:] = -1
    found = tables(trap[1], labels)["view"]
    assert sum(found.images[UNLABELLED]) == 120
    assert found.p_value is None
    assert not found.confounded


@pytest.mark.parametrize(
    ("values", "levels"),
    [
        ([1.0, 1.001, 2.0], ["1", "2"]),  # reads the same
        ([*range(100, 180)], ["100 to 119", "120 to 139", "140 to 159", "160 to 179"]),
        ([*range(100, 110), *[512] * 50], ["100 to 109", "512"]),
        ([512.0] * 9, ["512"]),
    ],
)
def test_numbers_become_levels(values: list[float], levels: list[str]) -> None:
    coded = covariates.binned(np.array([*values, np.nan]), lambda v: f"{v:.0f}")
    assert coded.values == levels
    assert coded.codes[-1] == -1
    for value, code in zip(values, coded.codes, strict=False):
        ends = [float(part) for part in coded.values[code].split(" to ")]
        assert ends[0] - 0.5 <= value <= ends[-1] + 0.5


def test_yes_and_no_and_nothing() -> None:
    levels = covariates.levels_of(Coded(np.array([0, 1, -1]), ["true", "false"]))
    assert [levels.values[c] for c in levels.codes] == ["yes", "no", UNKNOWN]


def test_the_plane_of_a_slice() -> None:
    x, y, z = np.eye(3)
    lines = np.array([[*x, *y], [*x, *-z], [*y, *-z], [*x, *(y + 0.3 * z)], [np.nan] * 6])
    coded = covariates._planes(lines)
    assert [coded.values[c] for c in coded.codes[:4]] == ["axial", "coronal", "sagittal", "axial"]
    assert coded.codes[4] == -1


def test_the_rule_tells_its_thresholds() -> None:
    rule = covariates.rule(4)
    assert rule.p_value == pytest.approx(0.0125)
    for text in ("20 points", "0.0125", "999", "whole subjects"):
        assert text in rule.sentence


def test_what_is_the_same_for_all_labelled_images_takes_no_share_of_the_threshold(
    workspace: Workspace, edit: Callable[..., None]
) -> None:
    dataset = make_trap(workspace)
    assert inspect(dataset.path)[0].rule.p_value == pytest.approx(0.025)  # view and sex
    men = set(dataset.table.index[dataset.table["sex"] == "M"])
    edit(dataset, "targets", lambda t: t.assign(state=["missing" if i in men else "known" for i in t["image"]]))
    report, _ = inspect(dataset.path)
    assert {c.name: c.p_value is None for c in report.covariates} == {"view": False, "sex": True}
    assert report.rule.p_value == 0.05
