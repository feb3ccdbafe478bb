"""SIGKILL in the middle of every stage: run again, it leaves what it leaves undisturbed."""

from __future__ import annotations

from collections import Counter

import pytest
from chain import STAGES, Undisturbed, journals, killed_at, results
from mlflow import MlflowClient

from medsyn import stages, tracking
from medsyn.config import TrainOptions
from medsyn.gan.unfinished import unfinished
from medsyn.workspace import Workspace

pytestmark = pytest.mark.system

MOMENTS = (1 / 8, 1 / 4, 3 / 8)
"""Shares of what a stage has to do undisturbed; what goes on has less."""


def test_killed_in_every_stage(undisturbed: Undisturbed, workspace: Workspace) -> None:
    ends: dict[str, list[int | None]] = {stage: [] for stage in STAGES}
    for stage, options in STAGES.items():
        for moment in MOMENTS:
            again = TrainOptions(resume=True) if unfinished(workspace) else options
            event = max(2, int(moment * undisturbed.events[stage]))
            ends[stage].append(killed_at(event, stage, again, workspace))
        again = TrainOptions(resume=True) if unfinished(workspace) else options
        stages.run(stage, again, workspace)
    assert ends == dict.fromkeys(STAGES, [-9] * len(MOMENTS))
    workspace.clean()
    assert not [p for p in workspace.path.rglob(".*") if p.is_dir() and p.name.startswith((".partial", ".unfinished"))]
    assert results(workspace) == undisturbed.results
    assert journals(workspace) == []
    runs = MlflowClient(tracking_uri=tracking.uri(workspace)).search_runs(["1"], max_results=1000)
    ended = Counter((r.data.tags["medsyn.stage"], r.info.status) for r in runs if "medsyn.stage" in r.data.tags)
    assert {stage for stage, status in ended if status == "RUNNING"} == set()
    assert {ended[stage, "FINISHED"] for stage in STAGES} == {1}
