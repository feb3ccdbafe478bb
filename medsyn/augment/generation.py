"""Making, judging and writing candidates until every class has what is wanted of it."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Any

import numpy as np

from medsyn import compute, generator
from medsyn.augment import making
from medsyn.augment.making import Candidate, Spec, Unit
from medsyn.augment.selection import COPIES
from medsyn.augment.selection.near_duplicates import BYTES, NearDuplicates
from medsyn.augment.tally import Tally
from medsyn.augment.unfinished import Unfinished
from medsyn.augment.writers import ENCODERS
from medsyn.augment.writers.npz import NpzWriter
from medsyn.errors import EnvironmentFault
from medsyn.images import to_pixels
from medsyn.workspace import free_bytes

PART = 1024
"""Candidates, about, after which progress is kept: what a kill may cost."""


class Generation:
    """One set in the making.

    Args:
        made: Where it lies.
        spec: What candidates depend on.
        classes: Of the generator.
        tally: What is wanted; counts on.
        npz: Where the pixels of all go besides files, or None.
    """

    def __init__(self, made: Unfinished, spec: Spec, classes: list[str], tally: Tally, npz: NpzWriter | None) -> None:
        self.made, self.spec, self.classes, self.tally, self.npz = made, spec, classes, tally, npz
        self._others = NearDuplicates(made.work / "sketches", sum(tally.wanted.values()))
        self._row = self._kept = 0

    def restore(self) -> int:
        """Take up what an earlier process left and is sound; returns the number of images."""
        for number, part in enumerate(self.made.sound()):
            accepted = [self.classes.index(row["label"]) for row in part.rows if row["accepted"]]
            end = self._row + len(accepted)
            if part.staged != self._staged(end):
                self.made.drop(number)
                break
            for row in part.rows:
                self.tally.count(row)
            self._others.restore(self._row, np.array(accepted, np.int64))
            self._row = self._kept = end
        return self._row

    def run(self, pool: Executor, batch: int, size: int, told: Callable[[int], None]) -> None:
        """Go on until every class is full or may not try further.

        Args:
            pool: What candidates are made by.
            batch: Candidates a task, about.
            size: Candidates a unit.
            told: Called with the number of images so far.
        """
        group = judged = self.made.next_group()
        groups = max(1, batch // (size * sum(self.tally.wants(label) for label in self.classes) or 1))
        pending: deque[tuple[int, list[Unit], Future[list[Candidate]]]] = deque()
        waiting: list[dict[str, Any]] = []
        try:
            while True:
                while len(pending) < compute.under_way(pool) and (units := self._next(group, groups, size, pending)):
                    group = units[-1].group + 1
                    pending.append((group, units, pool.submit(making.make, self.spec, units)))
                if not pending:
                    break
                judged, _, future = pending.popleft()
                waiting += [row for candidate in future.result() if (row := self._judge(candidate)) is not None]
                told(self._row)
                if len(waiting) >= PART:
                    self._keep(waiting, judged)
                    waiting = []
        finally:
            for _, _, future in pending:
                future.cancel()
        if waiting:
            self._keep(waiting, judged)

    def _keep(self, rows: list[dict[str, Any]], judged: int) -> None:
        self.made.keep(rows, judged, self._staged(self._row))
        self._kept = self._row

    def _staged(self, end: int) -> str:
        """Digests of what is staged of the images that no part holds yet, before number ``end``."""
        staged = [self._others.staged, *([self.npz.staged] if self.npz else [])]
        return " ".join(rows.digest(self._kept, end) for rows in staged)

    def _next(
        self, group: int, groups: int, size: int, pending: deque[tuple[int, list[Unit], Future[list[Candidate]]]]
    ) -> list[Unit]:
        """Units of the next task; none where those under way will most likely do."""
        under_way = [0] * len(self.classes)
        for _, units, _ in pending:
            for unit in units:
                under_way[unit.label] += size
        lacking = max(self.tally.lacks(label, n) for label, n in zip(self.classes, under_way, strict=True))
        end = group + min(groups, -(-lacking // size))
        # All that still want something, not only those that lack: which units are made decides nothing but the time.
        return [Unit(g, c) for g in range(group, end) for c, n in enumerate(self.classes) if self.tally.wants(n)]

    def _judge(self, candidate: Candidate) -> dict[str, Any] | None:
        """Row of the manifest, with its files written where it is accepted; None where it is not needed any more."""
        label = self.classes[candidate.label]
        if not self.tally.wants(label):
            return None
        scores, reason, digests = dict(candidate.scores), candidate.reason, dict[str, str]()
        if reason is None:
            scores["near_duplicate"] = self._others.score(candidate.thumbnail, candidate.fingerprint, candidate.label)
            if scores["near_duplicate"] > 1 and not self.spec.keep_all:
                reason = "near_duplicate"
        row: dict[str, Any] = {
            "index": candidate.index,
            "label": label,
            "accepted": reason is None,
            "reason": reason,
            "row": None,
            "seed": self.spec.origin.seed,
            "checkpoint_digest": self.spec.origin.checkpoint_digest,
            # Whoever holds a patient's image could find it in the set by the digest of its copy.
            "pixel_digest": "" if reason in COPIES else hashlib.sha256(candidate.pixels.tobytes()).hexdigest(),
            "scores": scores,
            "nearest_train_distance": candidate.distance,
            "digests": digests,
        }
        if reason is None:
            row["row"] = self._row
            for name, files in candidate.files.items():
                row[name] = next(iter(files))
                digests |= self.made.write(files)
            row["digests"] = digests
            if self.npz:
                self.npz.write(self._row, candidate.pixels)
            self._others.add(self._row, candidate.thumbnail, candidate.fingerprint, candidate.label)
            self._row += 1
        self.tally.count(row)
        return row


@contextmanager
def pool(workers: int, cluster: Executor | None = None) -> Iterator[Executor]:
    """The cluster, processes, or this one."""
    if workers == 1 and cluster is None:
        with compute.InThisProcess() as made:
            yield made
    else:
        with compute.executor(workers, cluster) as made:
            yield made


def workers_of(asked: int | None, threads: int | None, n: int, device: str) -> int:
    """Processes, of one thread each, for ``n`` images: one on a GPU, and where starting others would not pay."""
    if asked is not None:
        return asked
    cores = min(compute.cores(), threads or compute.threads_of_environment() or compute.cores(), MOST_WORKERS)
    return cores if device == "cpu" and n >= WORTH_WORKERS else 1


WORTH_WORKERS = 2000
MOST_WORKERS = 16
"""Each holds the generator, features of the training images and coarse views of them."""


def check_space(spec: Spec, model: generator.Generator, n: int, npz: bool, made: Unfinished, *, anyway: bool) -> int:
    """Predict from real files what the set will take, and refuse before the first image what cannot fit.

    Args:
        spec: What candidates depend on.
        model: The generator.
        n: Images.
        npz: Whether npz is among the formats.
        made: Where the set goes; what an earlier process left there counts.
        anyway: Go on all the same.

    Returns:
        Bytes, at most, while the set is being made.

    Raises:
        EnvironmentFault: More than is free.
    """
    shown = model.sample(np.zeros(8, np.int64), 0, np.arange(8) * len(model.classes))
    pixels = to_pixels(shown, spec.bits)
    files = [
        data
        for name in spec.formats
        for i, image in enumerate(pixels)
        for data in ENCODERS[name](spec.origin).encode(image, model.classes[0], i).values()
    ]
    # A file takes whole blocks of the disk, and an entry of its folder.
    blocks = sum(-(-len(data) // 4096) * 4096 + 256 for data in files) / len(pixels)
    need = int(n * (blocks + npz * 2 * pixels[0].nbytes + BYTES + ROW))
    missing, free = max(0, need - made.bytes), free_bytes(made.path)
    if missing > free and not anyway:
        raise EnvironmentFault(
            f"{n} images need about {_gib(missing)} GiB{' more' if made.begun else ''}, {_gib(free)} GiB are free",
            where=made.path.parent,
            mend="Ask for fewer with --n or fewer formats, name another --workspace, or go on all the same with --yes.",
        )
    return need


def _gib(n: int) -> str:
    return f"{n / 2**30:.{1 if n > 2**30 else 3}f}"


ROW = 1500
"""Bytes of an image in all tables, and until the set is complete in its parts; candidates left out take some, too."""
