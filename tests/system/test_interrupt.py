"""SIGINT and SIGKILL at random moments of a whole run: the next command works, nothing is half-written."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest
from commands import MINI, medsyn, snapshot, start

from medsyn.data import Dataset
from medsyn.synthetic import SyntheticSet
from medsyn.workspace import DATASET, EVALUATION, GENERATOR, SYNTHETIC, Workspace, read_json

pytestmark = pytest.mark.system

MOMENTS = int(os.environ.get("MEDSYN_TEST_KILLS", "4"))


def test_killed_at_random_moments(tmp_path: Path):
    (tmp_path / "mini.yaml").write_text(MINI)
    begin = time.monotonic()
    first = medsyn("run", "mini.yaml", cwd=tmp_path)
    whole = time.monotonic() - begin
    assert first.returncode == 0, first.stdout + first.stderr
    rng = random.Random(0)
    for number in range(MOMENTS):
        process = start("run", "mini.yaml", cwd=tmp_path)
        time.sleep(rng.uniform(0.05, 1) * whole)
        sent = signal.SIGKILL if number % 2 else signal.SIGINT
        if process.poll() is None:
            os.killpg(process.pid, sent)
        output, _ = process.communicate(timeout=120)
        assert process.returncode in (0, 130, -signal.SIGKILL, -signal.SIGINT), output
        assert "Traceback" not in output, output
        check_whole(Workspace(tmp_path / "medsyn-workspace"))
    last = medsyn("run", "mini.yaml", cwd=tmp_path)
    assert last.returncode == 0, last.stdout + last.stderr
    check_whole(Workspace(tmp_path / "medsyn-workspace"))
    left = {name for name in snapshot(tmp_path / "medsyn-workspace") if ".partial-" in name}
    assert not left


def check_whole(workspace: Workspace) -> None:
    """Whatever is visible can be opened and matches its digests."""
    for path in workspace.all(DATASET):
        dataset = Dataset.open(path)
        dataset.verify()
        assert len(dataset.images(dataset.rows()[:5])) == 5
    for path in workspace.all(GENERATOR):
        from medsyn import generator

        generator.load(path)
    for path in workspace.all(SYNTHETIC):
        made = SyntheticSet.open(path)
        assert len(made.images()) == len(made.manifest()) == made.card["n"]
    for path in workspace.all(EVALUATION):
        assert read_json(path / EVALUATION.main_file)["verdict"]["decision"]
        assert (path / "report.html").stat().st_size > 10_000
    for kind in (DATASET, GENERATOR, SYNTHETIC, EVALUATION):
        visible = {p for p in (workspace.path / kind.folder).iterdir() if not p.name.startswith(".")}
        assert visible == set(workspace.all(kind)), "a visible folder without its main file"
