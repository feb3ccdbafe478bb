"""The page holds the facts, shows no more than it may, and lies in one file."""

from __future__ import annotations

import dataclasses
import html
import json
import re
from pathlib import Path

import numpy as np
import pytest
from helpers import blobs, make_dataset

from medsyn.data import Dataset
from medsyn.inspection import page, stage
from medsyn.inspection.results import Finding, Leak, TargetCount
from medsyn.workspace import Workspace

NASTY = "<script>alert(1)</script> & \"quoted\" 'class'"


@pytest.fixture(scope="module")
def made(trap: tuple[Workspace, Dataset]) -> tuple[stage.Inspection, page.Gallery, str]:
    report, gallery = stage.inspect(trap[1].path)
    return report, gallery, page.render(report, gallery)


def cells(text: str, caption: str) -> list[list[str]]:
    """Rows of the table whose caption begins so, as plain text."""
    table = next(t for t in re.findall(r"<table.*?</table>", text, re.DOTALL) if f"<span>{caption}" in t)
    rows = re.findall(r"<tr.*?</tr>", table, re.DOTALL)
    plain = lambda cell: " ".join(html.unescape(re.sub(r"<[^>]+>", " ", cell)).split())  # noqa: E731
    return [[plain(c) for c in re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)] for row in rows]


def test_the_counts_are_those_of_the_report(made: tuple[stage.Inspection, page.Gallery, str]) -> None:
    report, _, text = made
    rows = cells(text, "Images and subjects by class and split")
    for count, row in zip(report.counts, rows[1:-1], strict=True):
        pairs = [*zip(count.images.values(), count.units.values(), strict=True)]
        pairs.append((sum(count.images.values()), sum(count.units.values())))
        assert row == [count.label, *(f"{i} {u} subject{'s' if u != 1 else ''}" for i, u in pairs)]
    assert rows[-1][-1] == "120"
    (head, *levels) = cells(text, "View by class")
    assert head == ["View", *report.classes]
    view = next(c for c in report.covariates if c.name == "view")
    for i, row in enumerate(levels):
        shares = [f"{100 * n[i] / sum(n):.0f} % ({n[i]})" for n in view.images.values()]
        assert row == [view.levels[i], *shares]


def test_every_finding_and_the_rule_are_told(made: tuple[stage.Inspection, page.Gallery, str]) -> None:
    report, _, text = made
    plain = html.unescape(text)
    assert [f.kind for f in report.findings][:2] == ["confounded", "brightness"]
    for finding in report.findings:
        assert finding.sentence in plain
    assert report.rule.sentence in plain


def test_histogram_table_holds_the_shares(made: tuple[stage.Inspection, page.Gallery, str]) -> None:
    report, _, text = made
    (shown,) = report.histograms
    rows = cells(text, shown.title)[1:]
    assert len(rows) == len(shown.edges) - 1
    for i, row in enumerate(rows):
        assert row[2:] == [f"{100 * shares[i]:.2f}" for shares in shown.shares.values()]


def test_nothing_runs_and_nothing_is_loaded(made: tuple[stage.Inspection, page.Gallery, str]) -> None:
    text = made[2]
    assert f'content="{html.escape(page.POLICY)}"'.replace("&#x27;", "&#39;") in text
    assert "<script" not in text
    assert not re.search(r"(?:src|href)=\"(?!data:image/png;base64,|#)", text)
    assert "url(" not in text


def test_names_of_classes_are_text(workspace: Workspace) -> None:
    images, labels = blobs(40, side=16)
    dataset = make_dataset(workspace, images, labels, class_names=[NASTY, "b"])
    text = page.render(*stage.inspect(dataset.path))
    assert "<script" not in text
    assert html.escape(NASTY, quote=False).split("&quot;")[0].split('"')[0] in text


def test_patients_are_named_by_a_part_of_their_key_at_most(workspace: Workspace) -> None:
    images, labels = blobs(80, side=16)
    subjects = [f"{i // 4:032x}"[::-1] for i in range(80)]
    dataset = make_dataset(workspace, images, labels, subjects=subjects)
    report, gallery = stage.inspect(dataset.path)
    told = page.render(report, gallery) + json.dumps(dataclasses.asdict(report))
    assert subjects[0][:8] in told
    for subject in subjects:
        assert subject[:9] not in told
    assert str(dataset.path.parent) not in told


def test_settings_hold_no_path(workspace: Workspace) -> None:
    images, labels = blobs(40, side=16)
    dataset = make_dataset(workspace, images, labels)
    meta = dataset.meta | {"options": {"slices": "all", "paths": ["/home/x/scans"], "labels": "/home/x/l.csv"}}
    (dataset.path / "dataset.json").write_text(json.dumps(meta | {"paths_list": "xray-abc-paths.csv"}))
    report, gallery = stage.inspect(dataset.path)
    assert report.settings["slices"] == "all"
    for text in (page.render(report, gallery), json.dumps(dataclasses.asdict(report))):
        assert "/home/x" not in text
        assert "paths.csv" not in text


def test_leaks_and_missing_labels_are_severe_and_first(made: tuple[stage.Inspection, page.Gallery, str]) -> None:
    report, gallery, text = made
    assert "Leak between splits: none found" in text
    leaking = dataclasses.replace(
        report,
        leaks=[Leak("subjects", 60, 2)],
        findings=[Finding("leak", True, "Leak: 2 of 60 subjects are in more than one split."), *report.findings],
        targets=[TargetCount("effusion", None, "missing", 3)],
    )
    text = page.render(leaking, gallery)
    assert "Leak between splits: found" in text
    assert text.index("Mend this first.") < text.index("Leak: 2 of 60")
    assert ["effusion", "–", "missing", "3"] in cells(text, "Images by value")


def test_the_same_dataset_makes_the_same_bytes(trap: tuple[Workspace, Dataset], tmp_path: Path) -> None:
    for name in ("a", "b"):
        page.write(*stage.inspect(trap[1].path), tmp_path / f"{name}.html")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert (tmp_path / "a.html").stat().st_size < 400_000


def test_large_and_many_pictures_stay_small() -> None:
    assert page.small(np.zeros((3, 512, 256), np.uint8)).shape == (3, 160, 80)
    assert page.small(np.zeros((1, 64, 64), np.uint8)).shape == (1, 64, 64)
    assert [page.tiles_per_class(n) for n in (0, 2, 24, 500)] == [8, 8, 4, 2]


@pytest.mark.parametrize(
    ("share", "text"), [(0, "0 %"), (0.001, "< 1 %"), (0.684, "68 %"), (0.999, "> 99 %"), (1, "100 %")]
)
def test_a_share_is_never_rounded_to_none_or_all(share: float, text: str) -> None:
    assert page.percent(share) == text


def test_a_histogram_fills_its_box() -> None:
    path = page.area([0.25, 1.0, 0.0, 0.0], top=1.0)
    assert path == "M0 48V24.0H160.0V0.0H320.0V48.0H480.0V48.0H640.0V48Z"
