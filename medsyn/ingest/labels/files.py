"""Which file a written file name means."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from medsyn.data.tables import plain_name, stem
from medsyn.ingest.numbered import NumberMap, NumberSet

if TYPE_CHECKING:
    from medsyn.ingest.scan import Input

_ABSOLUTE, _RELATIVE, _END, _NAME, _STEM = range(5)
"""Ways of naming a file, the most exact first."""


@dataclass
class Named:
    """Files by name.

    Attributes:
        key_of: Ledger number -> place of the name.
        used: Places of the names that mean a file, also one that will not be read.
        same: Name -> another that means the same file as exactly.
        ambiguous: Places of the names that mean several files.
    """

    key_of: NumberMap = field(default_factory=NumberMap)
    used: NumberSet = field(default_factory=NumberSet)
    same: dict[int, int] = field(default_factory=dict)
    ambiguous: list[int] = field(default_factory=list)


def canonical(text: str) -> str:
    """A file name as a table gives it: forward slashes, no detours."""
    name = plain_name(text)
    return posixpath.normpath(name) if "//" in name or "./" in name else name


def find(names: Sequence[str], inputs: Iterable[Input], wanted: Set[int], folder: Path) -> Named:
    """Find the file of every name.

    A name means a file by its path, its path relative to the table or to an input folder, or the end of its path; a
    bare name, by the name of the file with or without suffix. The first of these that fits counts, and of two names
    that fit one file the more exact one. A name with folders in it never fits another folder's file.

    The index is of the names, not of the files, which may have many forms each.

    Args:
        names: Different `canonical` names.
        inputs: All files, also those that will not be read.
        wanted: Numbers of the files that will be read: they take a name before the others.
        folder: Of the table.
    """
    place = {name: k for k, name in enumerate(names) if name}
    depths = sorted({name.count("/") for name in names if "/" in name})
    result, rank, settled = Named(), NumberMap(), NumberSet()
    for way in (_ABSOLUTE, _RELATIVE, *([_END] if depths else []), _NAME, _STEM):
        hits, more = NumberMap(), dict[int, list[int]]()
        forms = _Forms(way, folder, depths, any(name.startswith("../") for name in names))
        for item in inputs:
            for form in forms.of(item):
                k = place.get(form)
                if k is not None and k not in settled:
                    had = more.get(k, [hits.setdefault(k, item.number)])
                    if had[-1] != item.number:
                        more[k] = [*had, item.number]
        for k, hit in hits.items():
            settled.add(k)
            several = more.get(k, [hit])
            mine = [n for n in several if n in wanted] or several
            if len(mine) > 1:
                result.ambiguous += [k] if mine[0] in wanted else []
                continue
            (number,) = mine
            if number not in rank:
                rank[number], result.key_of[number] = way, k
                result.used.add(k)
            elif rank[number] == way:
                result.same[k] = result.key_of[number]
                result.used.add(k)
        if len(settled) == len(place):
            break
    return result


def by_stem(inputs: Iterable[Input], wanted: Set[int]) -> Mapping[str, list[int]]:
    """The files that will be read, by name without suffix."""
    found: dict[str, list[int]] = {}
    for item in inputs:
        if item.number in wanted:
            found.setdefault(stem(_full(item).rsplit("/", 1)[-1]), []).append(item.number)
    return found


@dataclass
class _Forms:
    way: int
    folder: Path
    depths: Sequence[int]
    climbs: bool  # names that begin with ..

    def of(self, item: Input) -> Iterator[str]:
        """What a table may call the file in this way."""
        path = _full(item)
        if self.way == _ABSOLUTE:
            yield path
            beside = f"{self.folder.as_posix()}/"
            if path.startswith(beside):
                yield path[len(beside) :]
            elif self.climbs:
                yield Path(os.path.relpath(path, self.folder)).as_posix()
        elif self.way == _RELATIVE:
            yield item.relative
            if item.member:
                yield item.member
        elif self.way == _END:
            for form in dict.fromkeys((path, stem(path))):
                parts = form.split("/")
                yield from ("/".join(parts[-depth - 1 :]) for depth in self.depths if depth + 1 < len(parts))
        else:
            name = path.rsplit("/", 1)[-1]
            yield name if self.way == _NAME else stem(name)


def _full(item: Input) -> str:
    path = item.name.replace(os.sep, "/")
    return posixpath.normpath(path) if "/../" in path else path
