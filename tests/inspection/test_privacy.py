"""Nothing of a header, a file name or a CSV reaches the page, the terminal or the JSON."""

from __future__ import annotations

from pathlib import Path

import pytest
from ingest.conftest import table
from ingest.test_privacy import Canaries, film

import medsyn
from medsyn.inspection import console
from medsyn.inspection.stage import InspectResult
from medsyn.workspace import Workspace


def test_no_canary_comes_out(workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    canaries = Canaries()
    folder, rows = tmp_path / canaries.new(), []
    for i in range(12):
        name = f"{canaries.new()}.dcm"
        film(folder / name, i, canaries)
        rows.append({"file": name, "label": "ab"[i % 2], "patient_id": canaries.new()})
    labels = table(tmp_path / f"{canaries.new()}.csv", rows)
    medsyn.ingest(folder, labels=str(labels), modality="xray", size=32, workspace=workspace.path)
    found = medsyn.inspect_dataset(workspace=workspace.path)
    assert found.html is not None
    capsys.readouterr()
    console.tell(InspectResult(found.report, None), as_json=False)
    console.tell(found, as_json=True)
    told = found.html.read_text() + capsys.readouterr().out
    assert "12 X-ray images" in told
    assert '"classes": [' in told
    assert [c for c in canaries if c in told.upper()] == []
