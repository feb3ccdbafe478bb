"""A Dask cluster in place of processes of this machine: connecting, admitting workers, and what goes wrong there."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import pickle
import platform
import re
import secrets
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, InvalidStateError
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, TypeVar

import medsyn
from medsyn import compute
from medsyn.errors import EnvironmentFault, MedsynError
from medsyn.progress import Progress
from medsyn.workspace import Workspace

if TYPE_CHECKING:
    from distributed import Client, Worker

B = TypeVar("B")

CONNECTING = 10.0
"""Seconds within which a scheduler must answer."""
PATIENCE = 300.0
"""Seconds without any worker after which the command ends: workers may wait for a machine, but not for ever."""
_LOOK = 1.0
_GOES_ON = "The same command goes on where this one ended."
_admitted: set[str] = set()  # tokens of commands that this worker has been admitted by


@dataclass(frozen=True)
class Ticket:
    """What a worker must share with the command before it works for it.

    Attributes:
        file: Lies in the workspace and holds ``token``.
        paths: Must be there for the worker, too.
        facts: As `facts` tells here.
        torch: Whether ``facts`` tell of torch and the processor.
    """

    token: str
    file: str
    paths: tuple[str, ...]
    facts: dict[str, str]
    torch: bool


def facts(*, torch: bool) -> dict[str, str]:
    """What decides whether two processes compute the same: versions of Python, medsyn and all it stands on.

    Args:
        torch: Also the build of torch and the instructions of the processor, which decide the last bits.
    """
    found = {"Python": ".".join(platform.python_version_tuple()[:2]), "medsyn": f"{medsyn.__version__} ({_code()})"}
    for name in ("dask", "distributed", "cloudpickle", *_requirements()):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found | (compute.platform_facts() if torch else {})


@cache
def _requirements() -> list[str]:
    wanted = [line for line in requires("medsyn") or () if "extra ==" not in line]
    return sorted({match[0] for line in wanted if (match := re.match(r"[\w.-]+", line))})


@cache
def _code() -> str:
    """Digest of medsyn's own files: two checkouts may bear one version."""
    folder, found = Path(__file__).parent, hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        found.update(file.relative_to(folder).as_posix().encode() + file.read_bytes())
    return found.hexdigest()[:12]


# ---- on a worker


def admit(ticket: Ticket, worker: Worker) -> None:
    """Check a worker, once for each command.

    Args:
        ticket: What it must have.
        worker: The one that this is called on.

    Raises:
        EnvironmentFault: It has other versions or several threads, or does not see the command's files.
    """
    if ticket.token in _admitted:
        return
    where = f"worker {worker.address} on {platform.node()}"
    own = facts(torch=ticket.torch)
    for name in dict.fromkeys((*ticket.facts, *own)):
        here, there = own.get(name, "none"), ticket.facts.get(name, "none")
        if here != there:
            raise EnvironmentFault(
                f"has {name} {here}, and this command {there}",
                where=where,
                mend="Run workers in the environment of the command: other versions may compute other bits.",
            )
    if worker.state.nthreads != 1:
        raise EnvironmentFault(
            f"has {worker.state.nthreads} threads, and a task needs a process of its own",
            where=where,
            mend="Start workers with --nthreads 1, several on a machine with --nworkers.",
        )
    try:
        seen = Path(ticket.file).read_text(encoding="utf-8")
    except OSError:
        seen = ""
    hidden = [path for path in ticket.paths if not os.access(path, os.R_OK)]
    if seen != ticket.token:
        hidden.insert(0, str(Path(ticket.file).parent.parent))
    if hidden:
        raise EnvironmentFault(
            f"does not see {hidden[0]} of this command",
            where=where,
            mend="Mount workspace and scans under the same path everywhere, readable for the workers' user.",
        )
    _admitted.add(ticket.token)


async def _admit_beside(ticket: Ticket, dask_worker: Worker) -> None:
    """As `admit`, without keeping the worker from answering the scheduler."""
    await asyncio.to_thread(admit, ticket, dask_worker)


def _task(ticket: Ticket, call: bytes) -> bytes:
    from distributed import get_worker

    admit(ticket, get_worker())
    function, arguments = pickle.loads(call)
    return pickle.dumps(function(*arguments))


# ---- in the command


class Cluster(Executor):
    """Runs what is submitted on a cluster; only functions that can be imported there, with positional arguments.

    Futures end with `EnvironmentFault` where workers keep dying of a task, where none is left for `PATIENCE`, and where
    the scheduler is gone. A worker that dies otherwise costs time alone: Dask gives its tasks to others.

    Args:
        client: Connected.
        address: Of the scheduler.
        ticket: What workers must have.
    """

    def __init__(self, client: Client, address: str, ticket: Ticket) -> None:
        self.places = sum(client.nthreads().values())
        self._client, self._ticket, self._where = client, ticket, f"--cluster {address}"
        self._pool = client.get_executor(pure=False)
        self._open: set[Future[Any]] = set()
        self._fault: EnvironmentFault | None = None
        self._ended = Event()
        Thread(target=self._watch, args=(client.scheduler_comm,), daemon=True).start()

    def submit(self, fn: Callable[..., B], /, *args: Any, **kwargs: Any) -> Future[B]:
        """As of any executor; a future that is cancelled gives its place in the queue to others."""
        if kwargs:
            raise TypeError("only positional arguments")
        future: Future[B] = Future()
        self._open.add(future)
        if self._fault:
            self._settle(future, self._fault)
            return future
        # Pickled here: Dask would look into every list for futures, and give back arrays that nobody may write to.
        inner = self._pool.submit(_task, self._ticket, pickle.dumps((fn, args)))
        inner.add_done_callback(lambda done: self._take(future, done))
        future.add_done_callback(lambda done: self._drop(inner) if done.cancelled() else None)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Stop looking after the futures; `connected` closes the connection."""
        self._ended.set()

    def _take(self, future: Future[Any], done: Future[bytes]) -> None:
        from distributed.scheduler import KilledWorker

        if done.cancelled():
            self._settle(future, self._lost())
        elif (error := done.exception()) is None:
            try:
                result = pickle.loads(done.result())
            except Exception as unreadable:  # or nobody would hear of it
                self._settle(future, unreadable)
            else:
                self._settle(future, result=result)
        elif isinstance(error, KilledWorker):
            self._settle(future, self._killed(error.allowed_failures + 1, error.last_worker.address))
        elif "No module named 'medsyn" in str(error):  # Dask tells of what it cannot unpickle in words alone
            self._settle(future, _unfit(error, self._where))
        else:
            self._settle(future, error)

    def _drop(self, inner: Future[bytes]) -> None:
        if self._client.status == "running":  # otherwise the scheduler has forgotten it, or is gone
            inner.cancel()

    def _settle(self, future: Future[Any], error: BaseException | None = None, result: Any = None) -> None:
        self._open.discard(future)
        with suppress(InvalidStateError):  # cancelled, or settled by the watch
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

    def _watch(self, connection: Any) -> None:
        """Fail what is under way where it will never end: a lost connection leaves Dask's futures as they are."""
        seen = time.monotonic()
        while not self._ended.wait(_LOOK):
            try:
                self.places = sum(self._client.nthreads().values())
            except (Exception, asyncio.CancelledError):  # whatever a closing connection raises
                self.places = 0
            if self.places or not self._open:
                seen = time.monotonic()
            if self._client.status != "running" or self._client.scheduler_comm is not connection:
                self._fault = self._lost()
            elif time.monotonic() - seen > PATIENCE:
                self._fault = EnvironmentFault(
                    f"no worker for {PATIENCE:.0f} s",
                    where=self._where,
                    mend=f"Start workers with 'dask worker'. {_GOES_ON}",
                )
            if self._fault and not self._ended.is_set():
                for future in list(self._open):
                    self._settle(future, self._fault)
                return

    def _lost(self) -> EnvironmentFault:
        return EnvironmentFault(
            "the connection to the scheduler is lost", where=self._where, mend=f"Start it again. {_GOES_ON}"
        )

    def _killed(self, times: int, worker: str) -> EnvironmentFault:
        return EnvironmentFault(
            f"{times} workers died at one task, the last one {worker}",
            where=self._where,
            mend=f"Most likely memory ran out there: see the workers' logs, give each more. {_GOES_ON}",
        )


@contextmanager
def connected(
    address: str | None, workspace: Workspace, progress: Progress, paths: Iterable[str] = (), *, torch: bool = True
) -> Iterator[Cluster | None]:
    """Connect to a scheduler, and admit the workers that are there; later ones are admitted at their first task.

    Args:
        address: Of the scheduler; None: no cluster.
        workspace: Must lie under the same path everywhere.
        progress: Hears how many workers there are.
        paths: What else they must be able to read.
        torch: Whether the last bits of torch count.

    Yields:
        The cluster, None where no address is given.

    Raises:
        EnvironmentFault: No dask, scheduler or worker, or a worker that cannot be used.
    """
    if address is None:
        yield None
        return
    with _quiet(), workspace.create().scratch() as folder:
        token = secrets.token_hex(16)
        file = folder / "token"
        file.write_text(token, encoding="utf-8")
        client = _client(address)
        try:
            absolute = tuple(os.path.abspath(path) for path in paths)
            ticket = Ticket(token, str(file), absolute, facts(torch=torch), torch)
            with Cluster(client, address, ticket) as cluster:
                _admit_all(client, cluster, ticket, address, progress)
                yield cluster
        finally:
            # Its tasks go with it: the scheduler forgets what only this client wanted.
            with suppress(Exception):
                client.close(timeout=CONNECTING)


def _client(address: str) -> Client:
    try:
        from distributed import Client
    except ImportError:
        raise EnvironmentFault(
            "dask is not installed", where="--cluster", mend="Install it with: pip install 'distributed>=2025.1'."
        ) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of versions that differ: `admit` has an error for that
            return Client(address, timeout=CONNECTING, set_as_default=False, name="medsyn")
    except (OSError, ValueError, RuntimeError) as error:
        raise EnvironmentFault(
            f"no scheduler answers ({type(error).__name__})",
            where=f"--cluster {address}",
            mend="Start one with 'dask scheduler', or mend host, port or TLS.",
        ) from None


def _admit_all(client: Client, cluster: Cluster, ticket: Ticket, address: str, progress: Progress) -> None:
    if not cluster.places:
        progress.say(f"no worker at {address} yet: waiting for one, {PATIENCE / 60:.0f} minutes at most")
        cluster.submit(os.getpid).result()  # a cluster that grows with its work grows by this
    for worker, error in client.run(_admit_beside, ticket, on_error="return").items():
        if isinstance(error, MedsynError):
            raise error
        if error is not None and not isinstance(error, OSError):  # that of a worker that has just died
            raise _unfit(error, f"worker {worker}")
    progress.say(f"Cluster: {cluster.places} workers at {address}")


def _unfit(error: BaseException, where: str) -> EnvironmentFault:
    return EnvironmentFault(
        f"cannot load medsyn {medsyn.__version__} ({error})",
        where=where,
        mend="Run workers in the environment of the command.",
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Dask's own words on the screen: what matters of them comes as an error."""
    with suppress(ImportError):
        import distributed  # noqa: F401  # sets levels of its own
    names = ("distributed", "distributed.client", "distributed.core", "tornado.application", "asyncio")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
