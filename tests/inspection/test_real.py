"""Traps of real sets are found by themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

import medsyn
from medsyn.workspace import Workspace

pytestmark = pytest.mark.real


def test_the_view_of_nih_films_is_called_confounded(real_data: Path, workspace: Workspace) -> None:
    folder = real_data / "xray"
    medsyn.ingest(folder, labels=str(folder / "labels.csv"), modality="xray", size=32, workspace=workspace.path)
    found = medsyn.inspect_dataset(workspace=workspace.path).report
    view = found.covariates[0]
    assert view.confounded
    assert view.sentence == (
        "68 % of no_finding but 45 % of pneumonia are AP: a classifier can learn the view instead of the disease."
    )
    assert not next(c for c in found.covariates if c.name == "sex").confounded
    assert all(leak.crossing == 0 for leak in found.leaks)
    assert sum(i.rows for i in found.inputs) == found.files == 1000
    assert [b.label for b in found.brightness if b.found] == ["no_finding", "pneumonia"]
