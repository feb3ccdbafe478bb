"""A set has the same bytes however it is made: batches, processes, their order, interruptions and kills."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from augment.sets import ALL, Stopping, augment, contents, copied, hidden, ready, with_a_generator_of_likenesses
from commands import environment
from threadpoolctl import threadpool_limits

from medsyn import compute
from medsyn.augment import finishing, generation
from medsyn.augment.selection import fitting
from medsyn.augment.unfinished import Unfinished
from medsyn.augment.writers import tables
from medsyn.cache import Cache
from medsyn.data import Dataset
from medsyn.progress import Silent
from medsyn.synthetic import SyntheticSet
from medsyn.workspace import DATASET, SYNTHETIC, Workspace

__all__ = ["ready"]

N = 30


@pytest.fixture(autouse=True)
def _parts_of_few_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation, "PART", 8)


@pytest.fixture(scope="module")
def whole(ready: Workspace) -> dict[str, str]:
    """A set that nothing has broken, in every format."""
    return contents(make(ready))


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    """Two processes for all tests: starting them takes longer than all they do."""
    with compute.executor(2) as made:
        yield made  # type: ignore[misc]


@pytest.fixture
def workspace(ready: Workspace, tmp_path: Path) -> Workspace:
    """With the generator, without a set."""
    return copied(ready, tmp_path)


def make(workspace: Workspace, **options: Any) -> Path:
    return augment(workspace, **({"n": N, "formats": ALL, "batch_size": 8} | options))


class Backwards(Executor):
    """Finishes the tasks that are under way in the opposite of the order in which they came."""

    def __init__(self) -> None:
        self.pending: list[tuple[_Later, Callable[[], Any]]] = []
        self.most = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future = _Later(self)
        self.pending.append((future, lambda: fn(*args, **kwargs)))
        self.most = max(self.most, len(self.pending))
        return future

    def work(self) -> None:
        while self.pending:
            future, task = self.pending.pop()
            future.set_result(task())


class _Later(Future):  # type: ignore[type-arg]
    def __init__(self, executor: Backwards) -> None:
        super().__init__()
        self._executor = executor

    def result(self, timeout: float | None = None) -> Any:
        self._executor.work()
        return super().result(timeout)


def use(executor: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def given(*_: object) -> Iterator[Executor]:
        yield executor

    monkeypatch.setattr(generation, "pool", given)


@pytest.mark.parametrize("batch_size", [1, 64, 1000])
def test_batches(ready: Workspace, whole: dict[str, str], batch_size: int) -> None:
    assert contents(make(ready, batch_size=batch_size)) == whole


@pytest.mark.parametrize("batch_size", [1, 64, 1000])
def test_processes(
    ready: Workspace,
    whole: dict[str, str],
    pool: ProcessPoolExecutor,
    batch_size: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use(pool, monkeypatch)
    assert contents(make(ready, batch_size=batch_size, workers=2)) == whole


@pytest.mark.parametrize("batch_size", [1, 8])
def test_tasks_that_end_in_another_order(
    ready: Workspace, whole: dict[str, str], batch_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = Backwards()
    use(executor, monkeypatch)
    assert contents(make(ready, batch_size=batch_size, workers=3)) == whole
    assert executor.most > 1


@pytest.mark.parametrize("fmt", ALL)
def test_a_format_alone(ready: Workspace, whole: dict[str, str], fmt: str) -> None:
    alone = contents(make(ready, formats=[fmt]))
    tables_of_formats = {"SHA256SUMS", "card.md", "labels.csv", "manifest.csv", "manifest.parquet"}
    assert {name: digest for name, digest in alone.items() if name not in tables_of_formats}.items() <= whole.items()
    folder = {"png": "images/", "dicom": "dicom/", "nifti": "nifti/", "npz": "images.npz"}[fmt]
    assert {n for n in alone if n.startswith(folder)} == {n for n in whole if n.startswith(folder)} != set()


def test_a_larger_set_begins_with_the_smaller_one_of_each_class(ready: Workspace) -> None:
    small, large = (SyntheticSet.open(make(ready, n=n, balance=b)) for n, b in [(20, "equal"), (50, "minority")])
    files = contents(large.path)
    for label, rows in small.manifest().groupby("label"):
        manifest = large.manifest()
        begin = manifest[manifest["label"] == label].head(len(rows))
        for column in ("index", "pixel_digest", "nearest_train_distance", "png", "dicom", "nifti"):
            assert rows[column].tolist() == begin[column].tolist()
    same = [name for name in contents(small.path) if name.startswith(("images/", "dicom/", "nifti/"))]
    assert len(same) == 20 * 4
    assert all(contents(small.path)[name] == files[name] for name in same)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("at", [1, 13, N])
def test_interrupted(workspace: Workspace, whole: dict[str, str], at: int, error: type[BaseException]) -> None:
    with pytest.raises(error):
        make(workspace, progress=Stopping(at, error))
    assert workspace.all(SYNTHETIC) == []
    assert len(hidden(workspace)) == (2 if at > 8 else 0)
    again = Stopping()
    assert contents(make(workspace, progress=again, batch_size=64)) == whole
    assert any("Going on with an unfinished set" in text for text in again.said) is (at > 8)
    assert hidden(workspace) == []


def test_interrupted_three_times(workspace: Workspace, whole: dict[str, str]) -> None:
    for at in (10, 19, 26):
        with pytest.raises(KeyboardInterrupt):
            make(workspace, progress=Stopping(at, KeyboardInterrupt))
    assert contents(make(workspace)) == whole


def test_interrupted_where_images_are_compared_with_earlier_ones(workspace: Workspace) -> None:
    with_a_generator_of_likenesses(workspace)
    asked = {"generator": "alike", "formats": ["png"], "keep_all": True}
    unbroken = make(workspace, **asked)
    scores = [dict(found)["near_duplicate"] for found in SyntheticSet.open(unbroken).manifest()["scores"]]
    assert sum(score > 1 for score in scores) > 10
    with pytest.raises(RuntimeError):
        make(workspace, **asked, progress=Stopping(17))
    assert contents(make(workspace, **asked)) == contents(unbroken)


MOMENTS: dict[str, tuple[object, str, int, bool]] = {
    "while files are written": (Unfinished, "write", 20, True),
    "with files that no part names": (Unfinished, "keep", 2, False),
    "after a part": (Unfinished, "keep", 2, True),
    "before the tables": (tables, "write", 1, False),
    "after the sums": (finishing, "write_sums", 1, True),
    "before it is shown": (Workspace, "reserve", 1, False),
    "after it is shown": (Workspace, "reserve", 1, True),
}
"""Moment -> what is called then, the how-manieth call it is, and whether the kill comes after it."""


def killed(workspace: Workspace, moment: str) -> None:
    """Make the set in a process that ends itself by SIGKILL at that moment."""
    holder, name, number, after = MOMENTS[moment]
    called, calls = getattr(holder, name), []

    def dies(*arguments: Any, **more: Any) -> Any:
        calls.append(1)
        if not after and len(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        result = called(*arguments, **more)
        if len(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    process = os.fork()
    if process == 0:
        try:
            signal.alarm(120)
            setattr(holder, name, dies)
            make(workspace)
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(process, 0)[1]) == signal.SIGKILL


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed(workspace: Workspace, whole: dict[str, str], moment: str) -> None:
    killed(workspace, moment)
    shown = moment == "after it is shown"
    assert len(workspace.all(SYNTHETIC)) == shown
    assert all(contents(path) == whole for path in workspace.all(SYNTHETIC))
    again = Stopping()
    assert contents(make(workspace, progress=again)) == whole
    assert any("Going on" in text for text in again.said) is not shown
    assert hidden(workspace) == []


def test_killed_twice(workspace: Workspace, whole: dict[str, str]) -> None:
    killed(workspace, "while files are written")
    killed(workspace, "with files that no part names")
    killed(workspace, "after the sums")
    assert contents(make(workspace)) == whole


def test_killed_before_the_first_part_leaves_nothing_behind_for_good(workspace: Workspace) -> None:
    process = os.fork()
    if process == 0:
        Unfinished.keep = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]
        make(workspace)
    os.waitpid(process, 0)
    assert len(hidden(workspace)) == 2
    make(workspace, n=8, seed=1)
    assert hidden(workspace) == []


DAMAGES: dict[str, Callable[[Path, Path], object]] = {
    "a file is changed": lambda made, work: _of(made, "*.png").write_bytes(b"not a picture"),
    "a file is cut": lambda made, work: os.truncate(_of(made, "*.dcm"), 100),
    "a file is gone": lambda made, work: _of(made, "*.nii.gz").unlink(),
    "all files are gone": lambda made, work: [p.unlink() for p in made.rglob("*") if p.is_file()],
    "a part is cut": lambda made, work: os.truncate(work / "part-000001.parquet", 100),
    "a part is gone": lambda made, work: (work / "part-000001.parquet").unlink(),
    "pixels of all are changed": lambda made, work: _change(work / "images.npy", 2000),
    "pixels of all are cut": lambda made, work: os.truncate(work / "images.npy", 700),
    "pixels of all are gone": lambda made, work: (work / "images.npy").unlink(),
    "sketches are changed": lambda made, work: _change(work / "sketches", 5000),
    "sketches are gone": lambda made, work: (work / "sketches").unlink(),
}


def _of(made: Path, pattern: str) -> Path:
    """A file of the second part or so."""
    return sorted(made.rglob(pattern))[4]


def _change(file: Path, place: int) -> None:
    with open(file, "r+b") as opened:
        opened.seek(place)
        opened.write(b"\xff\x00\xff")


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_made_again(workspace: Workspace, whole: dict[str, str], damage: str) -> None:
    with pytest.raises(RuntimeError):
        make(workspace, progress=Stopping(26))
    made, work = (workspace.path / "synthetic" / name for name in hidden(workspace))
    DAMAGES[damage](made, work)
    again = Stopping()
    assert contents(make(workspace, progress=again)) == whole
    found = any("is damaged: it is made again" in text for text in again.said)
    assert found is (damage != "a part is gone")  # then what came after it is not known of, either
    assert hidden(workspace) == []


def test_another_set_does_not_disturb_an_unfinished_one(workspace: Workspace, whole: dict[str, str]) -> None:
    with pytest.raises(RuntimeError):
        make(workspace, progress=Stopping(20))
    left, other = hidden(workspace), Stopping()
    make(workspace, seed=5, progress=other)
    assert hidden(workspace) == left
    assert any("1 other unfinished set" in text for text in other.said)
    assert contents(make(workspace)) == whole


MEMORY = """
import re, sys, threading, time
from pathlib import Path
from augment.sets import augment
from medsyn.workspace import Workspace

def own():
    return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

workspace, peak, done = Workspace(sys.argv[1]), [0], threading.Event()
augment(workspace, n=50, formats=["png", "npz"])

def watch():
    while not done.wait(0.005):
        peak[0] = max(peak[0], own())

watcher = threading.Thread(target=watch)
watcher.start()
augment(workspace, n=int(sys.argv[2]), formats=["png", "npz"], batch_size=64)
done.set()
watcher.join()
print(peak[0])
"""
"""Pages of mapped files do not count: the system takes them back as it needs."""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc to read memory from")
def test_memory_does_not_grow_with_the_number_of_images(ready: Workspace, tmp_path: Path) -> None:
    workspace = copied(ready, tmp_path)
    for dataset in (workspace.path / "datasets").glob("*/dataset.json"):
        dataset.unlink()  # without features, which take nearly all the time
    tests = Path(__file__).parent.parent
    paths = os.pathsep.join(map(str, (tests.parent, tests, tests / "system")))
    peaks = []
    for n in (7000, 13000):  # up to some thousand rows of tables wait in memory
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, str(workspace.path), str(n)],
            env=environment(PYTHONPATH=paths),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout.split()[-1]))
    assert peaks[1] - peaks[0] < 0.75 * 6000, "KiB, so 0.75 an image: its row alone would take more"


def test_the_selection_is_the_same_however_many_threads_fit_it(workspace: Workspace) -> None:
    dataset = workspace.latest(DATASET)
    classes = Dataset.open(dataset).classes
    fits = []
    for threads in (1, 2):
        shutil.rmtree(workspace.path / "cache")
        with threadpool_limits(threads, user_api="blas"):
            key = fitting.key_of(dataset, classes, "cpu")
            found = fitting.fitted(workspace, dataset, key, classes, "cpu", Silent())
        assert found is not None
        arrays = Cache(workspace).get(fitting.KIND, key)
        assert arrays is not None
        fits.append({name: array.tobytes() for name, array in arrays.items()})
    assert fits[0] == fits[1]
