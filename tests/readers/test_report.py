"""Scored readers in an evaluation's report: which one, where, and once."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from evaluate.report_pictures import make_galleries
from evaluate.report_sample import make_report

import medsyn
from medsyn.errors import DataError, MissingError
from medsyn.evaluate.report import write
from medsyn.readers.study import Study
from medsyn.workspace import EVALUATION, Workspace


class Elements(HTMLParser):
    """What is not text in a page: opened elements, and ids."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.opened: list[str] = []
        self.ids: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.opened.append(tag)
        self.ids += [value for name, value in attrs if name == "id" and value]


def section(page: Path) -> str:
    return re.search(r"<!-- readers -->(.*?)<!-- /readers -->", page.read_text(), re.DOTALL)[1]


def test_a_report_without_readers_says_so(lab: Workspace) -> None:
    text = section(lab.latest(EVALUATION) / "report.html")
    assert "Nobody has read these images yet." in text
    assert section(lab.latest(EVALUATION) / "report.md").strip() == ""


def test_readers_come_into_the_report_and_a_second_scoring_takes_their_place(
    lab: Workspace, study: Study, save: Callable[..., Path]
) -> None:
    folder = lab.latest(EVALUATION)
    before = hashlib.sha256((folder / "report.json").read_bytes()).digest()
    rest = (folder / "report.html").read_text().replace(section(folder / "report.html"), "")
    first = medsyn.score_readers(save("only reader"), workspace=lab.path)
    assert first.evaluation == folder
    assert first.warnings == []
    assert "only reader" in section(folder / "report.html")
    assert "| only reader |" in section(folder / "report.md")
    second = medsyn.score_readers(save("R1"), save("R2"), save("R3"), workspace=lab.path)
    shown = section(folder / "report.html")
    assert "only reader" not in shown
    assert all(f">{name}<" in shown for name in ("R1", "R2", "R3"))
    assert "Fleiss&#39; kappa" in shown
    assert second.found.sentence in shown
    assert (folder / "report.html").read_text().replace(shown, "") == rest
    assert hashlib.sha256((folder / "report.json").read_bytes()).digest() == before
    ids = Elements((folder / "report.html").read_text()).ids
    assert len(ids) == len(set(ids))


def test_numbers_of_the_report_are_those_that_were_found(
    lab: Workspace, study: Study, save: Callable[..., Path]
) -> None:
    result = medsyn.score_readers(save("R1"), save("R2"), workspace=lab.path)
    shown = " ".join(re.sub(r"<[^>]+>", " ", section(lab.latest(EVALUATION) / "report.html")).split())
    for reader in result.found.readers:
        told = reader.told
        assert f"{100 * told.value:.0f} % {told.k} of 16 {100 * told.low:.0f} % to {100 * told.high:.0f} %" in shown
    together = result.found.together
    assert f"Mean of 2 readers {100 * together.told.value:.0f} %" in shown
    assert f"{together.agreement_call.kappa.value:.2f}".replace("-", "−") in shown


def test_names_cannot_become_markup(lab: Workspace, study: Study, save: Callable[..., Path]) -> None:
    name = "<script>alert(2)</script><!-- readers --> | `x`"
    folder = lab.latest(EVALUATION)
    plain = Elements((folder / "report.html").read_text()).opened.count("script")
    result = medsyn.score_readers(save(name), workspace=lab.path)
    for page, scripts in ((result.page, 0), (folder / "report.html", plain)):
        assert "<script>alert" not in page.read_text()
        assert Elements(page.read_text()).opened.count("script") == scripts
        assert "&lt;script&gt;alert(2)" in page.read_text()
        assert "&lt;script&gt;alert(1)" in page.read_text()
    assert "<script>" not in section(folder / "report.md").replace("\\<", "")
    medsyn.score_readers(save("R9"), workspace=lab.path)
    assert "alert(2)" not in (folder / "report.html").read_text()


def test_the_newest_evaluation_of_the_same_images_is_taken(
    lab: Workspace, study: Study, save: Callable[..., Path]
) -> None:
    answers, own = save("R1"), lab.latest(EVALUATION)
    other = make_report()
    with lab.build(EVALUATION, "xray") as build:
        write(other, make_galleries(other.dataset.classes), build.path)
        newest = build.commit(other.model_dump(mode="json"))
    assert medsyn.score_readers(answers, workspace=lab.path).evaluation == own
    with pytest.raises(DataError, match="is not about set xray-001 and dataset xray-001"):
        medsyn.score_readers(answers, evaluation=newest.name, workspace=lab.path)
    with pytest.raises(MissingError, match="no evaluation 'nothing'"):
        medsyn.score_readers(answers, evaluation="nothing", workspace=lab.path)
    (own / "report.json").unlink()
    found = medsyn.score_readers(answers, workspace=lab.path)
    assert found.evaluation is None
    assert "run medsyn evaluate, then score again" in found.warnings[0]
    assert "R1" in found.page.read_text()


def test_a_report_without_a_place_is_left_alone(lab: Workspace, study: Study, save: Callable[..., Path]) -> None:
    page = lab.latest(EVALUATION) / "report.html"
    page.write_text(page.read_text().replace("<!-- readers -->", ""))
    content, answers = page.read_bytes(), save("R1")
    result = medsyn.score_readers(answers, workspace=lab.path)
    assert result.evaluation is None
    assert "has no place for the results of readers" in result.warnings[0]
    with pytest.raises(DataError, match="has no place for the results of readers"):
        medsyn.score_readers(answers, evaluation="xray-001", workspace=lab.path)
    assert page.read_bytes() == content
    assert not (page.parent / "readers.json").exists()
