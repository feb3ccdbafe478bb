"""What a written label means: a class, nothing, or a doubt."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from medsyn.data.tables import MISSING
from medsyn.errors import UsageError
from medsyn.ingest.deidentify import Covariates

State = Literal["known", "missing", "uncertain"]

_DOUBTS = frozenset({"uncertain", "unsure", "equivocal", "indeterminate"})
"""Words, in lower case, that say that nobody knows."""
_TERNARY = ({"-1", "0", "1"}, {"-1.0", "0.0", "1.0"})


class Target(NamedTuple):
    """One label of one image."""

    value: str | None
    state: State


NOTHING = Target(None, "missing")


@dataclass(frozen=True, slots=True)
class LabelRow:
    """What is said of one file.

    Attributes:
        label: Its class, None where it is missing or uncertain.
        subject: Keyed name of the patient, None where the table has none of its own.
        targets: Further label columns; shared between rows, not to be changed.
        official_split: ``train``, ``val`` or ``test`` where the folders are a whole official split.
    """

    label: str | None = None
    state: State = "missing"
    subject: str | None = None
    covariates: Covariates = field(default_factory=Covariates)
    targets: Mapping[str, Target] = field(default_factory=dict)
    official_split: str | None = None


@dataclass
class Joined:
    """Files and what is said of them.

    Attributes:
        rows: Ledger number -> row.
        unmatched: Rows of a table that fit no file.
        told: Choices made by itself, one sentence each.
        caveats: What every later report must repeat.
        where: What gave the labels, for messages.
        labelled: Whether it was to give labels; if so, files without one are left out.
    """

    rows: Mapping[int, LabelRow] = field(default_factory=dict)
    unmatched: int = 0
    told: list[str] = field(default_factory=list)
    caveats: list[str] = field(default_factory=list)
    where: str = ""
    labelled: bool = True


def meaning(written: Iterable[str], label_map: Mapping[str, str], classes: Collection[str]) -> dict[str, Target]:
    """Written label -> target, for all labels of one column.

    A word such as ``uncertain`` is a doubt unless it is a class by name. ``-1`` is one where the column holds -1, 0
    and 1 and nothing else, as in CheXpert; in a column of -1 and 1 it is most likely the negative class.

    Args:
        written: The different values of the column.
        label_map: Of ``--map``, applied first; ``''`` drops a label.
        classes: Of ``--classes``, or empty: names of classes are never doubts.
    """
    texts = {text: text.strip() for text in written}
    known = {text for text in texts.values() if text.lower() not in MISSING}
    doubt = "-1.0" if known == _TERNARY[1] else "-1" if known == _TERNARY[0] else None
    named = {*classes, *filter(None, label_map.values())}
    result = {}
    for text, plain in texts.items():
        if plain in label_map:
            result[text] = Target(label_map[plain], "known") if label_map[plain] else NOTHING
        elif plain in named:
            result[text] = Target(plain, "known")
        elif plain.lower() in MISSING:
            result[text] = NOTHING
        elif plain == doubt or plain.lower() in _DOUBTS:
            result[text] = Target(None, "uncertain")
        else:
            result[text] = Target(plain, "known")
    return result


def check_map(label_map: Mapping[str, str], written: Collection[str], where: str, *, show: bool) -> None:
    """Refuse a label in ``--map`` that does not occur: most likely a typing error.

    Args:
        label_map: Of ``--map``.
        written: The labels that occur.
        where: What holds them.
        show: Whether they may be named: a table's may, a header's may not.

    Raises:
        UsageError: There is one.
    """
    there = {text.strip() for text in written}
    unknown = [f"'{text}'" for text in label_map if text not in there]
    if unknown:
        some = [f"'{text}'" for text in sorted(there - {""})]
        listed = f"There are: {', '.join(some[:20])}{', ...' if len(some) > 20 else ''}." if show else ""
        raise UsageError(
            f"--map {', '.join(unknown)}: no such label occurs", where=where, mend=listed or "Check how it is written."
        )
