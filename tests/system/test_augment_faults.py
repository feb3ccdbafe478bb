"""`medsyn augment` where machine or user do something wrong: one line, an exit code, and a set that goes on."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from augment.sets import augment, contents, copied, hidden, prepare
from commands import environment, medsyn, until
from typer.testing import CliRunner

from medsyn import terminal, tracking
from medsyn.augment import generation
from medsyn.augment.writers import tables
from medsyn.cli import app
from medsyn.workspace import SYNTHETIC, Workspace

pytestmark = pytest.mark.system

OFTEN = """
from medsyn.augment import generation
generation.PART = 16
from medsyn.cli import main
main()
"""
"""The command, with parts so small that a set of a few seconds has several."""

Typed = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Workspace:
    return prepare(tmp_path_factory.mktemp("ready"), empty_store)


@pytest.fixture
def workspace(ready: Workspace, tmp_path: Path) -> Workspace:
    return copied(ready, tmp_path)


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Run ``medsyn augment``; exit code, and the one line of an error."""
    monkeypatch.setattr(generation, "PART", 8)
    for console in (terminal.out, terminal.err):
        monkeypatch.setattr(console, "no_color", True)

    def run(workspace: Workspace, *arguments: object) -> tuple[int, str]:
        given = ("augment", "-w", workspace.path, "--threads", 1, "--workers", 1, *arguments)
        with tracking.off():
            done = CliRunner().invoke(app, [*map(str, given)])
        told = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
        assert len(told) == (done.exit_code != 0), done.stderr
        assert "bug" not in done.stderr, done.stderr
        return done.exit_code, "".join(told)

    return run


@pytest.fixture
def disk(ready: Workspace, tmp_path: Path) -> Iterator[Workspace]:
    """A workspace on a disk of its own of 24 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small tmpfs needs more rights than this machine gives")
    yield copied(ready, folder)
    subprocess.run(["umount", "-l", folder], check=True)


def fill(workspace: Workspace, left: int) -> Path:
    """Leave so many bytes on the disk."""
    filler = workspace.path.parent / "filler"
    filler.write_bytes(b"x" * max(0, shutil.disk_usage(workspace.path).free - left))
    return filler


def assert_whole(path: Path, ready: Workspace, **options: object) -> None:
    assert contents(path) == contents(augment(ready, **options))


# ---- disks


def test_a_set_that_will_not_fit_is_refused_and_one_that_fills_the_disk_goes_on(
    disk: Workspace, ready: Workspace, typed: Typed
) -> None:
    asked = ("--n", 300, "--format", "png", "--batch-size", 8)
    filler = fill(disk, 1_000_000)
    code, error = typed(disk, *asked)
    assert code == 5
    assert "300 images need about 0.00" in error
    assert "--yes" in error
    assert hidden(disk) == []
    code, error = typed(disk, *asked, "--yes")
    assert code == 5
    assert "full" in error
    assert disk.all(SYNTHETIC) == []
    assert len(hidden(disk)) == 2
    os.truncate(filler, filler.stat().st_size - 100_000)
    code, error = typed(disk, *asked)
    assert code == 5
    assert "GiB more" in error
    filler.unlink()
    assert typed(disk, *asked) == (0, "")
    assert_whole(disk.latest(SYNTHETIC), ready, n=300, balance="match")
    assert hidden(disk) == []


def test_what_an_unfinished_set_has_taken_is_not_asked_for_again(disk: Workspace, typed: Typed) -> None:
    asked = ("--n", 300, "--format", "png", "--batch-size", 8)
    filler = fill(disk, 1_500_000)
    assert typed(disk, *asked, "--yes")[0] == 5
    filler.unlink()
    fill(disk, 1_600_000)  # less than the whole set takes, more than the rest of it
    assert typed(disk, *asked) == (0, "")


def test_the_disk_is_full_when_only_the_tables_are_missing(
    disk: Workspace, ready: Workspace, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = tables.write

    def full(*arguments: object) -> None:
        fill(disk, 0)
        write(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(tables, "write", full)
        code, error = typed(disk, "--n", 40, "--format", "png,npz")
    assert code == 5
    assert "full" in error
    assert disk.all(SYNTHETIC) == []
    (disk.path.parent / "filler").unlink()
    assert typed(disk, "--n", 40, "--format", "png,npz") == (0, "")
    assert_whole(disk.latest(SYNTHETIC), ready, n=40, formats=["png", "npz"], balance="match")


@pytest.mark.parametrize("options", [[], ["--yes"]])
def test_ten_million_images_on_a_small_disk(disk: Workspace, typed: Typed, options: list[str]) -> None:
    free = shutil.disk_usage(disk.path).free
    code, error = typed(disk, "--n", 10_000_000, *options)
    assert code == 5
    assert ("full" if options else "10000000 images need about") in error
    assert hidden(disk) == []
    assert disk.all(SYNTHETIC) == []
    assert shutil.disk_usage(disk.path).free > free - 100_000


def test_a_read_only_disk(disk: Workspace, typed: Typed) -> None:
    for mode, code, says in [("ro", 5, "read-only"), ("rw", 0, "")]:
        subprocess.run(["mount", "-o", f"remount,{mode}", disk.path.parent], check=True)
        found, error = typed(disk, "--n", 8)
        assert found == code
        assert says in error


def test_files_that_may_not_grow(workspace: Workspace, ready: Workspace, typed: Typed) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, hard))
    try:
        code, error = typed(workspace, "--n", 40)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert code == 5
    assert "larger" in error
    assert hidden(workspace) == []
    assert typed(workspace, "--n", 40) == (0, "")
    assert_whole(workspace.latest(SYNTHETIC), ready, n=40, formats=["png", "npz"], balance="match")


@contextmanager
def another_user(folder: Path) -> Iterator[None]:
    """Somebody who may read the folder and not write to it."""
    if os.geteuid() == 0:
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)
    else:
        folder.chmod(0o555)
        try:
            yield
        finally:
            folder.chmod(0o755)


def test_a_folder_that_may_not_be_written(ready: Workspace, typed: Typed) -> None:
    with tempfile.TemporaryDirectory() as folder:
        workspace = copied(ready, Path(folder))
        subprocess.run(["chmod", "-R", "a+rX", folder], check=True)
        with another_user(workspace.path / "synthetic"):
            code, error = typed(workspace, "--n", 8)
        assert code == 5
        assert "permission denied" in error
        assert hidden(workspace) == []
        assert typed(workspace, "--n", 8) == (0, "")


@pytest.mark.skipif(os.geteuid() != 0, reason="a folder of another user: only root can make one")
def test_a_folder_that_may_not_be_read(workspace: Workspace, typed: Typed) -> None:
    with another_user(workspace.path):
        code, error = typed(workspace, "--n", 8)
    assert code == 5
    assert "permission denied" in error
    assert typed(workspace, "--n", 8) == (0, "")


# ---- what is asked for


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--balance", "no_finding=3,cat=2"], 2, ["'cat'", "no_finding, pneumonia"]),
        (["--balance", "no_finding=-3"], 2, ["balance"]),
        (["--n", 0], 2, ["n", "1"]),
        (["--n", "many"], 2, ["integer"]),
        (["--format", "png,bmp"], 2, ["bmp", "'png', 'dicom', 'nifti' or 'npz'"]),
        (["--truncation", 0], 2, ["truncation"]),
        (["--generator", "nobody"], 4, ["no generator 'nobody'", "xray-001"]),
        (["--device", "cuda:77"], 5, ["cuda:77", "--device"]),
    ],
)
def test_what_cannot_be_asked_for(workspace: Workspace, arguments: list[object], code: int, words: list[str]) -> None:
    done = CliRunner().invoke(app, ["augment", "-w", str(workspace.path), *map(str, arguments)])
    if isinstance(done.exception, SystemExit):  # of an option that Typer itself refuses
        assert done.exit_code == code, done.stderr
    for word in words:
        assert word in " ".join(done.stderr.replace("│", " ").split())
    assert done.exit_code == code
    assert hidden(workspace) == []
    assert workspace.all(SYNTHETIC) == []


def test_tampered_weights(workspace: Workspace, typed: Typed) -> None:
    weights = workspace.path / "generators" / "xray-001" / "generator.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    code, error = typed(workspace, "--n", 8)
    assert code == 3
    assert "SHA-256" in error
    assert hidden(workspace) == []


# ---- processes


def start(workspace: Workspace, *arguments: object) -> subprocess.Popen[str]:
    given = ["augment", "-w", workspace.path, "--format", "png", "--n", 150, *arguments]
    return subprocess.Popen(
        [sys.executable, "-c", OFTEN, *map(str, given)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def parts(workspace: Workspace) -> int:
    return len(list((workspace.path / "synthetic").glob(".unfinished-*/part-*.parquet")))


def more_than(seen: int, workspace: Workspace) -> bool:
    return parts(workspace) > seen


def a_worker_of(process: subprocess.Popen[str]) -> int:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not children.exists():
        process.kill()
        pytest.skip("no /proc to find workers in")
    return next(
        int(c) for c in children.read_text().split() if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes()
    )


def test_killed_in_every_way_one_after_the_other(workspace: Workspace, ready: Workspace) -> None:
    rng, seen = random.Random(3), 0
    for way, code, says in [
        ("SIGKILL", -signal.SIGKILL, ""),
        ("a worker's SIGKILL", 5, "a worker process was killed"),
        ("SIGINT", 130, "run the command again"),
    ]:
        process = start(workspace, "--batch-size", 8, *(["--workers", 2] if "worker" in way else []))
        until(process, partial(more_than, seen, workspace))
        time.sleep(rng.uniform(0, 0.2))
        if "worker" in way:
            os.kill(a_worker_of(process), signal.SIGKILL)
        else:
            os.killpg(process.pid, signal.SIGKILL if way == "SIGKILL" else signal.SIGINT)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == code, output
        assert says in output
        assert "Traceback" not in output
        assert workspace.all(SYNTHETIC) == []
        assert parts(workspace) > seen
        seen = parts(workspace)
    process = start(workspace)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert "Going on with an unfinished set" in output
    assert hidden(workspace) == []
    assert_whole(workspace.latest(SYNTHETIC), ready, n=150, balance="match")


def test_sets_that_are_made_at_once(workspace: Workspace, ready: Workspace) -> None:
    first = start(workspace, "--batch-size", 1)
    until(first, lambda: bool(hidden(workspace)))
    os.killpg(first.pid, signal.SIGSTOP)  # or it might be through before the others have begun
    other = start(workspace, "--seed", 1)
    second = medsyn("augment", "-w", workspace.path, "--format", "png", "--n", 150, cwd=workspace.path)
    os.killpg(first.pid, signal.SIGCONT)
    outputs = [process.communicate(timeout=120)[0] for process in (first, other)]
    assert second.returncode == 5, second.stderr
    assert "another medsyn process makes this very set" in second.stderr
    assert (first.returncode, other.returncode) == (0, 0), outputs
    made = workspace.all(SYNTHETIC)
    assert len(made) == 2
    assert hidden(workspace) == []
    expected = [contents(augment(ready, n=150, balance="match", seed=seed)) for seed in (0, 1)]
    assert sorted(map(str, map(contents, made))) == sorted(map(str, expected))
