"""Synthetic images made while a classifier trains, without a file."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.utils.data import IterableDataset, get_worker_info

from medsyn import compute, generator, portable
from medsyn.augment.counts import shares
from medsyn.augment.making import Candidate, Maker, Spec, Unit
from medsyn.augment.selection import fitting
from medsyn.augment.stream_options import StreamOptions
from medsyn.augment.tally import Tally
from medsyn.augment.turns import turns
from medsyn.augment.writers import Origin
from medsyn.compute import single_threaded
from medsyn.config import validate
from medsyn.data.lookup import by_digest
from medsyn.errors import DataError
from medsyn.progress import SILENT
from medsyn.synthetic.item import item
from medsyn.torchrun import launched
from medsyn.workspace import Workspace, disk_errors


class SyntheticStream(IterableDataset[Any]):
    """Labelled synthetic images without end, for a ``DataLoader`` of torch or MONAI.

    The images are those of ``medsyn augment`` with the same checkpoint, seed and truncation, in 8 bit, and selected by
    the same rules but one: near-duplicates are not looked for, since an endless stream cannot be compared with all
    that came before.

    An image is a dict of ``image`` (float32 tensor ``[C, H, W]`` in [0, 1], 0 black), ``label`` (int, a place in
    `classes`), ``class`` (str), ``index`` (int, the candidate's number) and ``synthetic`` (True).

    What comes, and in which order, is a pure function of checkpoint, dataset, seed, balance, truncation and the number
    of ``DataLoader`` workers and of ranks of ``torch.distributed`` (or torchrun). Each of these makes images of its
    own, so none comes twice. ``iter`` begins anew: take one iterator for a whole training, not one an epoch. Each
    process holds the generator, what the selection compares with, and a batch of the generator for each class at most.

    The first stream of a dataset calibrates the selection on real images and keeps the result in the workspace's
    cache, as ``medsyn augment`` does. Where the dataset that the generator learnt from is not in the workspace, only
    technical faults are left out, which a warning tells.

    Args:
        checkpoint: Folder of a generator, or its name in the workspace; default: the newest.
        balance: ``equal``: the same of every class; ``match``: in proportion to the real training images; or a weight
            of each class, 0 where it is not named.
        seed: Of the noise; with the same seed as a set of ``medsyn augment``, the images are those of the set.
        truncation: Factor of the noise, in (0, 1]: below 1, images are more typical and less diverse.
        select: Leave out what the selection rejects; otherwise only images that are not finite.
        max_tries: Candidates of a class in a row that may be rejected, as a multiple of the generator's batch.
        transform: Called with each dict; what it returns is what comes, such as a ``Compose`` of MONAI.
        workspace: Folder; default: ``MEDSYN_WORKSPACE``, else ``./medsyn-workspace``.
        device: Of torch. ``auto``: a GPU where there is one, but the CPU in workers of a ``DataLoader``.

    Attributes:
        checkpoint: Folder of the generator.
        classes: Class names; a label is a place in this list.
        shares: Class -> share of the images.
        image_shape: ``(C, H, W)``.

    Raises:
        MissingError: No such generator.
        DataError: The checkpoint is damaged; while images are made, a class whose candidates are all rejected.
        UsageError: A wrong argument, or a weight for what is no class.
        EnvironmentFault: No such device, or the workspace cannot be written.
    """

    def __init__(
        self,
        checkpoint: str | Path | None = None,
        balance: str | Mapping[str, float] = "equal",
        *,
        seed: int = 0,
        truncation: float = 1.0,
        select: bool = True,
        max_tries: int = 10,
        transform: Callable[[dict[str, Any]], Any] | None = None,
        workspace: str | Path | None = None,
        device: str = "auto",
    ) -> None:
        given = {
            "checkpoint": None if checkpoint is None else str(checkpoint),
            "balance": balance,
            "seed": seed,
            "truncation": truncation,
            "select": select,
            "max_tries": max_tries,
            "device": device,
        }
        options = validate(StreamOptions, given, where="medsyn.SyntheticStream")
        place = Workspace(workspace)
        self.checkpoint = portable.chosen(place, options.checkpoint)
        model = generator.load(self.checkpoint)
        self.classes, self.image_shape = model.classes, model.image_shape
        self.shares = shares(model.config["training"]["images_per_class"], options.balance)
        self.transform = transform
        self._max_tries = options.max_tries
        self._any_device = options.device == "auto"
        self._spec = _spec(options, place, self.checkpoint, model)
        self._rank: tuple[int, int] | None = None

    def __iter__(self) -> Iterator[Any]:
        spec, worker = self._spec, get_worker_info()
        rank, ranks = self._ranks()
        part, parts = rank, ranks
        if worker is not None:
            part, parts = rank * worker.num_workers + worker.id, ranks * worker.num_workers
            if self._any_device:
                spec = replace(spec, device="cpu")  # a forked process cannot use a GPU
        maker = Maker(spec)
        made = [_accepted(maker, label, part, parts, self._max_tries) for label in range(len(self.classes))]
        rng = compute.numpy_rng("stream", spec.origin.seed, part, parts)
        for label in turns([self.shares[name] for name in self.classes], rng):
            found = next(made[label])
            shown = item(found.pixels, label, self.classes[label], found.index)
            yield shown if self.transform is None else self.transform(shown)

    def __getstate__(self) -> dict[str, Any]:
        # A worker that starts fresh knows nothing of the process group it works for.
        return self.__dict__ | {"_rank": self._ranks()}

    def _ranks(self) -> tuple[int, int]:
        """Rank of this process, and how many there are."""
        if dist.is_available() and dist.is_initialized():
            return dist.get_rank(), dist.get_world_size()
        return self._rank or launched()


def _spec(options: StreamOptions, workspace: Workspace, source: Path, model: generator.Generator) -> Spec:
    """What the images depend on, with the selection fitted."""
    config = model.config
    threads = torch.get_num_threads()
    device = compute.device(options.device)
    torch.set_num_threads(threads)  # how many the training uses is not ours to say
    dataset = by_digest(workspace, config["dataset"]["content_digest"]) if options.select else None
    spec = Spec(
        checkpoint=source,
        origin=Origin.of_generator(config, options.seed, options.truncation),
        formats=(),
        bits=8,
        keep_all=not options.select,
        workspace=workspace.path,
        dataset=dataset,
        device=str(device),
        selection=fitting.key_of(dataset, model.classes, str(device)) if dataset else None,
    )
    if options.select and dataset is None:
        warnings.warn(
            f"{workspace.path}: the dataset that {source.name} learnt from is not in this workspace: "
            "SyntheticStream leaves out technical faults only, not copies, wrong labels and images unlike real ones",
            stacklevel=3,
        )
    if dataset is not None and spec.selection is not None:
        with disk_errors(workspace.path):
            fitting.fitted(workspace, dataset, spec.selection, model.classes, spec.device, SILENT)
    return spec


def _accepted(maker: Maker, label: int, part: int, parts: int, max_tries: int) -> Iterator[Candidate]:
    """Candidates of one class that are not rejected, without end: those of groups ``part``, ``part + parts`` ..."""
    name, size = maker.generator.classes[label], maker.generator.batch
    tally = Tally({name: size}, max_tries)
    for group in count(part, parts):
        with single_threaded():
            unit = maker.unit(Unit(group, label))
        kept = [candidate for candidate in unit if candidate.reason is None]
        if kept:
            tally = Tally({name: size}, max_tries)
            yield from kept
            continue
        for found in unit:
            tally.count({"label": name, "accepted": False, "scores": found.scores, "reason": found.reason})
        if not tally.wants(name):
            raise DataError(tally.told(name), where=maker.spec.checkpoint.name, mend=tally.cause([name]))
