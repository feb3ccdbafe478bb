"""The stages on a Dask cluster: the same bytes as here, whatever dies, and one line where it cannot be used."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from augment.sets import augment, contents, prepare
from commands import environment, medsyn, until
from dask_processes import PATHS, Dask, dask, killer
from deadly import Leaf, die, read
from helpers import fresh_workspace

from medsyn import cluster, compute
from medsyn.config import AugmentOptions, EvaluateOptions, IngestOptions, validate
from medsyn.data.sample import write_sample
from medsyn.errors import EnvironmentFault, UsageError
from medsyn.ingest import isolation
from medsyn.progress import SILENT, Silent
from medsyn.workspace import DATASET, EVALUATION, SYNTHETIC, Workspace, read_json

pytestmark = [pytest.mark.system, pytest.mark.crowded]

SMALL = """
from medsyn.augment import generation
from medsyn.ingest import reading
generation.PART = 16
reading.CHUNK = 4
from medsyn.cli import main
main()
"""
"""The command, with tasks and parts so small that a short one has many."""
STAGES = ("ingest", "augment", "evaluate")


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Simulated films, and their labels."""
    folder = tmp_path_factory.mktemp("films")
    write_sample(folder, subjects=150, seed=0, size=64)
    return folder


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Workspace:
    """A workspace with a dataset, a generator, and a synthetic set."""
    workspace = prepare(tmp_path_factory.mktemp("ready"), empty_store)
    augment(workspace, n=60)
    return workspace


@dataclass
class Bench:
    """Runs one stage in a fresh workspace, and tells what it made."""

    stage: str
    films: Path
    ready: Workspace

    def workspace(self, folder: Path, store: Path) -> Workspace:
        if self.stage == "ingest":
            return fresh_workspace(folder, store)
        left_out = ("mlartifacts", *(("synthetic",) if self.stage == "augment" else ()))
        made = shutil.copytree(self.ready.path, folder / "workspace", ignore=shutil.ignore_patterns(*left_out))
        return Workspace(made).create()

    def command(self, workspace: Workspace, *more: object) -> list[str]:
        what: list[object] = {
            "ingest": [self.films / "films", "--labels", self.films / "labels.csv", "--size", 32, "--modality", "xray"],
            "augment": ["--n", 240, "--format", "png", "--batch-size", 8],
            "evaluate": ["--seeds", 2, "--steps", 30, "--ratio", 0.5, "--bootstrap", 100, "--threads", 1],
        }[self.stage]  # fmt: skip
        return [sys.executable, "-c", SMALL, self.stage, "-w", *map(str, (workspace.path, *what, *more))]

    def start(self, workspace: Workspace, *more: object, **extra: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(workspace, *more),
            env=environment(**({"PYTHONPATH": PATHS} | extra)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, workspace: Workspace, *more: object) -> str:
        process = self.start(workspace, *more)
        output, _ = process.communicate(timeout=900)
        assert process.returncode == 0, output
        return output

    def made(self, workspace: Workspace) -> Any:
        """Digests, or all that does not tell when it was made."""
        if self.stage == "ingest":
            (path,) = workspace.all(DATASET)
            return read_json(path / DATASET.main_file)["content_digest"]
        if self.stage == "augment":
            (path,) = workspace.all(SYNTHETIC)
            return contents(path)
        (path,) = workspace.all(EVALUATION)
        report = read_json(path / EVALUATION.main_file)
        for changing in ("created", "seconds", "timings", "looks_at_test"):
            del report[changing]
        report["settings"].pop("threads")
        return {"predictions": (path / "predictions.parquet").read_bytes()} | report

    def progress(self, workspace: Workspace) -> int:
        """How much is kept so far: files read, parts of the set, trainings."""
        if self.stage == "augment":
            return len(list(workspace.path.glob("synthetic/.unfinished-*/part-*.parquet")))
        if self.stage == "evaluate":
            return len(list(workspace.path.glob("cache/predictions/*/*.npz")))
        try:
            (file,) = workspace.path.glob("private/ingest/*/journal.sqlite")
            with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as journal:
                return journal.execute("SELECT count(*) FROM blocks").fetchone()[0]
        except (ValueError, sqlite3.Error):  # not there yet
            return 0


@pytest.fixture(params=STAGES, scope="module")
def bench(request: pytest.FixtureRequest, films: Path, ready: Workspace) -> Bench:
    return Bench(request.param, films, ready)


@pytest.fixture(scope="module")
def alone(bench: Bench, tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Any:
    """What one process makes."""
    workspace = bench.workspace(tmp_path_factory.mktemp("alone"), empty_store)
    bench.run(workspace, *(() if bench.stage == "evaluate" else ("--workers", 1)))
    return bench.made(workspace)


@pytest.fixture
def workspace(bench: Bench, tmp_path: Path, empty_store: Path) -> Workspace:
    return bench.workspace(tmp_path, empty_store)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dask]:
    """Two workers; one without a nanny, which sets no number of threads."""
    with dask(tmp_path_factory.mktemp("dask"), 1) as made:
        made.worker("--no-nanny", OMP_NUM_THREADS="2")
        made.wait(2)
        yield made


def assert_one_line(output: str) -> None:
    assert "Traceback" not in output, output
    assert "distributed." not in output, output
    assert len([line for line in output.splitlines() if line.startswith("Error: ")]) == 1, output


# ---- the same bytes


def test_two_processes_and_a_cluster_make_what_one_process_makes(
    bench: Bench, alone: Any, two: Dask, workspace: Workspace, tmp_path: Path, empty_store: Path
) -> None:
    other = bench.workspace(tmp_path / "other", empty_store)
    bench.run(other, "--threads" if bench.stage == "evaluate" else "--workers", 2)
    made = bench.made(other)
    if bench.stage == "evaluate":  # features are read here, and sums of several threads differ in the last bits
        assert made == alone | {"fidelity": close(alone["fidelity"])}
    else:
        assert made == alone
    assert f"Cluster: 2 workers at {two.address}" in bench.run(workspace, "--cluster", two.address)
    assert bench.made(workspace) == alone
    assert not list(workspace.path.glob(".partial-*"))
    with two.client() as client:
        tasks = client.run_on_scheduler(_tasks)
    assert tasks == 0


def close(value: Any) -> Any:
    """Equal to what differs by so little that no reader sees it."""
    if isinstance(value, dict):
        return {key: close(content) for key, content in value.items()}
    if isinstance(value, list):
        return [close(content) for content in value]
    return pytest.approx(value, rel=1e-4, abs=1e-6) if isinstance(value, float) else value


def _tasks(dask_scheduler: Any) -> int:
    return len(dask_scheduler.tasks)


def test_workers_that_are_killed_cost_time_alone(
    bench: Bench, alone: Any, workspace: Workspace, tmp_path: Path
) -> None:
    with (
        dask(tmp_path / "dask", 2, failures=100) as many,
        killer(many, 1.0 if bench.stage == "ingest" else 3.0) as killed,
    ):
        bench.run(workspace, "--cluster", many.address)
    assert len(killed) >= 2
    assert bench.made(workspace) == alone


def test_a_scheduler_that_is_killed_ends_the_command_and_the_next_one_goes_on(
    bench: Bench, alone: Any, workspace: Workspace, tmp_path: Path
) -> None:
    with dask(tmp_path / "dask", 2) as cluster:
        process = bench.start(workspace, "--cluster", cluster.address)
        begun = bench.progress(workspace)
        until(process, lambda: bench.progress(workspace) > begun)
        cluster.processes[0].kill()
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 5, output
        assert_one_line(output)
        assert "the connection to the scheduler is lost" in output
        assert bench.progress(workspace) > begun
        cluster.scheduler()
        for _ in range(2):
            cluster.worker()
        cluster.wait(2)
        bench.run(workspace, "--cluster", cluster.address)
    assert bench.made(workspace) == alone


def test_interrupted_it_leaves_no_task_on_the_cluster(
    bench: Bench, alone: Any, two: Dask, workspace: Workspace
) -> None:
    process = bench.start(workspace, "--cluster", two.address)
    begun = bench.progress(workspace)
    until(process, lambda: bench.progress(workspace) > begun)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert_one_line(output)
    with two.client() as client:
        end = time.monotonic() + 60
        while client.run_on_scheduler(_tasks):
            assert time.monotonic() < end
            time.sleep(0.1)
    bench.run(workspace, "--cluster", two.address)
    assert bench.made(workspace) == alone


# ---- what cannot be used


@pytest.fixture
def own(tmp_path: Path, empty_store: Path) -> Workspace:
    return fresh_workspace(tmp_path, empty_store)


def used(dask: Dask, workspace: Workspace, *paths: Path, torch: bool = False) -> None:
    with cluster.connected(dask.address, workspace, SILENT, map(str, paths), torch=torch):
        pass


def test_nobody_answers(own: Workspace, films: Path, tmp_path: Path) -> None:
    done = medsyn("ingest", films / "films", "--cluster", "tcp://127.0.0.1:9", "-w", own.path, cwd=tmp_path)
    assert done.returncode == 5
    assert_one_line(done.stderr)
    assert "--cluster tcp://127.0.0.1:9: no scheduler answers" in done.stderr
    assert own.all(DATASET) == []


def test_dask_is_not_installed(own: Workspace, films: Path, tmp_path: Path) -> None:
    (tmp_path / "distributed.py").write_text("raise ImportError\n")
    paths = {"PYTHONPATH": os.pathsep.join((str(tmp_path), PATHS))}
    done = medsyn("augment", "--cluster", "tcp://127.0.0.1:9", "-w", own.path, cwd=tmp_path, **paths)
    assert done.returncode == 4  # no generator: that comes first
    done = medsyn("ingest", films / "films", "--cluster", "tcp://127.0.0.1:9", "-w", own.path, cwd=tmp_path, **paths)
    assert done.returncode == 5
    assert_one_line(done.stderr)
    assert "pip install 'distributed>=" in done.stderr


def test_no_worker(own: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "PATIENCE", 2.0)
    with dask(tmp_path / "dask", 0) as empty, pytest.raises(EnvironmentFault, match="no worker for 2 s"):
        used(empty, own)


def test_a_worker_that_comes_late(own: Workspace, tmp_path: Path) -> None:
    class Calling(Silent):
        def say(self, text: str) -> None:
            if "no worker" in text:
                late.worker()

    with dask(tmp_path / "dask", 0) as late, cluster.connected(late.address, own, Calling(), torch=False) as pool:
        assert pool is not None
        assert pool.submit(pow, 2, 5).result() == 32


def test_several_threads(own: Workspace, tmp_path: Path) -> None:
    with dask(tmp_path / "dask", 0) as threads:
        threads.worker("--nthreads", "2")
        threads.wait(1)
        with pytest.raises(EnvironmentFault, match=r"worker tcp://.* has 2 threads.*--nthreads 1"):
            used(threads, own)


@pytest.mark.parametrize("package", ["torch", "pydicom"])
def test_another_version(own: Workspace, tmp_path: Path, package: str) -> None:
    told = tmp_path / "older" / f"{package}-0.9.dist-info"
    told.mkdir(parents=True)
    (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 0.9\n")
    with dask(tmp_path / "dask", 0) as older:
        older.worker(PYTHONPATH=os.pathsep.join((str(told.parent), PATHS)))
        older.wait(1)
        with pytest.raises(EnvironmentFault, match=rf"has {package} 0.9, and this command \d"):
            used(older, own)


def test_other_instructions_count_where_torch_does(own: Workspace, tmp_path: Path) -> None:
    if compute.platform_facts()["instructions"] == "DEFAULT":
        pytest.skip("this processor has no others")
    with dask(tmp_path / "dask", 1, ATEN_CPU_CAPABILITY="default") as plain:
        used(plain, own)
        with pytest.raises(EnvironmentFault, match="has instructions DEFAULT, and this command AVX"):
            used(plain, own, torch=True)


@pytest.mark.parametrize("differs", ["code", "all"])
def test_another_medsyn(own: Workspace, tmp_path: Path, differs: str) -> None:
    copy = shutil.copytree(Path(compute.__file__).parent, tmp_path / "other" / "medsyn")
    if differs == "code":
        (copy / "new.py").write_text("more = 1\n")
        told = r"has medsyn [\d.]+ \(\w+\), and this command [\d.]+ \(\w+\)"
    else:
        (copy / "cluster.py").unlink()
        told = "cannot load medsyn"
    with dask(tmp_path / "dask", 0) as other:
        other.worker(PYTHONPATH=str(copy.parent))
        other.wait(1)
        with pytest.raises(EnvironmentFault, match=told):
            used(other, own)


@pytest.mark.skipif(os.geteuid() != 0, reason="a mount of one process: only root can make one")
@pytest.mark.parametrize("what", ["workspace", "films"])
def test_a_worker_that_sees_other_files(own: Workspace, films: Path, tmp_path: Path, what: str) -> None:
    hidden = own.path if what == "workspace" else films
    hide = ("unshare", "--mount", "sh", "-c", f"mount -t tmpfs tmpfs '{hidden}' && exec \"$@\"", "sh")
    if subprocess.run([*hide, "true"], capture_output=True).returncode:
        pytest.skip("this machine allows no mount of one process")
    with dask(tmp_path / "dask", 0) as other:
        other.worker(before=hide)
        other.wait(1)
        shown = own.path if what == "workspace" else films / "films"
        with pytest.raises(EnvironmentFault, match=rf"does not see {shown} of this command"):
            used(other, own, films / "films")


def test_a_task_that_kills_workers(own: Workspace, tmp_path: Path) -> None:
    with (
        dask(tmp_path / "dask", 1, failures=1) as weak,
        cluster.connected(weak.address, own, SILENT, torch=False) as pool,
    ):
        assert pool is not None
        with pytest.raises(EnvironmentFault, match="2 workers died at one task"):
            pool.submit(os._exit, 1).result(timeout=120)
        assert pool.submit(pow, 2, 5).result(timeout=120) == 32


def test_a_file_that_kills_its_reader_costs_itself_alone(own: Workspace, two: Dask, films: Path) -> None:
    there = str(films)
    deadly = [Leaf(1, there), Leaf(2, there, die), Leaf(3, there)]
    with cluster.connected(two.address, own, SILENT, torch=False) as pool, two.client() as client:
        before = client.run(_pid)
        with isolation.mapper(None, isolation.IN_PROCESS, pool) as over:
            assert list(over(read, [deadly, deadly[:1]])) == [["good", "crashed", "good"], ["good"]]
            with pytest.raises(EnvironmentFault, match="does not see the file of input 9"):
                list(over(read, [[Leaf(9, str(films / "gone"))]]))
        assert client.run(_pid) == before


def _pid() -> int:
    return os.getpid()


@pytest.mark.parametrize(
    ("options", "given", "told"),
    [
        (IngestOptions, {"cluster": "scheduler:8786"}, "tcp://scheduler:8786"),
        (IngestOptions, {"cluster": "tcp://a:1", "workers": 2}, "leave workers or cluster out"),
        (AugmentOptions, {"cluster": "tcp://a:1", "device": "cuda"}, "a cluster computes on CPUs"),
    ],
)
def test_options_that_do_not_go_together(options: Any, given: dict[str, object], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        validate(options, given, where="medsyn")


def test_a_cluster_computes_on_cpus() -> None:
    assert EvaluateOptions(cluster="tls://[::1]:8786").device == "cpu"
