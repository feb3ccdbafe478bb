"""A Dask scheduler and workers in processes of their own, and somebody who kills workers."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

from commands import environment
from distributed import Client

TESTS = Path(__file__).parent.parent
PATHS = os.pathsep.join(map(str, (TESTS.parent, TESTS, TESTS / "system")))
"""Where workers find medsyn, and functions of tests."""


class Dask:
    """One scheduler with its workers.

    Args:
        folder: For what workers write.
        failures: Deaths of workers that a task may see.
    """

    def __init__(self, folder: Path, failures: int = 3) -> None:
        self.folder, self.failures = folder, failures
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        self.processes: list[subprocess.Popen[bytes]] = []

    def scheduler(self) -> subprocess.Popen[bytes]:
        """Start one under the address."""
        port = self.address.rsplit(":", 1)[1]
        failures = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": str(self.failures)}
        return self._start(["scheduler", "--host", "127.0.0.1", "--port", port], **failures)

    def worker(self, *options: str, before: Sequence[str] = (), **extra: str) -> subprocess.Popen[bytes]:
        """Start one, with one thread unless told otherwise."""
        given = options if "--nthreads" in options else ("--nthreads", "1", *options)
        where = ["--host", "127.0.0.1", "--local-directory", str(self.folder)]
        return self._start(["worker", self.address, *where, *given], before, **extra)

    def _start(self, command: list[str], before: Sequence[str] = (), **extra: str) -> subprocess.Popen[bytes]:
        with open(self.folder / "dask.log", "ab") as log:
            process = subprocess.Popen(
                [*before, sys.executable, "-m", "dask", *command, "--no-dashboard"],
                cwd=self.folder,
                env=environment(**({"PYTHONPATH": PATHS} | extra)),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def wait(self, workers: int) -> None:
        """Until so many workers are there."""
        with self.client() as client:
            client.wait_for_workers(workers, timeout=120)

    @contextmanager
    def client(self) -> Iterator[Client]:
        """The test's own connection."""
        with Client(self.address, set_as_default=False, timeout=60) as client:
            yield client

    def end(self) -> None:
        for process in self.processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def dask(folder: Path, workers: int, failures: int = 3, **extra: str) -> Iterator[Dask]:
    """A scheduler and some workers, until the block ends."""
    folder.mkdir(exist_ok=True)
    made = Dask(folder, failures)
    try:
        made.scheduler()
        for _ in range(workers):
            made.worker(**extra)
        if workers:
            made.wait(workers)
        yield made
    finally:
        made.end()


def _pid(dask_worker: Any) -> int:
    return os.getpid()


@contextmanager
def killer(cluster: Dask, every: float = 3.0) -> Iterator[list[int]]:
    """Kill a worker that is at work, again and again, ever less often: however slow the machine is, work goes on.

    Yields:
        The process ids of those that were killed.
    """
    killed, end, rng = list[int](), Event(), random.Random(0)

    def kill() -> None:
        pause = every
        with cluster.client() as client:
            while not end.is_set():
                with suppress(Exception):  # a worker that dies while it is asked
                    busy = [worker for worker, tasks in client.processing().items() if tasks]
                    pids = client.run(_pid, workers=busy) if busy else {}
                    if pids and not end.wait(rng.uniform(0, 0.5)):
                        os.kill(pid := rng.choice(list(pids.values())), signal.SIGKILL)
                        killed.append(pid)
                        pause *= 1.5
                end.wait(pause if killed else 0.1)

    thread = Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        end.set()
        thread.join()
