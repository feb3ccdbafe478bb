"""Device, threads, seeds and the executor: the one place that decides how the machine is used."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, ProcessPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

from medsyn.errors import EnvironmentFault

if TYPE_CHECKING:
    import numpy as np
    import torch

A = TypeVar("A")
B = TypeVar("B")


def cores() -> int:
    """Cores this process may use: its affinity and the CPU quota of its container, not the machine's number."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(allowed, -(-int(quota) // int(period))))
    except (OSError, ValueError):  # no cgroup v2, or "max"
        return allowed


def threads_of_environment() -> int | None:
    """Threads that ``OMP_NUM_THREADS`` asks for (its first level), None where it says nothing."""
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(first) if first.isdigit() and int(first) > 0 else None


def device(name: str = "auto", threads: int | None = None) -> torch.device:
    """Pick the torch device and set torch's threads to the cores we may use.

    Threads times processes must not exceed the cores: two 2-thread processes on 2 cores slow each other 20 to 40 times.

    Raises:
        EnvironmentFault: The device asked for is not there.
    """
    import torch

    torch.set_num_threads(threads or threads_of_environment() or cores())
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    kind = name.split(":")[0]
    if not available.get(kind, False) or (":" in name and int(name.split(":")[1]) >= torch.cuda.device_count()):
        raise EnvironmentFault(f"no device '{name}' here", where="--device", mend="Use --device auto or cpu.")
    return torch.device(name)


def keyed_seed(*key: object) -> int:
    """A 63-bit seed that is a pure function of ``key``: the same on every machine, process and run."""
    digest = hashlib.sha256("\x1f".join(map(str, key)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def numpy_rng(*key: object) -> np.random.Generator:
    """A counter-based NumPy generator (Philox) keyed by ``key``."""
    import numpy as np

    return np.random.Generator(np.random.Philox(key=keyed_seed(*key)))


def torch_rng(*key: object) -> torch.Generator:
    """A CPU torch generator keyed by ``key``."""
    import torch

    return torch.Generator().manual_seed(keyed_seed(*key))


@contextmanager
def executor(workers: int | None = None) -> Iterator[Executor]:
    """A process pool with one thread a process; ``workers`` defaults to the cores.

    Workers start fresh (spawn): forking a process that holds threads or a database is asking for deadlocks.
    """
    with one_thread():
        pool = ProcessPoolExecutor(
            workers or cores(), mp_context=get_context("spawn"), initializer=begin_worker, initargs=(os.getpid(),)
        )
        try:
            yield pool
        except BaseException:
            # Without an end put to them, the interpreter would wait for what they are at: a whole training.
            workers_of = list((getattr(pool, "_processes", None) or {}).values())
            pool.shutdown(wait=False, cancel_futures=True)
            for process in workers_of:
                process.terminate()
            raise
        else:
            pool.shutdown()


@contextmanager
def one_thread() -> Iterator[None]:
    """Processes that start in here use one thread each."""
    previous = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        if previous is None:
            os.environ.pop("OMP_NUM_THREADS", None)
        else:
            os.environ["OMP_NUM_THREADS"] = previous


def begin_worker(parent: int) -> None:
    """Leave interrupts to the parent, and end with it: a killed parent cannot tell its workers to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    Thread(target=watch, daemon=True).start()


def portions(items: Iterable[A], size: int) -> Iterator[list[A]]:
    """Items in lists of ``size``, the last one shorter; taken as they are needed."""
    source = iter(items)
    while portion := list(islice(source, size)):
        yield portion


def map_ordered(pool: Executor, function: Callable[[A], B], items: Iterable[A], ahead: int = 8) -> Iterator[B]:
    """Like ``pool.map``, in order, but with at most ``ahead`` items under way: memory stays flat."""
    pending: list[Any] = []
    source = iter(items)
    exhausted = False
    while pending or not exhausted:
        while not exhausted and len(pending) < ahead:
            try:
                pending.append(pool.submit(function, next(source)))
            except StopIteration:
                exhausted = True
        if pending:
            wait(pending[:1], return_when=FIRST_COMPLETED)
            yield pending.pop(0).result()
