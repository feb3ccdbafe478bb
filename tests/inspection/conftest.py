"""A dataset with traps, small enough to count by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import blobs, fresh_workspace, make_dataset

from medsyn.data import Dataset
from medsyn.workspace import Workspace

N = 120


@pytest.fixture(scope="package")
def trap(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> tuple[Workspace, Dataset]:
    """120 films of 60 subjects: two of three pneumonia films AP, one of six others; sex has nothing to do with it."""
    workspace = fresh_workspace(tmp_path_factory.mktemp("inspection"), empty_store)
    return workspace, make_trap(workspace)


def make_trap(workspace: Workspace, **changes: Any) -> Dataset:
    images, _ = blobs(N, side=16)
    subject = np.arange(N) // 2
    labels = subject % 2
    images[labels == 1] = np.clip(images[labels == 1] + 0.15, 0, 1)
    view = ["AP" if s // 2 % 6 < (4 if label else 1) else "PA" for s, label in zip(subject, labels, strict=True)]
    given: dict[str, Any] = {
        "subjects": [f"subject{s}" for s in subject],
        "view": view,
        "sex": ["F" if s // 2 % 2 else "M" for s in subject],
    }
    return make_dataset(workspace, images, labels, **(given | changes))


@pytest.fixture
def edit() -> Callable[..., None]:
    """Change a table of a committed dataset, as a fault would."""

    def change(dataset: Dataset, table: str, function: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
        file = dataset.path / f"{table}.parquet"
        found = pq.read_table(file)
        made = pa.Table.from_pandas(function(found.to_pandas()), preserve_index=False)
        pq.write_table(made.select([n for n in found.column_names if n in made.column_names]), file)

    return change
