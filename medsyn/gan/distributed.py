"""Several processes that train one generator: started by torchrun, they agree on every step.

Each shows its own part of a step's images and all average their gradients, in one flat all-reduce an update. No
DistributedDataParallel: it breaks on the double backward of gradient penalties (pytorch issues 47562 and 63812).
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from medsyn.errors import AlreadyTold, EnvironmentFault, ExitCode, MedsynError, Preempted, UsageError
from medsyn.torchrun import launched

T = TypeVar("T")

TIMEOUT = timedelta(minutes=30)
"""How long a process waits for one that is alive and silent: rank 0 fits the first stage and looks at tune meanwhile.
One that has died is noticed at once, by its closed connection."""


@dataclass(frozen=True)
class World:
    """The processes of one training; one alone where torchrun started none, and every method is then the identity.

    Attributes:
        rank: Of this process.
        size: Number of processes, on all nodes.
        device: Where tensors for the others must lie.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def main(self) -> bool:
        """Whether this is the process that writes, tracks and speaks."""
        return self.rank == 0

    def check(self, batch: int) -> None:
        """Raise `UsageError` where a step of ``batch`` images cannot be shared evenly."""
        if batch % self.size:
            raise UsageError(
                f"{batch} images a step cannot be shared evenly by {self.size} processes",
                where="--batch",
                mend=f"Use a multiple of {self.size}, or another number of processes.",
            )

    def part(self, first: int, batch: int) -> torch.Tensor:
        """This process's share of the images ``first`` to ``first + batch``: int64 ``[batch / size]``."""
        share = batch // self.size
        begin = first + self.rank * share
        return torch.arange(begin, begin + share)

    def average(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replace tensors by their means over all processes, in one exchange."""
        if self.size == 1:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        with _answered():
            dist.all_reduce(flat)
        flat /= self.size
        for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(mean.view_as(tensor))

    def spread(self, tensors: Iterable[torch.Tensor]) -> None:
        """Replace tensors by those of rank 0."""
        if self.size > 1:
            with _answered():
                for tensor in tensors:
                    dist.broadcast(tensor, 0)

    def from_main(self, make: Callable[[], T]) -> T:
        """What ``make`` returns in rank 0, where alone it is called: the others wait for it."""
        if self.size == 1:
            return make()
        box: list[Any] = [make() if self.main else None]
        with _answered():
            dist.broadcast_object_list(box, 0, device=self.device)
        return box[0]

    def highest(self, number: int) -> int:
        """The highest number that any process gives, in every process."""
        if self.size == 1:
            return number
        box = torch.tensor(number, device=self.device)
        with _answered():
            dist.all_reduce(box, dist.ReduceOp.MAX)
        return int(box)


@contextmanager
def joined(device: torch.device) -> Iterator[World]:
    """Meet the other processes that torchrun started: NCCL where the device is a GPU, else Gloo.

    When the block fails, one process tells why, the first to notice; the others raise `AlreadyTold`.

    Args:
        device: This process's own.

    Yields:
        The `World`.

    Raises:
        EnvironmentFault: A process has died, or has not answered for `TIMEOUT`.
        AlreadyTold: See above.
    """
    if launched()[1] == 1:
        yield World(device=device)
        return
    if device.type == "cuda":  # pragma: no cover - needs a GPU
        torch.cuda.set_device(device)
    with _answered():
        store, rank, size = next(dist.rendezvous("env://", timeout=TIMEOUT))
        backend = "nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=TIMEOUT)
    try:
        yield World(rank, size, device)
    except UsageError:  # the options are every process's: rank 0 tells
        raise
    except BaseException as error:
        # When one process has died, torchrun ends the others by SIGTERM: that must not cut the message short.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        lost = next((e for e in _chain(error) if isinstance(e, ProcessLost)), None)
        if not _first(store):
            raise AlreadyTold(_code(lost or error)) from None
        if lost is not None:
            raise lost from None
        raise
    else:
        dist.destroy_process_group()


class ProcessLost(EnvironmentFault):
    """Another process of the training does not answer."""

    def __init__(self) -> None:
        super().__init__(
            "another process of this training has died or does not answer",
            where="torchrun",
            mend="Start the same command again with --resume: it goes on from the last snapshot.",
        )


@contextmanager
def _answered() -> Iterator[None]:
    """Turn what Gloo and NCCL raise when a process is gone into one clear line."""
    try:
        yield
    except RuntimeError as error:
        raise ProcessLost from error


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception, and those it was raised upon."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _first(store: dist.Store) -> bool:
    """Whether nobody has told yet; a store that is gone with its process counts as nobody."""
    try:
        return store.add("medsyn/told", 1) == 1
    except RuntimeError:
        return True


def _code(error: BaseException) -> ExitCode:
    if isinstance(error, MedsynError):
        return error.exit_code
    if isinstance(error, Preempted):
        return ExitCode.OK
    return ExitCode.INTERRUPTED if isinstance(error, KeyboardInterrupt) else ExitCode.BUG
