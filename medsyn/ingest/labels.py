"""The labels CSV: which column is what, and which row belongs to which file."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

from medsyn.data import tables
from medsyn.data.tables import FILE_COLUMNS, MISSING, find_column, plain_name, stem
from medsyn.errors import DataError
from medsyn.ingest import deidentify
from medsyn.ingest.deidentify import Covariates
from medsyn.ingest.scan import Input

SUBJECT_COLUMNS = ("patient_id", "patientid", "patient", "subject_id", "subjectid", "subject", "participant_id")


@dataclass(frozen=True)
class LabelRow:
    """What the CSV says of one file."""

    label: str | None
    subject: str | None
    covariates: Covariates


@dataclass
class LabelTable:
    """A labels CSV, read and checked.

    Attributes:
        told: Choices made by itself, one sentence each.
    """

    path: Path
    rows: list[dict[str, str]]
    file_column: str
    label_column: str
    subject_column: str | None
    told: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, path: str, label_column: str, file_column: str | None, subject_column: str | None) -> LabelTable:
        """Read the CSV and settle its columns.

        Raises:
            DataError: Missing, unreadable, empty, or without a column that is needed.
        """
        rows, columns = tables.read(Path(path), "--labels")
        told = []
        if label_column not in columns:
            raise _no_column(path, f"no label column '{label_column}'", columns, "--label-column")
        if file_column is None:
            file_column = find_column(columns, FILE_COLUMNS)
            if file_column is None:
                raise _no_column(path, "no column that names files", columns, "--file-column")
            told.append(f"labels: files are named in column '{file_column}'")
        elif file_column not in columns:
            raise _no_column(path, f"no column '{file_column}'", columns, "--file-column")
        if subject_column is None:
            subject_column = find_column(columns, SUBJECT_COLUMNS)
            if subject_column is not None:
                told.append(f"labels: patients are named in column '{subject_column}'")
        elif subject_column not in columns:
            raise _no_column(path, f"no column '{subject_column}'", columns, "--subject-from")
        return cls(Path(path).absolute(), rows, file_column, label_column, subject_column, told)

    def check_classes(self, classes: Sequence[str]) -> None:
        """Refuse a label that is none of the classes: most likely a typing error.

        Raises:
            DataError: There is one.
        """
        for number, row in enumerate(self.rows, 2):
            label = self._row(row).label
            if label is not None and label not in classes:
                raise DataError(
                    f"unknown label '{label}' in row {number}",
                    where=f"{self.path}, column '{self.label_column}'",
                    mend=f"The classes named are: {', '.join(classes)}. Correct the row or --classes.",
                )

    def join(self, inputs: Sequence[Input], wanted: Set[int]) -> tuple[dict[int, LabelRow], int]:
        """Find the row of every file.

        A row names a file by its path, its path relative to the CSV or to an input folder, or the end of its path;
        a bare name, by the name of the file with or without suffix. The first of these that fits counts, and of two
        rows that fit one file the more exact one. A name with folders in it never fits another folder's file.

        Args:
            inputs: All files, also those that will not be read.
            wanted: Numbers of the files that will be read: they take a name before the others.

        Returns:
            Ledger number -> row, and how many rows of the CSV fit no file.

        Raises:
            DataError: A name fits several files, two rows name one file differently, or nothing fits.
        """
        index = _Index(inputs, self.path.parent)
        best: dict[int, tuple[int, str, LabelRow]] = {}
        ambiguous: list[str] = []
        unmatched = 0
        for row in self.rows:
            name = plain_name(row[self.file_column])
            tier, found = index.find(name)
            hits = found & wanted or found
            if not hits:
                unmatched += 1
            elif len(hits) > 1:
                ambiguous += [name] if hits & wanted else []
            else:
                number, new = next(iter(hits)), (tier, name, self._row(row))
                old = best.setdefault(number, new)
                if old[0] == new[0] and old[2] != new[2]:
                    raise DataError(
                        f"two rows with different content name one file: '{old[1]}' and '{name}'",
                        where=f"{self.path}, column '{self.file_column}'",
                        mend="Keep one row a file.",
                    )
                unmatched += old[0] != new[0]
                best[number] = min(old, new, key=lambda entry: entry[0])
        matched = {number: row for number, (_, _, row) in best.items()}
        if ambiguous:
            examples = ", ".join(dict.fromkeys(ambiguous[:3]))
            raise DataError(
                f"{len(ambiguous)} names fit more than one file: {examples}",
                where=f"{self.path}, column '{self.file_column}'",
                mend="Give paths relative to the CSV.",
            )
        if not wanted & matched.keys():
            mine, theirs = self.rows[0][self.file_column], next(i.relative for i in inputs if i.number in wanted)
            raise DataError(
                f"no row fits an image: the CSV says '{mine}', a file is '{theirs}'",
                where=f"{self.path}, column '{self.file_column}'",
                mend="Give paths relative to the CSV, or name another column with --file-column.",
            )
        return matched, unmatched

    def _row(self, row: dict[str, str]) -> LabelRow:
        def of(*names: str) -> str:
            column = find_column(list(row), names)
            return "" if column is None else row[column]

        subject = row[self.subject_column].strip() if self.subject_column else ""
        covariates = Covariates(
            view=deidentify.view(of("view", "view_position", "viewposition")),
            sex=deidentify.sex(of("sex", "gender", "patient_sex", "patientsex")),
            age_band=deidentify.age_band(of("age", "patient_age", "patientage")),
        )
        label = row[self.label_column].strip()
        return LabelRow(
            None if label.lower() in MISSING else label,
            None if subject.lower() in MISSING else subject,
            covariates,
        )


class _Index:
    """Files by what a row may call them, from the most exact to the least."""

    def __init__(self, inputs: Sequence[Input], csv_folder: Path) -> None:
        self._csv_folder = csv_folder
        self._absolute, self._relative, self._name, self._stem = (defaultdict(set) for _ in range(4))
        self._end: dict[tuple[str, ...], set[tuple[str, int]]] = defaultdict(set)
        for item in inputs:
            path = os.path.normpath(item.path).replace(os.sep, "/")
            self._absolute[path].add(item.number)
            self._relative[item.relative].add(item.number)
            name = path.rsplit("/", 1)[-1]
            self._name[name].add(item.number)
            self._stem[stem(name)].add(item.number)
            for form in {path, stem(path)}:
                self._end[tuple(form.split("/")[-2:])].add((form, item.number))

    def find(self, name: str) -> tuple[int, set[int]]:
        """Rank of the first way of naming that fits (0: the most exact), and the files it fits."""
        if not name:
            return 0, set()
        beside_csv = os.path.normpath(self._csv_folder / name).replace(os.sep, "/")
        ways = [self._absolute.get(beside_csv), self._relative.get(name)]
        if "/" in name:
            ends = self._end.get(tuple(name.split("/")[-2:]), ())
            ways.append({number for form, number in ends if form.endswith("/" + name)})
        else:
            ways += [self._name.get(name), self._stem.get(name)]
        return next(((rank, set(hit)) for rank, hit in enumerate(ways) if hit), (0, set()))


def _no_column(path: str, what: str, columns: Sequence[str], option: str) -> DataError:
    return DataError(f"{what}; there are: {', '.join(columns)}", where=path, mend=f"Name it with {option}.")
