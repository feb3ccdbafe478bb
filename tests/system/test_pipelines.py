"""Shipped pipelines: all can be read, and those that need no data run as they are shipped, smaller."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers import SMALL
from typer.testing import CliRunner

from medsyn import config
from medsyn.cli import app
from medsyn.config import Strict, load_pipeline, load_preset, shipped
from medsyn.workspace import Workspace

SHIPPED = sorted(file.stem for file in shipped("pipelines").glob("*.yaml"))
LESS: dict[str, dict[str, Any]] = {
    "ingest": {"sample_subjects": 40, "size": 32, "workers": 1},
    "train-gan": {"budget": "0.5kimg", "knobs": SMALL},
    "augment": {"n": 12},
    "evaluate": {"seeds": 2, "steps": 2, "batch": 8, "ratios": [0.5], "classical": "with", "bootstrap": 100},
}


def test_there_is_one_for_each_of_four_modalities() -> None:
    assert {"demo", "chest_xray", "brain_mri", "head_ct", "breast_ultrasound"} <= set(SHIPPED)
    modalities = {load_pipeline(name)[1][1].modality for name in SHIPPED}
    assert modalities >= {"xray", "mri", "ct", "ultrasound"}


@pytest.mark.parametrize("name", SHIPPED)
def test_stages_of_a_pipeline_fit_together(name: str) -> None:
    parts = load_pipeline(name)
    assert [stage for stage, _ in parts] == ["ingest", "train-gan", "augment", "evaluate"]
    ingest = parts[0][1]
    assert {options.modality for _, options in parts[1:]} == {ingest.modality or "xray"}
    assert bool(ingest.paths) == bool(ingest.labels)
    if ingest.window is not None:
        assert load_preset(ingest.modality).storage == "hounsfield"


def smaller(path: str | Path) -> list[tuple[str, Strict]]:
    """A pipeline with the options that it is shipped with, but for those of `LESS`."""
    return [
        (name, type(options).model_validate({**options.model_dump(exclude_unset=True), **LESS[name]}))
        for name, options in load_pipeline(path)
    ]


@pytest.mark.system
@pytest.mark.usefixtures("coarse_features")
@pytest.mark.parametrize(
    ("command", "name", "classes"),
    [(("demo",), "demo", {"normal", "nodule", "opacity"}), (("run", "brain_mri"), "brain", {"lesion", "normal"})],
    ids=("demo", "brain_mri"),
)
def test_it_runs_on_the_sample(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], name: str, classes: set[str]
) -> None:
    monkeypatch.setattr(config, "load_pipeline", smaller)
    done = CliRunner().invoke(app, [*command, "--json", "--workspace", str(workspace.path)])
    assert done.exit_code == 0, done.output
    ingested, trained, made, judged = json.loads(done.stdout)["stages"]
    assert ingested["sample"]
    assert set(ingested["images_per_class"]) == classes
    assert {Path(stage["path"]).name for stage in (ingested, trained, made, judged)} == {f"{name}-001"}
    assert 0 < made["n"] <= 12  # of the demo, what the selection leaves of so poor a generator
    assert judged["verdict"]["sentence"]
    assert json.loads(Path(judged["report"]).read_text(encoding="utf-8"))["dataset"]["simulated"]
