"""The labels table: which column is what, and what its rows say of the files."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from medsyn.data import tables
from medsyn.data.schema import CLASS_TASK
from medsyn.data.tables import MISSING, find_column
from medsyn.errors import DataError, UsageError
from medsyn.ingest import deidentify
from medsyn.ingest.deidentify import Covariates, keyed
from medsyn.ingest.labels.identifiers import SUBJECT_COLUMNS
from medsyn.ingest.labels.matching import Fit, Matcher
from medsyn.ingest.labels.values import NOTHING, Joined, LabelRow, Target, check_map, meaning
from medsyn.ingest.numbered import Worked
from medsyn.ingest.source import Probe
from medsyn.synthetic.manifest import SINGLE

if TYPE_CHECKING:
    from medsyn.ingest.scan import Input

_COVARIATES: dict[str, tuple[tuple[str, ...], Callable[[str], str | None]]] = {
    "view": (("view", "view_position", "viewposition"), deidentify.view),
    "sex": (("sex", "gender", "patient_sex", "patientsex"), deidentify.sex),
    "age_band": (("age", "patient_age", "patientage"), deidentify.age_band),
}


@dataclass
class LabelTable:
    """A labels table, read and checked.

    Attributes:
        frame: All of it, as text.
        label_columns: The first is the class, the others are further targets; none where the class comes from
            elsewhere, so that all are further targets (``class_column`` false).
        told: Choices made by itself, one sentence each.
    """

    path: Path
    frame: pd.DataFrame
    label_columns: Sequence[str]
    class_column: bool = True
    file_column: str | None = None
    subject_column: str | None = None
    label_map: Mapping[str, str] = field(default_factory=dict)
    classes: Sequence[str] = ()
    told: list[str] = field(default_factory=list)

    @classmethod
    def open(
        cls,
        path: str | Path,
        label_columns: Sequence[str],
        *,
        class_column: bool = True,
        file_column: str | None = None,
        subject_column: str | None = None,
        label_map: Mapping[str, str] | None = None,
        classes: Sequence[str] | None = None,
    ) -> LabelTable:
        """Read the table and settle its columns.

        Args:
            path: CSV with commas, semicolons or tabs, or Parquet.
            label_columns: As the attribute.
            class_column: Whether the first of them is the class.
            file_column: Column that names the cases; default: found when they are known.
            subject_column: Column that names the patient; default: found by its usual names.
            label_map: Label as written -> class; ``''`` drops it.
            classes: The classes there are.

        Raises:
            DataError: Missing, unreadable, empty, without a column that is needed, or with a label that is no class.
            UsageError: Columns that cannot stand beside each other, or a map of labels that do not occur.
        """
        frame = tables.read_frame(Path(path), "--labels")
        columns = list(frame.columns)
        for column in label_columns:
            if column not in columns:
                raise _no_column(path, f"no label column '{column}'", columns, "--label-column")
        further = list(label_columns[1:] if class_column else label_columns)
        if len(set(label_columns)) < len(label_columns) or CLASS_TASK in further:
            raise UsageError(
                f"a column is named twice, or a further one is called '{CLASS_TASK}', the first one's name inside",
                where="--label-column",
                mend="Name every column once; rename that one.",
            )
        if file_column is not None and file_column not in columns:
            raise _no_column(path, f"no column '{file_column}'", columns, "--file-column")
        told = []
        if subject_column is None:
            subject_column = find_column(columns, SUBJECT_COLUMNS)
            if subject_column is not None:
                told.append(f"labels: patients are named in column '{subject_column}'")
        elif subject_column not in columns:
            raise _no_column(path, f"no column '{subject_column}'", columns, "--subject-from")
        absolute = Path(os.path.normpath(Path(path).absolute()))
        made = cls(absolute, frame, tuple(label_columns), class_column, file_column, subject_column, told=told)
        if class_column:
            made.label_map, made.classes = label_map or {}, classes or ()
            made._check_labels()
        return made

    def _check_labels(self) -> None:
        column = self.frame[self.label_columns[0]]
        written = list(column.unique())
        where = f"{self.path}, column '{self.label_columns[0]}'"
        check_map(self.label_map, written, where, show=True)
        if not self.classes:
            return
        targets = meaning(written, self.label_map, self.classes)
        wrong = {text for text, target in targets.items() if target.value not in (None, *self.classes)}
        if wrong:
            row = int(np.flatnonzero(column.isin(wrong))[0])
            raise DataError(
                f"unknown label '{targets[column.iloc[row]].value}' in row {row + 2}",
                where=where,
                mend=f"The classes named are: {', '.join(self.classes)}. Correct the row, --classes or --map.",
            )

    def join(
        self,
        inputs: Iterable[Input],
        wanted: Iterable[Probe],
        numbers: Set[int],
        key: bytes,
        *,
        participants: Mapping[int, str] | None = None,
        show_paths: bool = False,
    ) -> Joined:
        """Find the row of every file.

        Args:
            inputs: All files; iterated several times, as the next.
            wanted: Those that will be read.
            numbers: Of them those that can have a row.
            key: Project key.
            participants: Ledger number -> participant, where BIDS names one.
            show_paths: Whether a message may name a file.

        Raises:
            DataError: No row fits, rows or columns contradict each other, or a name fits several files.
        """
        matcher = Matcher(self.frame, self.path, inputs, wanted, numbers, key, participants)
        fit = matcher.named(self.file_column) if self.file_column else matcher.found({*self.label_columns})
        where = f"{self.path}, column '{fit.column}'"
        if fit.ambiguous:
            examples = ", ".join(f"'{fit.keys[k]}'" for k in fit.ambiguous[:3])
            raise DataError(
                f"{len(fit.ambiguous)} names fit more than one file: {examples}"
                + (_paths_of(fit.keys[fit.ambiguous[0]], inputs) if show_paths else ""),
                where=where,
                mend="Give paths relative to the table.",
            )
        if fit.kind == "file":
            told = [f"labels: files are named in column '{fit.column}'"] if self.file_column is None else []
        else:
            told = [f"labels: rows belong to files by {fit.holds} in column '{fit.column}' ({len(fit.key_of)} files)"]
        rows = _Rows(self, fit, key)
        rows.check(where)
        of_key = lru_cache(rows.row)  # files of one patient mostly lie beside one another
        joined = Joined(
            rows=Worked(fit.key_of, lambda number: of_key(fit.key_of[number])),
            unmatched=fit.unmatched(self._formats()),
            told=told + fit.told,
            where=f"{self.path}, column '{self.label_columns[0]}'" if self.label_columns else str(self.path),
            labelled=self.class_column,
        )
        further = self.label_columns[1:] if self.class_column else self.label_columns
        if further:
            joined.caveats.append(
                f"further label columns are kept in targets.parquet ({', '.join(further)}): training and evaluation "
                "use the class only"
            )
        return joined

    def _formats(self) -> pd.Series | None:
        """The formats that the rows name files of, in a table that lists each case in several, as of synthetic sets."""
        column = find_column(list(self.frame.columns), ["format"])
        found = None if column is None else self.frame[column].str.lower()
        return found if found is not None and found.isin(SINGLE).all() else None

    def candidates(self) -> list[str]:
        """Columns that may name patients: with repeated or different values, neither labels nor covariates."""
        usual = {*tables.FILE_COLUMNS, *(name for names, _ in _COVARIATES.values() for name in names)}
        return [
            str(c)
            for c in self.frame.columns
            if c not in (*self.label_columns, self.subject_column)
            and find_column([str(c)], list(usual)) is None
            and self.frame[c].nunique() > max(2, len(self.frame) // 50)
        ]


class _Rows:
    """What the rows of each key say together."""

    def __init__(self, table: LabelTable, fit: Fit, key: bytes) -> None:
        self.table, self.fit, self.key = table, fit, key
        self._fields: dict[str, tuple[np.ndarray, np.ndarray, list[Any]]] = {}
        for i, column in enumerate(table.label_columns):
            is_class = table.class_column and i == 0
            told = meaning(table.frame[column].unique(), *((table.label_map, table.classes) if is_class else ({}, ())))
            targets = {text: None if target.state == "missing" else target for text, target in told.items()}
            self._add(f"label {column}", column, targets.__getitem__)
        # The column of the header's own patients adds no name.
        if table.subject_column and not (fit.kind == "patient" and fit.column == table.subject_column):
            self._add("subject", table.subject_column, _subject)
        for name, (usual, value_of) in _COVARIATES.items():
            found = find_column(list(table.frame.columns), usual)
            if found is not None:
                self._add(name, found, value_of)
        self._shared: dict[tuple[int, ...], Mapping[str, Target]] = {}

    def _add(self, name: str, column: str, value_of: Callable[[str], Any]) -> None:
        """Lowest and highest code of a value per key; -1 where no row of the key has one."""
        places, texts = pd.factorize(self.table.frame[column])
        values = [value_of(text) for text in texts]
        distinct = list(dict.fromkeys(v for v in values if v is not None))
        code_of: dict[Any, int] = {None: -1, **{v: i for i, v in enumerate(distinct)}}
        codes = np.array([code_of[v] for v in values], dtype=np.int32)[places]
        low = np.full(len(self.fit.keys), len(distinct), dtype=np.int32)
        high = np.full(len(self.fit.keys), -1, dtype=np.int32)
        known = codes >= 0
        np.minimum.at(low, self.fit.codes[known], codes[known])
        np.maximum.at(high, self.fit.codes[known], codes[known])
        self._fields[name] = (np.minimum(low, high), high, distinct)

    def check(self, where: str) -> None:
        """Refuse rows of one key that say different things; an empty cell contradicts nothing.

        Raises:
            DataError: There are some.
        """
        used = self.fit.key_of.different()
        for name, (low, high, distinct) in self._fields.items():
            wrong = used[low[used] != high[used]]
            if not len(wrong) or name in _COVARIATES:
                continue
            what = "patients" if name == "subject" else f"values in '{name.removeprefix('label ')}'"
            told = [
                f"'{self.fit.keys[k]}'"
                + ("" if name == "subject" else f" ({_said(distinct[low[k]])} and {_said(distinct[high[k]])})")
                for k in wrong[:3]
            ]
            raise DataError(
                f"rows with different {what} name one case, {len(wrong)} times: {', '.join(told)}",
                where=where,
                mend="Keep one row a case, or name a finer column with --file-column.",
            )

    def row(self, k: int) -> LabelRow:
        """What is said of a key."""
        table = self.table
        further = table.label_columns[1:] if table.class_column else table.label_columns
        codes = tuple(int(self._fields[f"label {c}"][1][k]) for c in further)
        if codes not in self._shared:
            self._shared[codes] = {c: self._value(f"label {c}", k) or NOTHING for c in further}
        target = self._value(f"label {table.label_columns[0]}", k) if table.class_column else None
        subject = self._value("subject", k)
        return LabelRow(
            label=target.value if target else None,
            state=target.state if target else "missing",
            subject=None if subject is None else keyed(self.key, "subject", "", subject),
            covariates=Covariates(**{name: self._value(name, k) for name in _COVARIATES}),
            targets=self._shared[codes],
        )

    def _value(self, name: str, k: int) -> Any:
        if name not in self._fields:
            return None
        low, high, distinct = self._fields[name]
        return distinct[high[k]] if high[k] >= 0 and low[k] == high[k] else None


def _subject(text: str) -> str | None:
    """A patient's name without what a spreadsheet adds to a number."""
    plain = re.sub(r"^(\d+)\.0+$", r"\1", text.strip())
    return None if plain.lower() in MISSING else plain


def _said(target: Target) -> str:
    return target.state if target.value is None else f"'{target.value}'"


def _paths_of(name: str, inputs: Iterable[Input]) -> str:
    bare = tables.stem(name.rsplit("/", 1)[-1])
    fitting = [i.relative for i in inputs if tables.stem(i.relative.rsplit("/", 1)[-1]) == bare]
    return f" ({', '.join(fitting[:3])})"


def _no_column(path: object, what: str, columns: Sequence[str], option: str) -> DataError:
    return DataError(f"{what}; there are: {', '.join(columns)}", where=path, mend=f"Name it with {option}.")
