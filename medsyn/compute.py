"""Device, threads, seeds and the executor: the one place that decides how the machine is used."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, ProcessPoolExecutor, wait
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any, TypeVar

from medsyn.errors import EnvironmentFault

if TYPE_CHECKING:
    import numpy as np
    import torch

A = TypeVar("A")
B = TypeVar("B")


def cores() -> int:
    """Cores this process may use (a container's share, not the machine's number)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def device(name: str = "auto", threads: int | None = None) -> torch.device:
    """Pick the torch device and set torch's threads to the cores we may use.

    Threads times processes must not exceed the cores: two 2-thread processes on 2 cores slow each other 20 to 40 times.

    Raises:
        EnvironmentFault: The device asked for is not there.
    """
    import torch

    torch.set_num_threads(threads or int(os.environ.get("OMP_NUM_THREADS", 0)) or cores())
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
    previous = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    pool = ProcessPoolExecutor(
        workers or cores(), mp_context=get_context("spawn"), initializer=_leave_interrupts_to_parent
    )
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    else:
        pool.shutdown()
    finally:
        if previous is None:
            os.environ.pop("OMP_NUM_THREADS", None)
        else:
            os.environ["OMP_NUM_THREADS"] = previous


def _leave_interrupts_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


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
