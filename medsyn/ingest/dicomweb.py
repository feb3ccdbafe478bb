"""Scans that a DICOMweb service has: fetched into the workspace's private folder, ingested from there, removed."""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from medsyn.config import IngestOptions
from medsyn.errors import DataError, EnvironmentFault, UsageError
from medsyn.ingest import dicom
from medsyn.ingest.journal import Journal
from medsyn.ingest.scan import Input
from medsyn.ingest.source import LookFor, Refused, most_bytes
from medsyn.pacs.address import checked_url, is_url
from medsyn.progress import Progress
from medsyn.workspace import Workspace, disk_errors, private_folder

if TYPE_CHECKING:
    from medsyn.pacs.fetching import Remote


@dataclass
class Services:
    """The DICOMweb services among the paths of an ingest, and the folders that their instances are fetched to.

    Attributes:
        files: The other paths.
        folders: Root of a service -> folder.
    """

    options: IngestOptions
    workspace: Workspace
    files: list[str]
    folders: dict[str, Path]
    _at: dict[str, tuple[str, Remote]] = field(default_factory=dict)  # path -> which instance of which service

    @classmethod
    def of(cls, options: IngestOptions, workspace: Workspace) -> Services:
        """Look for services among the paths.

        Raises:
            UsageError: An address or a query that cannot be used, or a query without a service.
        """
        urls = [checked_url(path) for path in options.paths if is_url(path)]
        if not urls and (options.query or options.limit is not None):
            raise UsageError(
                "there is no DICOMweb service to ask",
                where="--query" if options.query else "--limit",
                mend="Name one among the paths, as in https://pacs.example.org/dicom-web.",
            )
        if options.query:
            from medsyn.pacs.query import Query

            Query.of(options.query)
        place = workspace.private / "pacs"
        folders = {url: place / hashlib.sha256(url.encode()).hexdigest()[:16] for url in urls}
        return cls(options, workspace, [path for path in options.paths if not is_url(path)], folders)

    def local(self) -> IngestOptions:
        """The options, with folders for services."""
        return self.options.model_copy(update={"paths": [*self.files, *map(str, self.folders.values())]})

    def shown(self) -> str:
        """All paths, for messages."""
        return ", ".join([*self.files, *self.folders])

    @contextmanager
    def held(self, progress: Progress) -> Iterator[None]:
        """Keep other processes from the folders; where the block fails, tell what stays in them.

        Raises:
            EnvironmentFault: Another process has them.
        """
        with ExitStack() as locks:
            for url, folder in self.folders.items():
                with disk_errors(folder):
                    self.workspace.create()
                    for place in (folder.parent, folder):
                        private_folder(place)
                try:
                    locks.enter_context(FileLock(folder.with_suffix(".lock"), timeout=0))
                except Timeout:
                    raise EnvironmentFault(
                        "another ingest from there is running", where=url, mend="Wait for it."
                    ) from None
            try:
                yield
            except BaseException:
                for url, folder in self.folders.items():
                    n = sum(1 for _ in folder.rglob("*.dcm"))
                    if n:
                        progress.say(
                            f"{n} originals fetched from {url} stay in {folder}: run the command again to go on, "
                            "or delete that folder"
                        )
                    else:
                        shutil.rmtree(folder, ignore_errors=True)
                raise

    def fetch(self, journal: Journal, look: LookFor, progress: Progress) -> list[Input]:
        """Ask what there is, and fetch what no earlier ingest has looked at: the rest is in journal and datasets.

        Raises:
            DataError: Nothing fits the query.
            MedsynError: As `medsyn.pacs.fetching`.
        """
        inputs: list[Input] = []
        for url, folder in self.folders.items():
            from medsyn.pacs import fetching

            # In the order of names, as in a folder: of copies, the first is kept.
            found = sorted(fetching.search(url, self.options.query, self.options.limit, progress))
            known = journal.recorded(str(folder), look)
            there = {str(folder / remote.name): remote for remote in found}
            self._at.update({path: (url, remote) for path, remote in there.items()})
            _clear(folder, there)
            pictures = [r for r in found if not r.sop_class or dicom.is_picture(r.sop_class)]
            new = [remote for remote in pictures if str(folder / remote.name) not in known]
            progress.say(f"{url}: {len(found)} instances, {len(pictures)} images, {len(new)} of them new")
            refused = fetching.fetch(url, new, folder, most_bytes(self.options.max_pixels), progress)
            wanted = set(pictures)
            for path, remote in there.items():
                file = Path(path)
                if remote not in wanted:
                    why: Refused | None = dicom.NO_PICTURE
                elif remote in refused:
                    why = Refused("not_fetched", refused[remote], "failed")
                elif file.is_file():
                    why = None
                else:
                    inputs.append(known[path])
                    continue
                state = None if why else file.stat()
                size, changed = (state.st_size, state.st_mtime_ns) if state else (0, 0)
                inputs.append(Input(0, path, str(folder), remote.name, why, None, size, changed))
        if not inputs and not self.files:
            raise DataError("nothing there fits the query", where=self.shown(), mend="Check --query.")
        return inputs

    def bring(self, paths: Iterable[str], progress: Progress) -> None:
        """Fetch what has to be read although it was known: for other settings, or a series that has grown."""
        if not self.folders:
            return
        from medsyn.pacs import fetching

        wanted: dict[str, list[Remote]] = {url: [] for url in self.folders}
        for path in paths:
            url, remote = self._at.get(path, (None, None))
            if url is not None and remote is not None:
                wanted[url].append(remote)
        for url, remotes in wanted.items():
            fetching.fetch(url, remotes, self.folders[url], most_bytes(self.options.max_pixels), progress)

    def remove(self) -> None:
        """Remove the originals: their images are in a dataset now."""
        for folder in self.folders.values():
            # Killed in the middle of it, the next command that writes removes the rest.
            gone = self.workspace.path / f".partial-pacs-{secrets.token_hex(4)}"
            folder.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)


def _clear(folder: Path, wanted: Iterable[str]) -> None:
    """Remove what a killed process left half-written, and what is not asked for any more."""
    stay = set(wanted)
    for file in [path for path in folder.rglob("*") if path.is_file()]:
        if str(file) not in stay:
            file.unlink()
