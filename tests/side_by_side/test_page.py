"""The page, the table and the JSON of a comparison tell what the reports say."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from evaluate.report_sample import make_report

import medsyn
from medsyn.errors import UsageError
from medsyn.page.numbers import number, signed
from medsyn.side_by_side import console
from medsyn.side_by_side.table import parts
from medsyn.workspace import Workspace

Evaluated = Callable[..., Path]


def test_every_fact_is_that_of_its_report(evaluated: Evaluated) -> None:
    folders = [evaluated(), evaluated(verdict__decision="hurts", copying__found=True, collapse__found=True)]
    found = medsyn.compare(*folders, workspace=folders[0].parents[1]).found
    for column, folder in zip(found.evaluations, folders, strict=True):
        report = json.loads((folder / "report.json").read_text())
        rows = {row["kind"]: row for row in report["fidelity"]["rows"] if row["scope"] == "all"}
        assert column.name == folder.name
        assert column.decision == report["verdict"]["decision"]
        assert column.effect.model_dump() == report["verdict"]["effect"]
        assert column.fidelity.kid.model_dump() == rows["synthetic"]["kid"]
        assert column.fidelity.coverage == rows["synthetic"]["coverage"]
        assert column.fidelity.floor_kid == rows["floor"]["kid"]["value"]
        assert column.copies.found == report["copying"]["found"]
        assert column.copies.copies == report["copying"]["copies"]
        assert column.selection.effect.model_dump() == report["selection"]["effect"]
        assert column.origin.test_images == 100
        arms = {a["name"]: a for a in report["arms"] if (a["setting"], a["classifier"]) == ("all data", "cnn")}
        assert column.arm_value.value == arms[report["verdict"]["arm"]]["test"]["auroc"]["value"]
        assert column.control_value.value == arms[report["verdict"]["control"]]["test"]["auroc"]["value"]
    assert [c.checks["Collapse of a class"] for c in found.evaluations] == ["clear", "found"]


def test_terminal_page_and_json_say_the_same(evaluated: Evaluated, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [evaluated(), evaluated(), evaluated(dataset__digest="77" * 32, verdict__decision="helps")]
    result = medsyn.compare(*folders, workspace=folders[0].parents[1])
    page = result.html.read_text()
    console.tell(result, as_json=False)
    shown = "".join(capsys.readouterr().out.split())
    assert shown.startswith("NOTCOMPARABLE")
    console.tell(result, as_json=True)
    facts = json.loads(capsys.readouterr().out)
    assert facts == result.found.model_dump(mode="json")
    assert facts["comparable"] is False
    assert ">Not comparable</h2>" in page
    for doubt in result.found.doubts:
        assert doubt.text in page
        assert "".join(doubt.text.split()) in shown
    for column in result.found.evaluations:
        for text in (signed(column.effect.value), number(column.fidelity.kid.value, 4), column.decision):
            assert text in page
            assert text.replace(" ", "") in shown
    for part in parts(result.found.evaluations):
        for line in part.lines:
            assert line.name in page
            assert (f"{line.name}<span" in page) == line.differs


def test_names_cannot_become_markup(evaluated: Evaluated) -> None:
    bad = "<script>alert(1)</script>\"&'[red]"
    a = evaluated(
        report=make_report([bad, "b", "c"], verdict__arm=bad, verdict__sentence=bad, synthetic__generator=bad),
        settings={bad: bad},
    )
    b = evaluated(verdict__control=bad, verdict__setting=bad, fidelity__extractor=bad)
    result = medsyn.compare(a, b, workspace=a.parents[1])
    page = result.html.read_text()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    console.tell(result, as_json=False)


def test_the_page_loads_nothing(evaluated: Evaluated) -> None:
    a, b = evaluated(), evaluated()
    page = medsyn.compare(a, b, workspace=a.parents[1]).html.read_text()
    assert "script-src" not in page
    assert "default-src 'none'" in html.unescape(page)
    assert re.findall(r"(?:src|href)=\"(?!#)[^\"]*\"", page) == []


def test_the_page_goes_where_it_is_asked_for(evaluated: Evaluated, workspace: Workspace, tmp_path: Path) -> None:
    a, b = evaluated(), evaluated()
    assert medsyn.compare(a, b, workspace=workspace.path).html == workspace.path / "comparisons/xray-001--xray-002.html"
    assert medsyn.compare(a, b, html=tmp_path, workspace=workspace.path).html == tmp_path / "xray-001--xray-002.html"
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="lies below a file"):
        medsyn.compare(a, b, html=tmp_path / "file" / "x.html", workspace=workspace.path)
