"""Shipped pipelines: all can be read, and that of the brain runs as it is shipped, smaller."""

from __future__ import annotations

from typing import Any

import pytest

from medsyn import stages
from medsyn.config import load_pipeline, load_preset, shipped
from medsyn.workspace import Workspace

SHIPPED = sorted(file.stem for file in shipped("pipelines").glob("*.yaml"))
SMALL: dict[str, dict[str, Any]] = {
    "ingest": {"sample_subjects": 40, "size": 32, "workers": 1},
    "train-gan": {"budget": "1kimg"},
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


@pytest.mark.system
def test_the_brain_runs_on_the_sample(workspace: Workspace) -> None:
    done = {}
    for name, options in load_pipeline("brain_mri"):
        small = type(options).model_validate({**options.model_dump(exclude_unset=True), **SMALL[name]})
        done[name] = stages.run(name, small, workspace)
    assert done["ingest"].sample
    assert done["ingest"].name == "brain"
    assert sorted(done["ingest"].images_per_class) == ["lesion", "normal"]
    assert (workspace.path / "generators").exists()
    report = done["evaluate"].report
    assert report.verdict.sentence
    assert report.dataset.simulated
