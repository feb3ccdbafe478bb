"""Sets that a test may change, and what `medsyn verify` says of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from augment.sets import ALL, augment, ready
from typer.testing import CliRunner

import medsyn
from medsyn import terminal
from medsyn.augment.verification import Verified
from medsyn.cli import app
from medsyn.workspace import Workspace

__all__ = ["ready"]


@pytest.fixture(scope="module")
def whole(ready: Workspace) -> Path:
    """24 images in every format."""
    return augment(ready, formats=ALL)


@pytest.fixture(scope="module")
def plain(ready: Workspace) -> Path:
    """12 images as PNG alone."""
    return augment(ready, n=12)


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "set"))


@pytest.fixture
def check(ready: Workspace) -> Callable[..., Verified]:
    def verify(folder: Path, **options: Any) -> Verified:
        return medsyn.verify_synthetic(folder, workspace=ready.path, **options)

    return verify


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[int, str, str]]]:
    """Run ``medsyn verify``; exit code, output, errors."""
    for console in (terminal.out, terminal.err):
        monkeypatch.setattr(console, "no_color", True)

    def verify(*arguments: object) -> tuple[int, str, str]:
        done = CliRunner().invoke(app, ["verify", *map(str, arguments)])
        return done.exit_code, done.stdout, done.stderr

    return verify


def sentences(result: Verified) -> list[str]:
    return [finding.sentence for finding in result.findings]


def change_manifest(folder: Path, change: Callable[[list[dict[str, Any]]], None]) -> None:
    file = folder / "manifest.parquet"
    table = pq.read_table(file)
    rows = table.to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), file)


def accepted(folder: Path) -> list[dict[str, Any]]:
    return [row for row in pq.read_table(folder / "manifest.parquet").to_pylist() if row["accepted"]]
