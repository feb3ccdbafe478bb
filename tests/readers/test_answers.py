"""Wrong, foreign and tampered files end in one line that says what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import medsyn
from medsyn.errors import DataError, MedsynError, MissingError, UsageError
from medsyn.readers import answers, stage
from medsyn.readers.options import StudyOptions
from medsyn.readers.study import Study
from medsyn.workspace import Workspace
from readers.conftest import make_answers, signed


def altered(**changes: Any) -> Callable[[dict], dict]:
    return lambda content: {**content, **changes}


def first_answer(resign: bool = True, **changes: Any) -> Callable[[dict], dict]:
    def change(content: dict) -> dict:
        rows = [{**content["answers"][0], **changes}, *content["answers"][1:]]
        made = {**content, "answers": rows}
        return signed(made) if resign else made

    return change


WRONG: dict[str, tuple[Callable[[dict], Any], type[MedsynError], str]] = {
    "a list": (lambda content: [content], DataError, "is no file of a reader's answers"),
    "the key": (altered(kind="key"), DataError, "is no file of a reader's answers"),
    "a newer version": (altered(schema_version=2), DataError, "schema_version"),
    "a field too many": (altered(score=1), DataError, "score"),
    "a field too few": (lambda c: {k: v for k, v in c.items() if k != "session"}, DataError, "session"),
    "an edited call": (
        lambda c: first_answer(False, call={"real": "synthetic", "synthetic": "real"}[c["answers"][0]["call"]])(c),
        DataError,
        "was changed since the page saved it",
    ),
    "an edited time": (first_answer(False, call_ms=1), DataError, "was changed since the page saved it"),
    "another name": (altered(reader="somebody"), DataError, "was changed since the page saved it"),
    "no call": (first_answer(call="perhaps"), DataError, "answers.0.call"),
    "a time below zero": (first_answer(call_ms=-5), DataError, "answers.0.call_ms"),
    "a count without end": (first_answer(undone=10**400), DataError, "answers.0.undone"),
    "a time as text": (first_answer(call_ms="5"), DataError, "answers.0.call_ms"),
    "an unknown class": (first_answer(label="flu"), DataError, "names the class 'flu'"),
    "an unknown case": (first_answer(case="0" * 12), DataError, "does not hold the cases of its study"),
    "another order": (
        lambda c: signed({**c, "answers": c["answers"][::-1]}),
        DataError,
        "does not hold the cases of its study",
    ),
    "a case twice": (
        lambda c: signed({**c, "answers": [*c["answers"], c["answers"][-1]]}),
        DataError,
        "does not hold the cases of its study",
    ),
    "nothing answered": (lambda c: signed({**c, "answers": []}), DataError, "answers 0 of 16 cases"),
    "a study of elsewhere": (lambda c: signed({**c, "study": "f" * 16}), MissingError, "was not made in workspace"),
    "a study that is a path": (lambda c: signed({**c, "study": "../.."}), DataError, "study: String should match"),
    "half a character": (altered(reader="\ud800"), DataError, "reader"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_the_page_has_not_saved(lab: Workspace, study: Study, tmp_path: Path, kind: str) -> None:
    change, error, words = WRONG[kind]
    file = tmp_path / "answers.json"
    file.write_text(json.dumps(change(make_answers(study, "R1", [True] * 16, [True] * 16))))
    before = (lab.path / "evaluations/xray-001/report.html").read_bytes()
    with pytest.raises(error) as told:
        medsyn.score_readers(file, workspace=lab.path)
    assert words in told.value.line()
    assert "\n" not in told.value.line()
    assert (lab.path / "evaluations/xray-001/report.html").read_bytes() == before


@pytest.mark.parametrize("content", ["", "{", "\x00\xff", "[" * 100_000, '{"kind": 3}', "null"])
def test_what_is_no_json_or_not_of_this_kind(lab: Workspace, tmp_path: Path, content: str) -> None:
    file = tmp_path / "answers.json"
    file.write_text(content, encoding="latin-1")
    with pytest.raises(DataError, match=r"cannot be read as JSON|no file of a reader's answers"):
        medsyn.score_readers(file, workspace=lab.path)


def test_what_is_not_there_or_too_large(lab: Workspace, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        medsyn.score_readers(tmp_path / "nothing.json", workspace=lab.path)
    file = tmp_path / "large.json"
    file.write_bytes(b" " * (answers.LARGEST + 1))
    with pytest.raises(DataError, match="is larger than any file of answers"):
        medsyn.score_readers(file, workspace=lab.path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(field=st.sampled_from([*answers.Answers.model_fields]), value=JSON)
def test_no_content_is_a_bug(study: Study, tmp_path: Path, field: str, value: Any) -> None:
    content = make_answers(study, "R1", [True] * 16, [True] * 16) | {field: value}
    file = tmp_path / "answers.json"
    file.write_text(json.dumps(content))
    told = ""
    try:
        answers.check(answers.read(file), study, file)
    except DataError as error:  # any other exception would be told as a bug
        told = error.line()
    assert "\n" not in told


def test_files_that_do_not_belong_together(lab: Workspace, study: Study, save: Callable[..., Path]) -> None:
    with pytest.raises(UsageError, match="names no file of answers"):
        medsyn.score_readers(workspace=lab.path)
    first = save("R1")
    with pytest.raises(UsageError, match=r"is of reader 'R1', as answers-0.json is\. A reader counts once"):
        medsyn.score_readers(first, save("R1", ability=0.5), workspace=lab.path)
    with pytest.raises(UsageError, match="A reader counts once"):
        medsyn.score_readers(first, save("R2", session="session of R1"), workspace=lab.path)
    other = stage.make(StudyOptions(n=16, seed=1), lab)
    with pytest.raises(UsageError, match=rf"answers study {other.study}, but answers-0.json answers {study.study}"):
        medsyn.score_readers(first, save("R3", study=other.study), workspace=lab.path)
