"""The labels CSV: which column is what, and which row belongs to which file."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

from medsyn.errors import DataError
from medsyn.ingest import deidentify
from medsyn.ingest.deidentify import Covariates
from medsyn.ingest.scan import Input

FILE_COLUMNS = (
    *("file", "filename", "file_name", "filepath", "file_path", "path", "image", "image_path", "image_file"),
    *("image_name", "image_id", "imageid", "image_index", "img", "img_name", "name", "dicom", "id"),
)
SUBJECT_COLUMNS = ("patient_id", "patientid", "patient", "subject_id", "subjectid", "subject", "participant_id")
_SUFFIXES = (".nii.gz", ".nii", ".dcm", ".dicom", ".ima", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".npz")
_MISSING = frozenset({"", "nan", "na", "n/a", "null", "<na>"})


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
        rows, columns = _read(Path(path))
        told = []
        if label_column not in columns:
            raise _no_column(path, f"no label column '{label_column}'", columns, "--label-column")
        if file_column is None:
            file_column = _find(columns, FILE_COLUMNS)
            if file_column is None:
                raise _no_column(path, "no column that names files", columns, "--file-column")
            told.append(f"labels: files are named in column '{file_column}'")
        elif file_column not in columns:
            raise _no_column(path, f"no column '{file_column}'", columns, "--file-column")
        if subject_column is None:
            subject_column = _find(columns, SUBJECT_COLUMNS)
            if subject_column is not None:
                told.append(f"labels: patients are named in column '{subject_column}'")
        elif subject_column not in columns:
            raise _no_column(path, f"no column '{subject_column}'", columns, "--subject-column")
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

        A row names a file by its path, its path relative to the CSV or to an input folder, its name, or its name
        without suffix; the first of these that fits counts.

        Args:
            inputs: All files, also those that will not be read.
            wanted: Numbers of the files that will be read: they take a name before the others.

        Returns:
            Ledger number -> row, and how many rows of the CSV fit no file.

        Raises:
            DataError: A name fits several files, two rows name one file differently, or nothing fits.
        """
        tiers = _index(inputs, self.path.parent)
        matched: dict[int, LabelRow] = {}
        ambiguous: list[str] = []
        unmatched = 0
        for row in self.rows:
            name = row[self.file_column].strip().replace("\\", "/").removeprefix("./")
            found = next((hit for tier, short in tiers if (hit := tier.get(_name(name) if short else name))), None)
            hits = (found or set()) & wanted or found or set()
            if not name or not hits:
                unmatched += 1
            elif len(hits) > 1:
                ambiguous += [name] if hits & wanted else []
            else:
                number, new = next(iter(hits)), self._row(row)
                if matched.setdefault(number, new) != new:
                    raise DataError(
                        f"two rows with different content name one file (column '{self.file_column}', input {number})",
                        where=self.path,
                        mend="Keep one row a file.",
                    )
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
            column = _find(list(row), names)
            return "" if column is None else row[column]

        subject = row[self.subject_column].strip() if self.subject_column else ""
        covariates = Covariates(
            view=deidentify.view(of("view", "view_position", "viewposition")),
            sex=deidentify.sex(of("sex", "gender", "patient_sex", "patientsex")),
            age_band=deidentify.age_band(of("age", "patient_age", "patientage")),
        )
        label = row[self.label_column].strip()
        return LabelRow(
            None if label.lower() in _MISSING else label,
            None if subject.lower() in _MISSING else subject,
            covariates,
        )


def _read(path: Path) -> tuple[list[dict[str, str]], list[str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError("no such file", where=path, mend="Check --labels.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read as UTF-8 text ({type(error).__name__})", where=path) from None
    head = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=head.count)
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restval="", strict=True)
        columns = [c.strip() for c in reader.fieldnames or []]
        reader.fieldnames = columns
        rows = [{k: v or "" for k, v in row.items() if isinstance(k, str)} for row in reader]
    except csv.Error:
        raise DataError("is not a CSV table", where=path) from None
    if not rows:
        raise DataError("has no row", where=path)
    return rows, columns


def _index(inputs: Sequence[Input], csv_folder: Path) -> list[tuple[dict[str, set[int]], bool]]:
    """Lookups from the most exact to the least; True where only the last part of the name counts."""
    absolute, relative, name, stem = (defaultdict(set) for _ in range(4))
    for item in inputs:
        path = Path(item.path)
        absolute[item.path].add(item.number)
        relative[item.relative].add(item.number)
        if path.is_relative_to(csv_folder):
            absolute[path.relative_to(csv_folder).as_posix()].add(item.number)
        name[path.name].add(item.number)
        stem[_stem(path.name)].add(item.number)
    return [(absolute, False), (relative, False), (name, True), (stem, True)]


def _name(text: str) -> str:
    return text.rsplit("/", 1)[-1]


def _stem(name: str) -> str:
    suffix = next((s for s in _SUFFIXES if name.lower().endswith(s)), "")
    return name[: len(name) - len(suffix)]


def _find(columns: Sequence[str], wanted: Sequence[str]) -> str | None:
    plain = {c.lower().replace(" ", "_").replace("-", "_"): c for c in reversed(columns)}
    return next((plain[w] for w in wanted if w in plain), None)


def _no_column(path: str, what: str, columns: Sequence[str], option: str) -> DataError:
    return DataError(f"{what}; there are: {', '.join(columns)}", where=path, mend=f"Name it with {option}.")
