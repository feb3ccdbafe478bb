"""The workspace: what shows is whole, what is half-made goes, what lives stays."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from medsyn.errors import DataError, EnvironmentFault, MissingError
from medsyn.workspace import DATASET, GENERATOR, Workspace, atomic_file, disk_errors, read_json


def test_a_result_shows_only_when_committed(workspace: Workspace) -> None:
    with workspace.build(DATASET, "chest") as build:
        (build.path / "part").write_text("x")
        assert workspace.all(DATASET) == []
        path = build.commit({"modality": "xray"})
    assert workspace.all(DATASET) == [path]
    assert path.name == "chest-001"
    assert read_json(path / "dataset.json") == {"modality": "xray"}


def test_an_error_leaves_nothing(workspace: Workspace) -> None:
    with pytest.raises(RuntimeError), workspace.build(DATASET, "chest") as build:
        (build.path / "part").write_text("x")
        raise RuntimeError
    assert not list((workspace.path / "datasets").glob("*chest*"))
    assert not list((workspace.path / "datasets").glob(".partial*"))


def test_newest_is_by_number_and_modality(workspace: Workspace) -> None:
    for name, modality in (("b", "xray"), ("a", "mri"), ("a", "xray")):
        with workspace.build(DATASET, name) as build:
            build.commit({"modality": modality})
    assert [p.name for p in workspace.all(DATASET)] == ["b-001", "a-002", "a-003"]
    assert workspace.latest(DATASET, "mri").name == "a-002"
    assert workspace.find(DATASET, "a").name == "a-003"
    assert workspace.find(DATASET, "a-002").name == "a-002"
    with pytest.raises(MissingError, match=r"b-001, a-002, a-003"):
        workspace.find(DATASET, "c")
    with pytest.raises(MissingError, match=r"no generator yet\. .*medsyn train-gan"):
        workspace.latest(GENERATOR)
    with pytest.raises(MissingError, match="no generator yet, for there is no such workspace"):
        Workspace(workspace.path / "typo").latest(GENERATOR)


def test_clean_takes_the_dead_and_leaves_the_living(workspace: Workspace) -> None:
    code = (
        "import sys, time; from medsyn.workspace import *\n"
        "with Workspace(sys.argv[1]).build(DATASET, 'x') as b:\n"
        "    (b.path / 'part').write_text('x'); print('ready', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", code, workspace.path], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "ready\n"
    (partial,) = (p for p in (workspace.path / "datasets").glob(".partial-*") if p.is_dir())
    workspace.clean()
    assert partial.is_dir(), "a living process is building here"
    other.kill()
    other.wait()
    assert partial.is_dir()
    assert workspace.clean() == 1
    assert not list((workspace.path / "datasets").glob(".partial-*"))


def test_scratch_goes_with_the_block(workspace: Workspace) -> None:
    with workspace.scratch() as folder:
        (folder / "file").write_text("x")
        assert workspace.clean() == 0
        assert folder.is_dir()
    assert not folder.exists()


def test_old_leftovers_of_atomic_writes_go(workspace: Workspace) -> None:
    old, new = workspace.private / ".project.key.0123abcd", workspace.private / ".project.key.4567abcd"
    for file in (old, new):
        file.write_text("x")
    os.utime(old, (time.time() - 7200,) * 2)
    workspace.clean()
    assert not old.exists()
    assert new.exists()


def test_the_project_key_is_private_and_stays(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    key = workspace.project_key()
    assert len(key) == 32
    assert workspace.project_key() == key
    file = workspace.private / "project.key"
    assert file.stat().st_mode & 0o777 == 0o600
    assert workspace.private.stat().st_mode & 0o777 == 0o700
    file.write_text("short")
    with pytest.raises(DataError, match="64 hexadecimal"):
        workspace.project_key()


def test_opening_makes_nothing(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    assert workspace.all(DATASET) == []
    assert not workspace.path.exists()


def test_a_newer_workspace_is_refused(workspace: Workspace) -> None:
    (workspace.path / "medsyn.json").write_text('{"schema": 99}')
    with pytest.raises(DataError, match="newer medsyn"):
        Workspace(workspace.path)


def test_atomic_file_keeps_the_old_content_on_failure(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("old")
    with pytest.raises(RuntimeError), atomic_file(file) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(28, "No space left on device"), "disk is full"),
        (OSError("33 requested and 12 written"), "disk is full"),
        (PermissionError(13, "Permission denied"), "permission"),
    ],
)
def test_disk_errors_are_told_in_one_line(error: OSError, told: str) -> None:
    with pytest.raises(EnvironmentFault, match=told) as caught, disk_errors(Path("/somewhere")):
        raise error
    assert "\n" not in caught.value.line()


def test_other_errors_pass() -> None:
    with pytest.raises(FileNotFoundError), disk_errors(Path("/somewhere")):
        raise FileNotFoundError(2, "gone")
