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

MOMENTS = (1 / 4, 1 / 2, 3 / 4)


def test_killed_in_every_stage(undisturbed: Undisturbed, workspace: Workspace) -> None:
    kills = Counter[str]()
    for stage, options in STAGES.items():
        for moment in MOMENTS:
            again = TrainOptions(resume=True) if unfinished(workspace) else options
            share = moment if again is options else moment / 2  # what goes on has less to do
            event = max(2, int(share * undisturbed.events[stage]))
            kills[stage] += killed_at(event, stage, again, workspace) == -9
        again = TrainOptions(resume=True) if unfinished(workspace) else options
        stages.run(stage, again, workspace)
    assert kills == dict.fromkeys(STAGES, len(MOMENTS))
    workspace.clean()
    assert not [p for p in workspace.path.rglob(".*") if p.is_dir() and p.name.startswith((".partial", ".unfinished"))]
    assert results(workspace) == undisturbed.results
    assert journals(workspace) == []
    runs = MlflowClient(tracking_uri=tracking.uri(workspace)).search_runs(["1"], max_results=1000)
    ended = Counter((r.data.tags["medsyn.stage"], r.info.status) for r in runs if "medsyn.stage" in r.data.tags)
    assert {stage for stage, status in ended if status == "RUNNING"} == set()
    assert {ended[stage, "FINISHED"] for stage in STAGES} == {1}
