"""Which column of a table names the cases, and which of its rows belongs to which file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from medsyn.data.tables import find_column
from medsyn.errors import DataError
from medsyn.ingest.deidentify import IDENTIFIERS, keyed
from medsyn.ingest.labels import files
from medsyn.ingest.labels.identifiers import COLUMNS, mended
from medsyn.ingest.numbered import NumberMap, NumberSet
from medsyn.ingest.source import Probe

if TYPE_CHECKING:
    from medsyn.ingest.scan import Input

KINDS = ("file", *IDENTIFIERS)
_COLUMN_OPTION = "--file-column"


@dataclass
class Fit:
    """One column taken for one kind of name.

    Attributes:
        keys: Its different values.
        codes: Row -> place in ``keys``, int64 ``[rows]``.
        key_of: Ledger number -> place in ``keys``.
        used: Places in ``keys`` that name a file.
        ambiguous: Places in ``keys`` that name several files and must not.
        told: What was changed for it to fit.
    """

    column: str
    kind: str
    keys: Sequence[str]
    codes: np.ndarray
    key_of: NumberMap = field(default_factory=NumberMap)
    used: NumberSet = field(default_factory=NumberSet)
    ambiguous: Sequence[int] = ()
    told: list[str] = field(default_factory=list)

    @property
    def holds(self) -> str:
        """What the column holds, in words."""
        return IDENTIFIERS.get(self.kind, "file names")

    def merge(self, same: dict[int, int]) -> None:
        """Treat some keys as others that mean the same."""
        if same:
            to = np.arange(len(self.keys))
            to[list(same)] = list(same.values())
            self.codes = to[self.codes]

    def unmatched(self, formats: pd.Series | None = None) -> int:
        """Rows that fit no file.

        Args:
            formats: Which format of its case each row names: rows of formats that no file has do not count.
        """
        used = self.used.mask(len(self.keys))[self.codes]
        if formats is not None:
            used = used | ~formats.isin(formats[used]).to_numpy()
        return len(used) - int(used.sum())


class Matcher:
    """Tries columns of a table on the files.

    Args:
        frame: The table, all text.
        where: Its path, for messages and for names relative to it.
        inputs: All files.
        wanted: The files that will be read.
        numbers: Of them those that can have a row.
        key: Project key: identifiers of headers come keyed, so those of the table are keyed to be compared.
        participants: Ledger number -> participant, where BIDS names one and no header does.
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        where: Path,
        inputs: Iterable[Input],
        wanted: Iterable[Probe],
        numbers: Set[int],
        key: bytes,
        participants: Mapping[int, str] | None = None,
    ) -> None:
        self.frame, self.where, self.inputs, self.wanted, self.key = frame, where, inputs, wanted, key
        self.numbers, self.participants = numbers, participants or {}

    def named(self, column: str) -> Fit:
        """The best fit of a column that the user named.

        Raises:
            DataError: It names no file.
        """
        usual = [kind for kind in KINDS if find_column([column], COLUMNS[kind])]
        fits = [self.fit(column, kind) for kind in dict.fromkeys((*usual, *KINDS))]
        fits = [f for f in fits if f.key_of or f.ambiguous] or [f for f in map(self.mend, fits) if f.key_of]
        if not fits:
            raise self.nothing([column])
        return self.mend(next((f for f in fits if f.kind in usual), max(fits, key=lambda f: len(f.key_of))))

    def found(self, but: Set[str]) -> Fit:
        """The finest column that fits, by the usual names first; the others that fit must agree with it.

        Args:
            but: Columns that are something else.

        Raises:
            DataError: None fits, or two contradict each other.
        """
        columns = [c for c in self.frame.columns if c not in but]
        usual = [(c, kind) for kind in KINDS for c in _in_order(columns, COLUMNS[kind])]
        fits = self._first_of_kind(usual, self.fit)
        if not fits:
            every = (self.fit(column, kind) for kind in KINDS for column in columns)
            fits = sorted((f for f in every if f.key_of), key=lambda f: -len(f.key_of))
            fits = [f for f in fits if len(f.key_of) == len(fits[0].key_of)]
        if not fits:
            fits = self._first_of_kind(usual, lambda column, kind: self.mend(self.fit(column, kind)))
        if not fits:
            raise self.nothing([c for c, _ in usual] or columns)
        fits.sort(key=lambda f: not f.key_of)  # names that are all ambiguous only where there is nothing else
        best = fits[0]
        # A file and its SOP instance are equally fine.
        if len(fits) > 1 and fits[1].kind == "sop" and len(fits[1].key_of) > len(best.key_of):
            best = fits[1]
        for other in fits:
            self.check_agreement(best, other)
        coarser = max(fits, key=lambda f: len(f.key_of))
        if len(coarser.key_of) > len(best.key_of):
            best.told.append(
                f"labels: column '{coarser.column}' ({coarser.holds}) would fit {len(coarser.key_of)} files: "
                f"name it with {_COLUMN_OPTION} if its rows speak for all of them"
            )
        return self.mend(best)

    def fit(self, column: str, kind: str) -> Fit:
        """Take a column for one kind of name, exactly as written."""
        places, keys = pd.factorize(self.frame[column])
        # One name, one key: without spaces at the ends, and without detours of paths.
        plain = files.canonical if kind == "file" else str.strip
        codes, keys = pd.factorize(np.array([plain(text) for text in keys], dtype=object))
        places = codes[places]
        fit = Fit(column, kind, list(keys), places)
        if kind == "file":
            named = files.find(fit.keys, self.inputs, self.numbers, self.where.parent)
            fit.key_of, fit.used, fit.ambiguous = named.key_of, named.used, named.ambiguous
            # Files that will not be read have their row, too, but it is of no use.
            fit.key_of = NumberMap((n, k) for n, k in fit.key_of.items() if n in self.numbers)
            fit.merge(named.same)
        else:
            there = self._files_of(kind)
            for k, text in enumerate(fit.keys if there else ()):
                if text:
                    self._take(fit, k, there.get(keyed(self.key, f"id-{kind}", text), ()))
        return fit

    def mend(self, fit: Fit) -> Fit:
        """Undo what a spreadsheet did to identifiers, for the files without a row, where only one change fits.

        Raises:
            DataError: Nothing fits as it is, and more than one change does.
        """
        left = self.numbers - fit.key_of.keys()
        keys = [k for k in range(len(fit.keys)) if k not in fit.used and fit.keys[k]]
        lookup = self._lookup(fit.kind)
        if not left or not keys or lookup is None:
            return fit
        changes: dict[str, list[tuple[int, list[int]]]] = defaultdict(list)
        for k in keys:
            for change, text in mended(fit.keys[k], fit.kind):
                hit = [n for n in lookup(text) if n in left]
                if hit and not (fit.kind == "file" and len(hit) > 1):
                    changes[change].append((k, hit))
        if len(changes) == 1:
            ((change, hits),) = changes.items()
            same: dict[int, int] = {}
            before = len(fit.key_of)
            for k, numbers in hits:
                taken = fit.key_of.get(numbers[0])
                if taken is None:
                    self._take(fit, k, numbers)
                else:
                    same[k] = taken
                    fit.used.add(k)
            fit.merge(same)
            more = len(fit.key_of) - before
            fit.told.append(f"labels: column '{fit.column}' read {change} fits {more} {'more ' * bool(before)}files")
        elif changes:
            counts = "; ".join(f"{change}: {sum(len(n) for _, n in hits)} files" for change, hits in changes.items())
            if fit.key_of:
                fit.told.append(f"labels: unmatched values of column '{fit.column}' would fit changed: {counts}")
            else:
                raise DataError(
                    f"column '{fit.column}' fits {fit.holds} only after a change, and more than one fits ({counts})",
                    where=self.where,
                    mend="Write the identifiers as text, exactly as they are in the scans.",
                )
        return fit

    def check_agreement(self, fine: Fit, other: Fit) -> None:
        """Refuse a table of which two columns name different rows for one file.

        Raises:
            DataError: They do.
        """
        both = [n for n in fine.key_of if n in other.key_of]
        if fine is other or not both:
            return
        size = len(other.keys)
        rows = np.unique(fine.codes * size + other.codes)
        asked = np.array([fine.key_of[n] * size + other.key_of[n] for n in both])
        wrong = [both[i] for i in np.flatnonzero(~np.isin(asked, rows))]
        if wrong:
            raise DataError(
                f"columns '{fine.column}' ({fine.holds}) and '{other.column}' ({other.holds}) name different rows for "
                f"{len(wrong)} files: {self._pairs(fine, other, wrong)}",
                where=self.where,
                mend=f"Say which one counts with {_COLUMN_OPTION}.",
            )

    def nothing(self, columns: Sequence[str], found: str = "") -> DataError:
        """The error for a table of which no row fits; ``found``: what a file is called, where that may be told."""
        column = columns[0]
        written = [f"'{text}'" for text in self.frame[column].unique()[:3] if text.strip()]
        looked = ", ".join(f"'{c}'" for c in dict.fromkeys(columns))
        return DataError(
            f"no row fits an image by file name or DICOM identifier (columns looked at: {looked}): "
            f"column '{column}' says {', '.join(written)}{found}",
            where=self.where,
            mend=f"Give paths relative to the table, or name another column with {_COLUMN_OPTION}.",
        )

    def _first_of_kind(self, columns: Sequence[tuple[str, str]], fit: Callable[[str, str], Fit]) -> list[Fit]:
        """Of every kind the first column that fits."""
        best: dict[str, Fit] = {}
        for column, kind in columns:
            if kind not in best and ((f := fit(column, kind)).key_of or f.ambiguous):
                best[kind] = f
        return list(best.values())

    def _pairs(self, fine: Fit, other: Fit, numbers: Sequence[int]) -> str:
        """What the table itself writes beside each other, for three of the files."""
        told = []
        for n in numbers[:3]:
            row = int(np.flatnonzero(fine.codes == fine.key_of[n])[0])
            beside = self.frame[other.column].iloc[row]
            told.append(
                f"'{fine.keys[fine.key_of[n]]}' is of '{beside}' there, of '{other.keys[other.key_of[n]]}' here"
            )
        return "; ".join(told)

    def _files_of(self, kind: str) -> dict[str, list[int]]:
        found: dict[str, list[int]] = defaultdict(list)
        for p in self.wanted:
            if p.number not in self.numbers:
                continue
            if kind in p.names:
                found[p.names[kind]].append(p.number)
            elif kind == "patient" and p.number in self.participants:
                found[keyed(self.key, "id-patient", self.participants[p.number])].append(p.number)
        return dict(found)

    def _lookup(self, kind: str) -> Callable[[str], Sequence[int]] | None:
        """Text -> files, or None where no file has a name of this kind."""
        if kind == "file":
            stems = files.by_stem(self.inputs, self.numbers)
            return lambda text: stems.get(text, ())
        there = self._files_of(kind)
        return (lambda text: there.get(keyed(self.key, f"id-{kind}", text), ())) if there else None

    @staticmethod
    def _take(fit: Fit, k: int, numbers: Sequence[int]) -> None:
        if numbers:
            fit.key_of.update(dict.fromkeys(numbers, k))
            fit.used.add(k)


def _in_order(columns: Sequence[str], usual: Sequence[str]) -> list[str]:
    found = (find_column(columns, [name]) for name in usual)
    return list(dict.fromkeys(c for c in found if c is not None))
