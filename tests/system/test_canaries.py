"""After all commands, no text of any header, file name or CSV is anywhere outside ``private/``."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import NARROW, medsyn
from ingest.conftest import table
from ingest.test_privacy import Canaries, decoded, film
from PIL import Image

from medsyn.workspace import Workspace

pytestmark = pytest.mark.system


def test_no_canary_after_the_whole_pipeline(tmp_path: Path) -> None:
    canaries = Canaries()
    folder = tmp_path / canaries.new()
    rows = []
    for i in range(48):
        name = f"{canaries.new()}.dcm"
        film(folder / name, i, canaries)
        row = {"file": name, "label": ("normal", "opacity")[i % 2], "patient_id": canaries.new()}
        rows.append({**row, canaries[0]: canaries.new()})
    broken = folder / f"{canaries.new()}.dcm"
    film(broken, 99, canaries)
    broken.write_bytes(broken.read_bytes()[:-500])
    rows.append({**rows[0], "file": broken.name})
    labels = table(tmp_path / f"{canaries.new()}.csv", rows)
    output = ""
    for command in (
        ("ingest", folder, "--labels", labels, "--size", 32),
        ("inspect",),
        ("inspect", "--json"),
        ("train-gan", "--budget", "1kimg", *NARROW),
        ("augment", "--n", 12, "--keep-all"),  # judged all the same, and too short a training is no matter
        ("evaluate", "--seeds", 2, "--steps", 2, "--batch", 8, "--ratio", 0.5, "--bootstrap", 100),
    ):
        done = medsyn(*command, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        output += done.stdout + done.stderr
    workspace = Workspace(tmp_path / "medsyn-workspace")
    text = decoded(workspace)
    for part in (
        "medsyn.log",
        "What is in xray-001?",
        "report.html",
        "predictions.parquet",
        "manifest.csv",
        "config.json",
        "mlartifacts",
    ):
        assert part in text, f"{part} was not searched"
    pictures = [Image.open(file) for file in workspace.path.rglob("*.png")]
    assert pictures
    text += "".join(repr(picture.info) for picture in pictures)
    everything = (text + output).upper()
    assert "INGEST FINISHED" in everything
    assert [c for c in canaries if c in everything] == []
    # What does lead back is kept apart, for the owner alone.
    kept = [file.read_text(errors="ignore") for file in workspace.private.iterdir() if file.suffix == ".csv"]
    assert broken.name in "".join(kept)
