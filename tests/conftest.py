"""Fixtures that every test may use."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import coarse, fresh_workspace

from medsyn import manner
from medsyn.workspace import Workspace

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with real scans, or a skip that says so."""
    folder = Path(os.environ.get("MEDSYN_TEST_DATA", ROOT.parent / "shared" / "datasets"))
    if not (folder / "pneumoniamnist.npz").is_file():
        pytest.skip(f"no real scans at {folder} (set MEDSYN_TEST_DATA)")
    return folder.resolve()


@pytest.fixture(scope="session", autouse=True)
def _interrupts_are_heard() -> None:
    """A shell's background job is deaf to SIGINT, and so would be all that it starts."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_the_user() -> None:
    for name in ("MLFLOW_TRACKING_URI", "MEDSYN_WORKSPACE"):
        os.environ.pop(name, None)


@pytest.fixture(autouse=True)
def _manner_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Functions that a command calls leave behind that they have answered; a process runs one command."""
    monkeypatch.setattr(manner, "current", manner.Manner())


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without a run: making one takes seconds, which every workspace would pay."""
    from mlflow import MlflowClient

    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def workspace(tmp_path: Path, empty_store: Path) -> Workspace:
    """An empty workspace of one test."""
    return fresh_workspace(tmp_path, empty_store)


@pytest.fixture(scope="module")
def coarse_features() -> Iterator[None]:
    """`coarse`, for all tests of a module."""
    with coarse():
        yield


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium, or a skip that says what is missing."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on PATH")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-quic"])
        yield started
        started.close()
