"""Device, threads, seeds and the executor: the one place that decides how the machine is used."""

from __future__ import annotations

import hashlib
import math
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context, parent_process
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


def launched() -> tuple[int, int]:
    """Rank and number of the processes that torchrun started for this command, on all nodes; (0, 1) without it."""
    if "MASTER_ADDR" not in os.environ:
        return 0, 1
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def _launched_here() -> tuple[int, int]:
    """As `launched`, of this node alone."""
    if launched()[1] == 1:
        return 0, 1
    return int(os.environ.get("LOCAL_RANK", 0)), int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def device(name: str = "auto", threads: int | None = None) -> torch.device:
    """Pick the torch device and set torch's threads to the cores we may use.

    Threads times processes must not exceed the cores: two 2-thread processes on 2 cores slow each other 20 to 40 times.
    Of the processes that torchrun starts on a node, each gets its own GPU.

    Raises:
        EnvironmentFault: The device asked for is not there, or there are fewer GPUs than processes.
    """
    import torch

    rank, processes = _launched_here()
    share = max(1, cores() // processes)
    wanted = threads or threads_of_environment() or share
    torch.set_num_threads(wanted if processes == 1 else min(wanted, share))
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
        if processes == 1:
            return torch.device(name)
    if name == "cuda" and processes > 1:
        name = f"cuda:{rank}"
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    kind = name.split(":")[0]
    if not available.get(kind, False) or (":" in name and int(name.split(":")[1]) >= torch.cuda.device_count()):
        raise EnvironmentFault(f"no device '{name}' here", where="--device", mend="Use --device auto or cpu.")
    if processes > 1 and kind == "cuda" and name != f"cuda:{rank}":
        raise EnvironmentFault(
            f"{processes} processes cannot share '{name}'",
            where="--device",
            mend="Use --device cuda: each gets its own.",
        )
    return torch.device(name)


def bfloat16_is_native(device: torch.device) -> bool:
    """Whether the device computes in bfloat16, rather than only storing it."""
    import torch

    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):  # an older torch
        return False
    told = torch.cpu.get_capabilities()
    return bool(told.get("avx512_bf16") or told.get("amx_bf16"))


def platform_facts() -> dict[str, str]:
    """What decides the last bits of a computation besides its input: torch's version, its build and the processor's."""
    import platform

    import torch

    return {
        "torch": torch.__version__,
        "machine": platform.machine(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
    }


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


_GOLDEN = 0x9E3779B97F4A7C15 - 2**64
_FIRST, _SECOND = 0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64


def counter_uniform(key: int, index: torch.Tensor, length: int) -> torch.Tensor:
    """Random numbers that are a pure function of ``key``, an image's number and a place: no stream, on any device.

    Training draws all it needs for image k from these, so that neither batch size nor the number of processes changes
    what image k is shown with.

    Args:
        key: Of `keyed_seed`.
        index: Numbers of images, int64 ``[n]``.
        length: Numbers an image.

    Returns:
        float32 ``[n, length]``, uniform in (0, 1).
    """
    return _fraction(_bits(key, index, length) >> 40)


def counter_normal(key: int, index: torch.Tensor, length: int) -> torch.Tensor:
    """As `counter_uniform`, standard normal (Box and Muller 1958): float32 ``[n, length]``."""
    import torch

    bits = _bits(key, index, (length + 1) // 2)
    radius = _fraction(bits >> 40).log_().mul_(-2).sqrt_()
    angle = _fraction(bits).mul_(2 * math.pi)
    return torch.cat([radius * angle.cos(), radius * angle.sin()], 1)[:, :length]


def _bits(key: int, index: torch.Tensor, length: int) -> torch.Tensor:
    """64 bits for every image and place: SplitMix64 (Steele et al. 2014) of a counter."""
    import torch

    counter = torch.arange(1, length + 1, device=index.device)
    return _mix(_mix(index * _GOLDEN + key)[:, None] + counter * _GOLDEN)


def _mix(x: torch.Tensor) -> torch.Tensor:
    x = (x ^ _shift(x, 30)) * _FIRST
    x = (x ^ _shift(x, 27)) * _SECOND
    return x ^ _shift(x, 31)


def _shift(x: torch.Tensor, places: int) -> torch.Tensor:
    """To the right, with zeros coming in: torch's own brings in the sign."""
    return (x >> places) & ((1 << (64 - places)) - 1)


def _fraction(bits: torch.Tensor) -> torch.Tensor:
    """The lowest 24 bits as a number in (0, 1): all that float32 can hold."""
    return ((bits & 0xFFFFFF).float() + 0.5) * 2.0**-24


@contextmanager
def executor(workers: int | None = None, cluster: Executor | None = None) -> Iterator[Executor]:
    """The cluster where there is one, else a process pool with one thread a process.

    Workers start fresh (spawn): forking a process that holds threads or a database is asking for deadlocks.

    Args:
        workers: Processes; default: the cores.
        cluster: Of `medsyn.cluster.connected`, which closes it.

    Raises:
        EnvironmentFault: Something has killed one of the processes.
    """
    if cluster is not None:
        yield cluster
        return
    with one_thread():
        pool = ProcessPoolExecutor(workers or cores(), mp_context=get_context("spawn"), initializer=begin_worker)
        try:
            yield pool
        except BaseException as error:
            # Without an end put to them, the interpreter would wait for what they are at: a whole training.
            workers_of = list((getattr(pool, "_processes", None) or {}).values())
            pool.shutdown(wait=False, cancel_futures=True)
            for process in workers_of:
                process.terminate()
            if isinstance(error, BrokenProcessPool):
                raise EnvironmentFault(
                    "a worker process was killed, most likely for want of memory",
                    where="--workers",
                    mend="The same command with fewer processes (--workers, of evaluate --threads) goes on where this "
                    "one ended.",
                ) from None
            raise
        else:
            pool.shutdown()


class InThisProcess(Executor):
    """Runs what is submitted at once, before `submit` returns: the interface of a pool without its processes."""

    def submit(self, fn: Callable[..., B], /, *args: Any, **kwargs: Any) -> Future[B]:
        """Call ``fn``; what it raises is raised by the future's ``result``."""
        future: Future[B] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


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


@contextmanager
def single_threaded() -> Iterator[None]:
    """This process computes with one thread in here: several may change the last bits."""
    import torch
    from threadpoolctl import threadpool_limits

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)


def begin_worker() -> None:
    """Leave interrupts to the parent, and end with it: a killed parent cannot tell its workers to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None, "not in a worker process"

    def watch() -> None:
        parent.join()
        os._exit(1)

    Thread(target=watch, daemon=True).start()


def under_way(pool: Executor) -> int:
    """Tasks to have submitted, now: a cluster grows and shrinks, some by the work that they see."""
    if isinstance(pool, InThisProcess):
        return 1
    places = getattr(pool, "places", None)
    return 2 * getattr(pool, "_max_workers", 2) if places is None else max(2 * places, 16)


def portions(items: Iterable[A], size: int) -> Iterator[list[A]]:
    """Items in lists of ``size``, the last one shorter; taken as they are needed."""
    source = iter(items)
    while portion := list(islice(source, size)):
        yield portion


def map_ordered(pool: Executor, function: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
    """Like ``pool.map``, in order, but with few items submitted ahead: memory stays flat."""
    pending: deque[Future[B]] = deque()
    source = iter(items)
    while True:
        pending.extend(pool.submit(function, item) for item in islice(source, max(0, under_way(pool) - len(pending))))
        if not pending:
            return
        yield pending.popleft().result()


def map_as_done(pool: Executor, function: Callable[[A], B], items: Iterable[A]) -> Iterator[tuple[int, B]]:
    """Like `map_ordered`, in the order in which results come, with their places: so that each can be kept at once."""
    pending: dict[Future[B], int] = {}
    source = enumerate(items)
    while True:
        new = islice(source, max(0, under_way(pool) - len(pending)))
        pending |= {pool.submit(function, item): place for place, item in new}
        if not pending:
            return
        done, _ = wait(pending, return_when=FIRST_COMPLETED)
        for future in sorted(done, key=lambda f: f.exception() is not None):  # what is good first: nothing is lost
            yield pending.pop(future), future.result()
