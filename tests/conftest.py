"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from medsyn.workspace import Workspace

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with real scans, or a skip that says so."""
    folder = Path(os.environ.get("MEDSYN_TEST_DATA", ROOT.parent / "shared" / "datasets"))
    if not (folder / "pneumoniamnist.npz").is_file():
        pytest.skip(f"no real scans at {folder} (set MEDSYN_TEST_DATA)")
    return folder.resolve()


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """An empty workspace."""
    return Workspace(tmp_path / "workspace").create()
