"""Evaluations that differ in what a test asks for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from evaluate.report_sample import make_report

from medsyn.evaluate.results import Report
from medsyn.workspace import EVALUATION, Workspace


@pytest.fixture
def evaluated(workspace: Workspace) -> Callable[..., Path]:
    """Commit an evaluation: fields of its report, settings, and the test images it was tested on."""

    def commit(
        tested: Any = range(100), report: Report | None = None, settings: dict[str, Any] | None = None, **changes: Any
    ) -> Path:
        made = report or make_report(**changes)
        made.settings.update(settings or {})
        with workspace.build(EVALUATION, "xray") as build:
            if tested is not None:
                table = {"setting": made.verdict.setting, "split": "test", "image": np.asarray(tested)}
                pd.concat(
                    [pd.DataFrame(table), pd.DataFrame(table | {"split": "val", "image": np.asarray(tested) + 10**6})]
                ).to_parquet(build.path / "predictions.parquet")
            return build.commit(made.model_dump(mode="json"))

    return commit
