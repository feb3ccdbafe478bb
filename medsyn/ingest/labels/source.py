"""Who says which class, patient and further targets a file has: a table, BIDS, folders or a DICOM element."""

from __future__ import annotations

import re
from collections.abc import Iterable, Set
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from medsyn.config import IngestOptions
from medsyn.errors import DataError, UsageError
from medsyn.ingest.labels import bids, folders, tags
from medsyn.ingest.labels.bids import BidsSet
from medsyn.ingest.labels.table import LabelTable
from medsyn.ingest.labels.values import Joined, LabelRow
from medsyn.ingest.numbered import Worked
from medsyn.ingest.source import Probe

if TYPE_CHECKING:
    from medsyn.ingest.scan import Input

_NO_COLUMN = re.compile(r"file|folder(:[1-9]\d*)?")
"""Values of ``--subject-from`` that are no column; a folder may be counted from the path that was named."""


@dataclass
class LabelSource:
    """All that the options and the folders say about labels.

    Attributes:
        told: Choices made by itself, one sentence each.
    """

    options: IngestOptions
    table: LabelTable | None = None
    bids: list[BidsSet] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, options: IngestOptions) -> LabelSource:
        """Read the tables, and check what can be checked before any scan is looked at.

        Raises:
            DataError: A table that cannot be used.
            UsageError: Options that do not go together.
        """
        keyword = (options.label_from or "").partition("tag:")[2]
        if keyword:
            tags.check(keyword)
        by_table = options.label_from is None
        chosen = "label_columns" in options.model_fields_set
        common = {"label_map": options.label_map, "classes": options.classes}
        column = None if _NO_COLUMN.fullmatch(options.subject_from or "file") else options.subject_from
        made = cls(options)
        if options.labels is not None:
            made.table = LabelTable.open(
                options.labels,
                options.label_columns if by_table or chosen else [],
                class_column=by_table,
                file_column=options.file_column,
                subject_column=column,
                **common,  # type: ignore[arg-type]
            )
            made.told += made.table.told
        elif column is not None:
            raise UsageError(
                f"column '{column}' of no table", where="--subject-from", mend="Give the table with --labels."
            )
        made.bids = bids.find(
            options.paths, options.label_columns, chosen=chosen, labelled=by_table and made.table is None, **common
        )
        if made.table is None:
            made.told += [line for found in made.bids for line in found.told]
        elif made.bids:
            made.told.append("BIDS: sub-* folders are patients; participants.tsv is not used beside --labels")
        return made

    def tables(self) -> frozenset[str]:
        """Absolute paths of the tables that were read."""
        opened = [self.table, *(dataset.table for dataset in self.bids)]
        return frozenset(str(table.path) for table in opened if table is not None)

    def participants(self, inputs: Iterable[Input]) -> dict[int, tuple[BidsSet, str]]:
        """Ledger number -> the BIDS participant whose folder a file lies in."""
        found = {}
        for item in inputs if self.bids else ():
            for dataset in self.bids:
                participant = dataset.participant(item) if dataset.holds(item) else None
                if participant:
                    found[item.number] = dataset, participant
        return found

    def not_raw(self, inputs: Iterable[Input]) -> set[int]:
        """Files of BIDS datasets below ``derivatives`` and the like, which the user did not name."""
        inputs = inputs if self.bids else ()
        return {i.number for i in inputs for b in self.bids if b.holds(i) and b.not_raw(i)}

    def join(self, inputs: Iterable[Input], wanted: Iterable[Probe], numbers: Set[int], key: bytes) -> Joined:
        """What is said of every file.

        Args:
            inputs: All files; iterated several times, as the next.
            wanted: Those that will be read.
            numbers: Of them those that bring no labels of their own.
            key: Project key.

        Raises:
            DataError: See `LabelTable.join`, `folders.join` and `tags.join`.
            UsageError: ``--map`` names a label that does not occur.
        """
        options = self.options
        tabled = self._tabled(inputs, wanted, numbers, key)
        show, classes = options.show_paths, options.classes or ()
        if options.label_from == "folder":
            joined = folders.join(inputs, numbers, options.label_map, classes, show=show)
        elif options.label_from is not None:
            joined = tags.join(wanted, numbers, options.label_from.partition(":")[2], options.label_map, classes)
        elif tabled is not None:
            return tabled
        else:
            return Joined(labelled=False)
        if tabled is not None:
            own, told, nothing = joined.rows, tabled.rows, LabelRow()

            def both(number: int) -> LabelRow:
                other = told.get(number, nothing)
                subject, covariates, targets = other.subject, other.covariates, other.targets
                return replace(own[number], subject=subject, covariates=covariates, targets=targets)

            joined.rows = Worked(own, both)
            joined.unmatched = tabled.unmatched
            joined.told += tabled.told
            joined.caveats += tabled.caveats
        return joined

    def _tabled(self, inputs: Iterable[Input], wanted: Iterable[Probe], numbers: Set[int], key: bytes) -> Joined | None:
        """What the labels table says, or else every ``participants.tsv`` of its own files."""
        show = self.options.show_paths
        names = {n: participant for n, (_, participant) in self.participants(inputs).items()}
        if self.table is not None:
            return self.table.join(inputs, wanted, numbers, key, participants=names, show_paths=show)
        joined = None
        for dataset in self.bids:
            mine = [i for i in inputs if dataset.holds(i)]
            own = numbers & {i.number for i in mine}
            if dataset.table is None or not own:
                continue
            part = dataset.table.join(mine, wanted, own, key, participants=names, show_paths=show)
            if joined is None:
                joined = part
                continue
            if joined.labelled != part.labelled:
                raise DataError(
                    "one BIDS dataset names classes and another one does not",
                    where=", ".join(b.root for b in self.bids),
                    mend="Say --label-column, or ingest them one after the other.",
                )
            joined.rows = {**joined.rows, **part.rows}
            joined.unmatched += part.unmatched
            joined.told += [line for line in part.told if line not in joined.told]
            joined.caveats += [line for line in part.caveats if line not in joined.caveats]
        return joined
