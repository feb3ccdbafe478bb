"""`medsyn gc`: what nobody needs goes, all else stays."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from augment.sets import Stopping, augment, prepare
from commands import environment
from filelock import FileLock
from gan.toy import Listener, toy  # noqa: F401
from helpers import SMALL
from typer.testing import CliRunner

from medsyn.augment import generation
from medsyn.cache import Cache
from medsyn.cli import app
from medsyn.config import TrainOptions
from medsyn.errors import EnvironmentFault, MissingError, UsageError
from medsyn.gan import run
from medsyn.operations.gc import collect
from medsyn.operations.status import status
from medsyn.workspace import GENERATOR, KINDS, STALE_SECONDS, Workspace, read_json
from operations import shelves

BUILDING = """
import sys, time
from medsyn.workspace import SYNTHETIC, Workspace
with Workspace(sys.argv[1]).build(SYNTHETIC, "xray") as build:
    (build.path / "a").write_text("a")
    print("building", flush=True)
    time.sleep(600)
"""


def files(folder: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def results(workspace: Workspace) -> dict[Path, bytes]:
    return {p: data for kind in KINDS for path in workspace.all(kind) for p, data in files(path).items()}


def aged(path: Path, seconds: float = 2 * STALE_SECONDS) -> Path:
    then = time.time() - seconds
    os.utime(path, (then, then))
    return path


def litter(workspace: Workspace) -> set[Path]:
    """What killed processes leave, of every kind; returns what must go."""
    places = [
        workspace.path / "synthetic" / ".partial-xray-00000001",
        workspace.path / ".partial-scratch-00000002",
        workspace.path / "generators" / ".training-xray-00000003",
        workspace.path / "synthetic" / ".unfinished-0000000000000004",
        workspace.path / "synthetic" / ".unfinished-0000000000000005.work",
    ]
    for place in places:
        place.mkdir()
        (place / "half.bin").write_bytes(b"x" * 1000)
        aged(place)
        lock = place.with_name(place.name.removesuffix(".work") + ".lock")
        aged(lock if lock.exists() else _touched(lock))
    alone = aged(_touched(workspace.path / "evaluations" / ".partial-xray-00000006.lock"))
    written = aged(_touched(workspace.private / ".project.key.1a2b3c4d"))
    cache = Cache(workspace)
    cache.put("features", "ab" * 20, {"x": np.zeros(100)})
    return {*places, alone, written, workspace.path / "cache" / "features"}


def _touched(file: Path) -> Path:
    file.touch()
    return file


def test_litter_goes_and_results_stay(workspace: Workspace) -> None:
    shelves.chain(workspace)
    before = results(workspace)
    wanted = litter(workspace)
    whole = files(workspace.path)
    found = collect(workspace, dry_run=True)
    assert files(workspace.path) == whole
    assert found.bytes == sum(one.bytes for one in found.removed) > 5000
    assert {
        p.with_suffix(".work") if p.name.endswith("5") else p for p in (one.path for one in found.removed)
    } == wanted
    done = collect(workspace)
    assert [one.path for one in done.removed] == [one.path for one in found.removed]
    assert not done.kept
    left = files(workspace.path)
    assert {p: data for p, data in left.items() if p in before} == before
    assert not [p for p in wanted if p.exists()]
    assert not [p for p in left if p.name.startswith((".partial", ".training", ".unfinished"))]
    assert not collect(workspace).removed


def test_a_living_process_keeps_what_it_makes_and_the_cache(workspace: Workspace) -> None:
    Cache(workspace).put("features", "ab" * 20, {"x": np.zeros(100)})
    shelves.chain(workspace)
    process = subprocess.Popen(
        [sys.executable, "-c", BUILDING, str(workspace.path)], env=environment(), stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "building\n"
        (partial,) = (p for p in (workspace.path / "synthetic").glob(".partial-*") if p.suffix != ".lock")
        before = files(workspace.path)
        assert not collect(workspace).removed
        assert files(workspace.path) == before
        with pytest.raises(EnvironmentFault, match="at work here"):
            collect(workspace, ["synthetic/xray-001"])
    finally:
        process.kill()
        process.wait()
    assert {one.path for one in collect(workspace).removed} == {partial, workspace.path / "cache" / "features"}


def test_a_result_can_be_named_right_after_the_cache_went(workspace: Workspace) -> None:
    *_, made, _ = shelves.chain(workspace)
    Cache(workspace).put("features", "ab" * 20, {"x": np.zeros(100)})
    assert [one.path for one in collect(workspace).removed] == [workspace.path / "cache" / "features"]
    assert [one.path for one in collect(workspace, ["synthetic/xray-001"]).removed] == [made]


def test_a_lock_that_was_made_only_now_stays(workspace: Workspace) -> None:
    lock = _touched(workspace.path / "synthetic" / ".partial-xray-00000007.lock")
    assert not collect(workspace).removed
    aged(lock)
    assert [one.path for one in collect(workspace).removed] == [lock]


def test_what_can_go_on_stays(
    tmp_path: Path,
    empty_store: Path,
    workspace: Workspace,
    toy: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(TrainOptions(budget="2kimg", threads=1, knobs=SMALL), workspace, Listener(interrupt_after=12))
    assert not collect(workspace).removed
    assert len(status(workspace).unfinished) == 1
    monkeypatch.setattr(generation, "PART", 8)
    other = prepare(tmp_path / "sets", empty_store)
    with pytest.raises(KeyboardInterrupt):
        augment(other, Stopping(13, KeyboardInterrupt), batch_size=8)
    assert not collect(other).removed  # nor the fitted selection, which it goes on with
    assert len(status(other).unfinished) == 1
    assert augment(other).is_dir()


def test_a_training_whose_generator_is_complete_goes(workspace: Workspace, toy: Path) -> None:  # noqa: F811
    with pytest.raises(KeyboardInterrupt):
        run(TrainOptions(budget="1kimg", threads=1, knobs=SMALL), workspace, Listener(interrupt_after=4))
    (training,) = (p for p in (workspace.path / "generators").glob(".training-*") if p.is_dir())
    made = run(TrainOptions(resume=True, threads=1), workspace).path
    # Killed after the commit, before its folder was removed: the state is that of the end.
    from safetensors import safe_open

    with safe_open(made / "training.safetensors", "np") as tensors:
        state = json.loads(tensors.metadata()["state"])
    training.mkdir()
    (training / "state.json").write_text(json.dumps(state))
    (found,) = collect(workspace, dry_run=True).removed
    assert (found.path, found.why) == (training, "a training whose generator is complete")
    (training / "state.json").write_text(json.dumps(state | {"images": state["images"] - 1}))
    assert not collect(workspace, dry_run=True).removed


def test_results_go_when_they_are_named(workspace: Workspace) -> None:
    data, made_by, made, judged = shelves.chain(workspace)
    for name in ("xray-001", "models/xray-001", "synthetic/", "synthetic/../generators/xray-001"):
        with pytest.raises(UsageError, match="FOLDER/NAME"):
            collect(workspace, [name])
    with pytest.raises(MissingError, match=r"There are: xray-001\."):
        collect(workspace, ["synthetic/xray-002"])
    with pytest.raises(MissingError):
        collect(workspace, ["synthetic/.lock"])
    collect(workspace, ["synthetic/xray-001"], dry_run=True)
    assert made.is_dir()
    assert collect(workspace, ["synthetic/xray-001", "evaluations/xray-001"]).bytes > 0
    assert [p.exists() for p in (data.path, made_by, made, judged)] == [True, True, False, False]
    assert not [*workspace.path.rglob(".partial-*")]


def test_a_damaged_result_can_be_named(workspace: Workspace) -> None:
    data, made_by, *_ = shelves.chain(workspace)
    (made_by / "config.json").unlink()
    collect(workspace, ["generators/xray-001"])
    assert not made_by.exists()
    assert data.path.exists()


def test_a_dataset_takes_the_list_of_its_files_along(workspace: Workspace, tmp_path: Path) -> None:
    from medsyn.config import IngestOptions
    from medsyn.ingest import stage

    made = stage.run(IngestOptions(sample_subjects=30, size=32, workers=1), workspace)
    listed = workspace.private / read_json(made.path / "dataset.json")["paths_list"]
    assert listed.is_file()
    collect(workspace, [f"datasets/{made.path.name}"])
    assert not listed.exists()
    assert not made.path.exists()


def test_taken_up_between_look_and_removal(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from medsyn.operations import gc

    litter(workspace)
    partial = workspace.path / ".partial-scratch-00000002"
    listed = gc.removable(workspace)
    with FileLock(partial.with_name(partial.name + ".lock")):
        monkeypatch.setattr(gc, "removable", lambda _: listed)
        done = collect(workspace)
    assert done.kept == {str(partial): "a process has taken it up"}
    assert partial.is_dir()


def test_as_typed(workspace: Workspace) -> None:
    shelves.chain(workspace)
    litter(workspace)
    told = CliRunner().invoke(app, ["gc", "--dry-run", "--json", "-w", str(workspace.path)])
    assert told.exit_code == 0
    dry = json.loads(told.stdout)
    assert dry["dry"] is True
    assert len(dry["removed"]) == 8
    done = CliRunner().invoke(app, ["gc", "-w", str(workspace.path)])
    assert done.exit_code == 0
    assert "8 removed" in done.stdout
    again = CliRunner().invoke(app, ["--quiet", "gc", "-w", str(workspace.path)])
    assert (again.exit_code, again.stdout) == (0, "")
    assert len(workspace.all(GENERATOR)) == 1
    shutil.rmtree(workspace.path)
    assert CliRunner().invoke(app, ["gc", "-w", str(workspace.path)]).exit_code == 4
