"""What an ingest goes on with: the dataset of its name, and its journal."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager

from filelock import FileLock, Timeout

from medsyn.config import IngestOptions, Modality
from medsyn.errors import EnvironmentFault, UsageError
from medsyn.ingest.journal import Journal
from medsyn.workspace import DATASET, Workspace, private_folder, read_json


def continued(options: IngestOptions, workspace: Workspace) -> tuple[IngestOptions, Modality | None]:
    """The options, with the modality that was said when the dataset of this ``--name`` was made.

    Returns:
        Options, and the modality of that dataset: none where there is no such dataset.

    Raises:
        UsageError: The dataset is of another modality.
    """
    folders = workspace.all(DATASET) if options.name and options.paths else []
    made = [meta for meta in (read_json(p / DATASET.main_file) for p in folders) if meta.get("name") == options.name]
    if not made:
        return options, None
    modality: Modality = made[-1]["modality"]
    if options.modality not in (None, modality):
        raise UsageError(
            f"'{options.name}' is a dataset of {modality}, to which {options.modality} cannot be added",
            where="--modality",
            mend=f"Leave --modality out, or make another dataset with another --name than {options.name}.",
        )
    # Where the files said it themselves, those that say nothing stay out of the next run, too.
    said = options.modality or made[-1].get("options", {}).get("modality")
    return options.model_copy(update={"modality": said}), modality


@contextmanager
def opened(options: IngestOptions, workspace: Workspace, sample: bool) -> Iterator[Journal]:
    """The journal of an ingest, held by this process alone.

    Raises:
        EnvironmentFault: Another ingest holds it.
    """
    if sample:  # simulated anew every time
        with workspace.scratch() as folder, closing(Journal(folder / "journal.sqlite", "", adding=False)) as journal:
            yield journal
        return
    workspace.create()
    paths = hashlib.sha256("\n".join(sorted(map(os.path.abspath, options.paths))).encode("utf-8", "surrogateescape"))
    name = options.name or f"{options.modality or 'auto'}-{paths.hexdigest()[:12]}"
    folder = workspace.private / "ingest" / name
    private_folder(folder)
    try:
        lock = FileLock(folder / ".lock", timeout=0).acquire()
    except Timeout:
        raise EnvironmentFault(
            "another ingest of these scans is running", where=folder, mend="Wait for it, or give another --name."
        ) from None
    with lock, closing(Journal(folder / "journal.sqlite", name, adding=options.name is not None)) as journal:
        there = {p.name: read_json(p / DATASET.main_file) for p in workspace.all(DATASET)}
        lost = journal.reconcile({n: m.get("run") if m.get("journal") == name else None for n, m in there.items()})
        others = [n for n, m in there.items() if m.get("name") == options.name and m.get("journal") != name]
        if options.name and lost:
            journal.notes.append(f"{lost} files lay in a dataset that was deleted: those not named again are not in it")
        if options.name and others:
            journal.notes.append(f"{', '.join(others)} was made without --name: its images are not taken over")
        yield journal
