"""What may not be compared is said loudly, what differs otherwise is said, and what is alike is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from evaluate.report_sample import make_binary

import medsyn
from medsyn.errors import DataError, MissingError, UsageError
from medsyn.workspace import EVALUATION, Workspace

Evaluated = Callable[..., Path]


def doubts(*folders: Path, severe: bool) -> list[str]:
    found = medsyn.compare(*folders, workspace=folders[0].parents[1]).found
    assert found.comparable == (not any(d.severe for d in found.doubts))
    return [d.text for d in found.doubts if d.severe == severe]


def test_twice_the_same_leaves_only_what_is_always_true(evaluated: Evaluated) -> None:
    a, b = evaluated(), evaluated()
    assert doubts(a, b, severe=True) == []
    told = doubts(a, b, severe=False)
    assert len(told) == 2
    assert told[0].startswith("All were tested on the same images (looks at them: 3)")
    assert told[1].startswith("No test between the evaluations was made")


SEVERE = {
    "another dataset": ({"dataset__digest": "77" * 32}, "Other datasets (xray-001: xray-001, digest 9f2c9f2c;"),
    "other test images": (
        {"tested": range(50, 120)},
        "Tested on other images of the same dataset (xray-001: 100 im",
    ),
    "another measure": ({"verdict__measure": "accuracy"}, "Other measures (xray-001: AUROC; xray-002: Accuracy)"),
}


@pytest.mark.parametrize("kind", SEVERE)
def test_what_cannot_be_compared(evaluated: Evaluated, kind: str) -> None:
    changes, words = SEVERE[kind]
    (told,) = doubts(evaluated(), evaluated(**changes), severe=True)
    assert told.startswith(words)


def test_as_many_test_images_are_not_the_same_ones(evaluated: Evaluated) -> None:
    assert len(doubts(evaluated(), evaluated(range(1, 101)), severe=True)) == 1


MILDER = {
    "another setting": ({"verdict__setting": "25 % of the subjects"}, "Other settings"),
    "another classifier": ({"verdict__classifier": "probe"}, "Other classifiers"),
    "another margin": ({"verdict__margin": 0.02}, "Other margins (xray-001: ±0.01; xray-002: ±0.02)"),
    "fewer repeats": ({"settings": {"seeds": 3}}, "Other numbers of repeats (xray-001: 5; xray-002: 3)"),
    "other features": ({"fidelity__extractor": "mine"}, "Other features for fidelity"),
    "another control": ({"verdict__control": "real"}, "Other best controls"),
    "a quick look": ({"verdict__quick": True}, "A quick look decides nothing: xray-002."),
    "generators anew": ({"settings": {"regenerate": True}}, "Other procedures"),
}


@pytest.mark.parametrize("kind", MILDER)
def test_what_is_to_be_kept_in_mind(evaluated: Evaluated, kind: str) -> None:
    changes, words = MILDER[kind]
    a, b = evaluated(), evaluated(**changes)
    assert doubts(a, b, severe=True) == []
    assert len([text for text in doubts(a, b, severe=False) if text.startswith(words)]) == 1


@pytest.mark.parametrize(("changes", "severe"), [({}, False), ({"split": "mine.csv"}, True), ({"folds": 5}, True)])
def test_without_predictions_settings_and_counts_decide(evaluated: Evaluated, changes: dict, severe: bool) -> None:
    told = doubts(evaluated(), evaluated(tested=None, settings=changes), severe=severe)
    assert any("the predictions of xray-002 are gone" in text for text in told)


def test_settings_that_differ_and_no_others(evaluated: Evaluated) -> None:
    other = {"steps": 900, "device": "cuda", "dataset": "other"}
    a, b = evaluated(), evaluated(settings=other, software={"torch": "9"})
    found = medsyn.compare(a, b, workspace=a.parents[1]).found
    assert [(row.name, row.values) for row in found.settings] == [("steps", ["600", "900"])]
    assert {row.name: row.values for row in found.software} == {
        "medsyn": ["0.1.0", None],
        "torch": ["2.13.0", "9"],
        "python": ["3.11.9", None],
    }


def test_what_is_no_comparison(evaluated: Evaluated, workspace: Workspace, tmp_path: Path) -> None:
    a, b = evaluated(), evaluated()
    for given, words in (((), "names no evaluation"), ((a,), "needs two evaluations or more, and 1 is named")):
        with pytest.raises(UsageError, match=words):
            medsyn.compare(*given, workspace=workspace.path)
    with pytest.raises(UsageError, match="is named twice"):
        medsyn.compare(a, a.name, workspace=workspace.path)
    with pytest.raises(MissingError, match="no evaluation 'xray-009'"):
        medsyn.compare(a, "xray-009", workspace=workspace.path)
    report = (b / "report.json").read_text()
    for content, words in (
        (report.replace('"schema_version": 3', '"schema_version": 2'), "has schema 2"),
        (report.replace('"margin"', '"margins"'), "is no report: verdict"),
        ("{", "cannot be read as JSON"),
    ):
        (b / "report.json").write_text(content)
        with pytest.raises(DataError, match=words):
            medsyn.compare(a, b, workspace=workspace.path)
    assert not (workspace.path / "comparisons").exists()


def test_evaluations_of_two_workspaces_keep_their_names_apart(evaluated: Evaluated, tmp_path: Path) -> None:
    a = evaluated()
    other = Workspace(tmp_path / "elsewhere").create()
    with other.build(EVALUATION, "xray") as build:
        b = build.commit(make_binary(["a", "b"]).model_dump(mode="json"))
    found = medsyn.compare(a, b, workspace=a.parents[1])
    assert [c.name for c in found.found.evaluations] == ["1: workspace/xray-001", "2: elsewhere/xray-001"]
    assert found.html is not None
    assert found.html.is_file()
