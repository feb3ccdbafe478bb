"""BIDS: what the folders and ``participants.tsv`` say of patients and labels.

Specification: https://bids-specification.readthedocs.io (1.10), "Participants file" and "Filesystem structure".
Sessions belong to their participant; ``sub-*_sessions.tsv`` is not read.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from medsyn.data import tables
from medsyn.ingest.deidentify import keyed
from medsyn.ingest.labels.table import LabelTable

if TYPE_CHECKING:
    from medsyn.ingest.scan import Input

PARTICIPANTS, DESCRIPTION = "participants.tsv", "dataset_description.json"
_ID = "participant_id"
_LABEL_COLUMNS = ("label", "diagnosis", "group", "dx", "diagnostic_group", "condition")
_NOT_RAW = frozenset({"derivatives", "sourcedata", "code", "stimuli"})
_LEVELS = 6  # derivatives/<pipeline>/sub-/ses-/anat below the root


@dataclass
class BidsSet:
    """One BIDS dataset.

    Attributes:
        root: Its folder.
        name: From its description: participants of two datasets are not one person.
        table: ``participants.tsv``, where it is to say something.
    """

    root: str
    name: str
    table: LabelTable | None = None
    told: list[str] = field(default_factory=list)

    def participant(self, item: Input) -> str | None:
        """``sub-XX`` of a file of this dataset."""
        parts = item.path[len(self.root) + 1 :].replace(os.sep, "/").split("/")[:-1]
        return next((part for part in parts if re.fullmatch(r"sub-[A-Za-z0-9+]+", part)), None)

    def subject(self, participant: str, key: bytes) -> str:
        """Keyed name of a participant."""
        return keyed(key, "subject", self.name and f"BIDS {self.name}", participant)

    def holds(self, item: Input) -> bool:
        """Whether a file lies in this dataset."""
        return item.path.startswith(self.root + os.sep)

    def not_raw(self, item: Input) -> bool:
        """Whether a file was made from others of this dataset, or before them, and its folder was not named itself."""
        first = item.path[len(self.root) + 1 :].split(os.sep, 1)[0]
        return first in _NOT_RAW and not item.root.startswith(os.path.join(self.root, first))


def find(
    paths: Sequence[str], label_columns: Sequence[str], *, chosen: bool, labelled: bool, **more: object
) -> list[BidsSet]:
    """The BIDS datasets that the paths are, or lie in.

    Args:
        paths: As the user named them.
        label_columns: Columns with the class and further targets.
        chosen: Whether the user named these columns.
        labelled: Whether ``participants.tsv`` is to give the class.
        more: For `LabelTable.open`: ``label_map`` and ``classes``.

    Raises:
        DataError: ``participants.tsv`` cannot be read, or lacks a column that the user named.
    """
    roots = dict.fromkeys(root for path in paths if (root := _root(Path(path).absolute())))
    return [_open(root, label_columns, chosen, labelled, more) for root in roots]


def _root(path: Path) -> Path | None:
    """The folder of the dataset: the nearest with participants, else the nearest with a description."""
    levels = [folder for folder in (path, *path.parents)[: _LEVELS + 1] if folder.is_dir()]
    for marker in (PARTICIPANTS, DESCRIPTION):
        for folder in levels:
            if (folder / marker).is_file() and any(sub.is_dir() for sub in folder.glob("sub-*")):
                return folder
    return None


def _open(root: Path, label_columns: Sequence[str], chosen: bool, labelled: bool, more: dict[str, object]) -> BidsSet:
    made = BidsSet(os.path.normpath(root), _name(root / DESCRIPTION))
    file = root / PARTICIPANTS
    if not file.is_file():
        made.told.append("BIDS: no participants.tsv; sub-* folders are taken for patients")
        return made
    columns = list(tables.read_frame(file, PARTICIPANTS).columns)
    if _ID not in columns:
        made.told.append(f"BIDS: participants.tsv has no column '{_ID}' and is not used")
        return made
    usual = [c for c in columns if c.lower() in _LABEL_COLUMNS]
    if labelled and not chosen:
        label_columns = ["label"] if "label" in columns else usual if len(usual) == 1 else []
    if labelled and not label_columns:
        others = ", ".join(c for c in columns if c != _ID)
        made.told.append(
            f"BIDS: no one column of participants.tsv is clearly the class: say --label-column (there are: {others})"
        )
        labelled = False
    elif not labelled and not chosen:
        label_columns = []
    made.table = LabelTable.open(
        file,
        label_columns,
        class_column=labelled,
        file_column=_ID,
        subject_column=_ID,
        **(more if labelled else {}),  # type: ignore[arg-type]
    )
    what = f"column '{label_columns[0]}' is the class" if labelled else "covariates"
    made.told.append(f"BIDS: participants.tsv is used ({what}); sub-* folders are patients")
    return made


def _name(description: Path) -> str:
    try:
        return str(json.loads(description.read_text(encoding="utf-8")).get("Name", "")).strip()
    except (OSError, ValueError, AttributeError):
        return ""
