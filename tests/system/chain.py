"""All four stages, small and quick, in this process or in one that dies at a given moment."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from helpers import SMALL, fresh_workspace

from medsyn import stages
from medsyn.config import AugmentOptions, EvaluateOptions, IngestOptions, TrainOptions
from medsyn.workspace import DATASET, EVALUATION, GENERATOR, SYNTHETIC, Workspace, read_json

STAGES = {
    "ingest": IngestOptions(sample_subjects=40, size=32, workers=1),
    "train-gan": TrainOptions(budget="1kimg", batch=32, threads=1, knobs=SMALL),
    "augment": AugmentOptions(n=20, formats=["png"], balance="equal", workers=1, threads=1, keep_all=True),
    "evaluate": EvaluateOptions(seeds=2, steps=2, ratios=[0.5], classical="without", bootstrap=100, threads=1),
}
PIPELINE = json.dumps(
    {"name": "chain", "stages": [{stage: given.model_dump(exclude_unset=True)} for stage, given in STAGES.items()]}
)
"""They as a pipeline: JSON is YAML."""


class Listener:
    """Does something at given events of a stage, and counts them."""

    def __init__(self, acts: dict[int, Callable[[], None]] | None = None) -> None:
        self.events, self.acts = 0, acts or {}

    @contextmanager
    def task(self, label: str, total: float) -> Iterator[Listener]:
        yield self

    def say(self, text: str) -> None:
        self.update(0)

    def update(self, done: float, note: str = "") -> None:
        self.events += 1
        if act := self.acts.pop(self.events, None):
            act()


@dataclass(frozen=True)
class Undisturbed:
    """What the stages make and tell when nothing happens."""

    workspace: Workspace
    results: dict[str, Any]
    events: dict[str, int]  # of each stage


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Undisturbed:
    """The stages once through."""
    workspace = fresh_workspace(tmp_path_factory.mktemp("undisturbed"), empty_store)
    events = {}
    for stage, options in STAGES.items():
        listener = Listener()
        stages.run(stage, options, workspace, listener)
        events[stage] = listener.events
    assert journals(workspace) == []
    return Undisturbed(workspace, results(workspace), events)


def results(workspace: Workspace) -> dict[str, Any]:
    """What the stages have made, each once, but for times and ids of runs."""
    from medsyn.augment.verification import VerifyOptions
    from medsyn.augment.verification import run as verify
    from medsyn.data import Dataset

    (dataset,), (generator,), (made,), (evaluation,) = (
        workspace.all(kind) for kind in (DATASET, GENERATOR, SYNTHETIC, EVALUATION)
    )
    Dataset.open(dataset).verify()
    assert verify(VerifyOptions(share=1.0), workspace).ok
    judged = pd.read_parquet(made / "manifest.parquet")
    report = read_json(evaluation / EVALUATION.main_file)
    return {
        "dataset": Dataset.open(dataset).digest,
        "generator": read_json(generator / GENERATOR.main_file)["digest"],
        # Not the files: each names the run that its generator came from.
        "synthetic": judged[["index", "label", "accepted", "pixel_digest"]].to_dict("list"),
        "evaluation": [report[part] for part in ("verdict", "arms", "fidelity", "copying")],
    }


def journals(workspace: Workspace) -> list[Path]:
    """What MLflow has not been told yet."""
    place = workspace.path / "tracking"
    return sorted(place.iterdir()) if place.is_dir() else []


def killed_at(event: int, stage: str, options: Any, workspace: Workspace) -> int | None:
    """Run a stage in a process that SIGKILL ends at this event; its exit code."""
    fresh = multiprocessing.get_context("forkserver")
    fresh.set_forkserver_preload([*stages.MODULES.values(), "chain"])
    process = fresh.Process(target=_die, args=(event, stage, options, workspace.path))
    process.start()
    process.join(300)
    return process.exitcode


def _die(event: int, stage: str, options: Any, folder: Path) -> None:
    listener = Listener({event: lambda: os.kill(os.getpid(), signal.SIGKILL)})
    stages.run(stage, options, Workspace(folder), listener)
