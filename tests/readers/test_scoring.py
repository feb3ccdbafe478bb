"""Answers known beforehand give the numbers that can be counted by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

import medsyn
from medsyn.readers import answers, scoring
from medsyn.readers.results import Readers
from medsyn.readers.study import Study
from medsyn.workspace import Workspace
from readers.conftest import make_answers


def scored(study: Study, *readers: dict) -> Readers:
    return scoring.score(study, [answers.Answers.model_validate(reader) for reader in readers])


def test_one_reader_by_hand(study: Study) -> None:
    told = [i not in (0, 5, 9) for i in range(16)]
    named = [c.truth == "real" for c in study.cases]
    found = scored(study, make_answers(study, "R1", told, named)).readers[0]
    truth = np.array([c.truth for c in study.cases])
    right = np.array(told)
    assert (found.told.k, found.told.n) == (13, 16)
    assert found.p_value == pytest.approx(0.021270752, abs=1e-8)
    assert found.decision == "told apart"
    assert (found.sensitivity.k, found.sensitivity.n) == (right[truth == "synthetic"].sum(), 8)
    assert (found.specificity.k, found.specificity.n) == (right[truth == "real"].sum(), 8)
    assert (found.named_real.k, found.named_synthetic.k) == (8, 0)
    assert found.named_difference.value == -1
    for name in study.classes:
        here = np.array([c.label == name for c in study.cases])
        assert (found.classes[name].told.k, found.classes[name].told.n) == (right[here].sum(), here.sum())
        assert (found.classes[name].named_real.k, found.classes[name].named_real.n) == (4, 4)
    times = np.array([1.0 + 0.1 * i for i in range(16)])
    assert found.seconds_real is not None
    assert found.seconds_real.median == pytest.approx(np.median(times[truth == "real"]))


@pytest.mark.parametrize(
    ("right", "decision", "words"),
    [
        (16, "told apart", "more often than by guessing"),
        (9, "not told apart", "no evidence that they can be told apart. A reader who is right in"),
        (0, "mistaken for each other", "taken the wrong way"),
    ],
)
def test_the_sentence_says_on_which_side_of_guessing(study: Study, right: int, decision: str, words: str) -> None:
    found = scored(study, make_answers(study, "R1", [i < right for i in range(16)], [True] * 16))
    assert found.readers[0].decision == decision
    assert words in found.sentence
    assert f"{right} of 16 cases" in found.sentence


def test_two_readers_are_compared_on_the_same_cases(study: Study) -> None:
    rng = np.random.default_rng(0)
    told, named = rng.random((2, 16)) < 0.7, rng.random((2, 16)) < 0.6
    made = [make_answers(study, f"R{i}", list(told[i]), list(named[i])) for i in range(2)]
    together = scored(study, *made).together
    assert together is not None
    assert together.told.value == pytest.approx(told.mean())
    assert together.told.low <= told.mean() <= together.told.high
    calls, labels = ([[a[key] for a in m["answers"]] for m in made] for key in ("call", "label"))
    assert together.agreement_call.kappa.value == pytest.approx(cohen_kappa_score(*calls))
    assert together.agreement_label.kappa.value == pytest.approx(cohen_kappa_score(*labels))
    assert together.agreement_call.share == pytest.approx(np.mean(np.array(calls[0]) == calls[1]))
    assert together.agreement_call.kappa.low <= together.agreement_call.kappa.value
    real = np.array([c.truth == "real" for c in study.cases])
    assert together.named_real.value == pytest.approx(named[:, real].mean())


def test_a_reader_who_stopped_counts_with_a_caution(lab: Workspace, save: Callable[..., Path], study: Study) -> None:
    found = medsyn.score_readers(save("R1"), save("R2", n=12), workspace=lab.path).found
    assert [r.cases for r in found.readers] == [16, 12]
    assert found.together is not None
    assert found.together.cases == 12
    assert "Reader R2 answered 12 of 16 cases" in found.warnings[0]
    few = medsyn.score_readers(save("R1"), save("R2", n=9), workspace=lab.path).found
    assert few.together is None
    assert "Fewer than 10 cases were answered by all" in few.warnings[-1]


def test_what_is_written_is_what_was_found(lab: Workspace, save: Callable[..., Path], study: Study) -> None:
    result = medsyn.score_readers(save("R1"), save("R2"), save("R3"), workspace=lab.path)
    for folder in (result.page.parent, result.evaluation):
        assert Readers.model_validate(json.loads((folder / "readers.json").read_text())) == result.found
    assert result.found.cases == 16
    assert sum(result.found.real_splits.values()) == 8
