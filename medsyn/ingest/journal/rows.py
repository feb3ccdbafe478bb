"""What the journal holds, as Python values and as SQLite's."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import numpy as np

from medsyn.ingest.block import Columns
from medsyn.ingest.deidentify import Covariates
from medsyn.ingest.labels import LabelRow, Target
from medsyn.ingest.source import Probe, Refused
from medsyn.ingest.subjects import Claim


@dataclass
class Stored:
    """Images as they were read from one file, and what else is known of it."""

    block: int
    columns: Columns
    pixels: np.ndarray | None  # [n, C, H, W]; None: they are in `kept`
    masks: np.ndarray | None  # [n, H, W]
    thumbnails: np.ndarray
    kept: list[tuple[str, int]]  # dataset and image of each
    kind: str
    subject_from: str
    warnings: list[str]
    row: LabelRow | None
    claim: Claim | None
    label_map: dict[str, str]


def probe_of(number: int, path: bytes, member: bytes, facts: str, part: int | None, slice_index: int | None) -> Probe:
    found = Probe(number, path_name(path), path_name(member) or None, **json.loads(facts))
    found.orientation, found.slice_index = tuple(found.orientation), slice_index
    found.part = part or 0
    return found


def label_row(text: str) -> LabelRow:
    values = json.loads(text)
    targets = {name: Target(*target) for name, target in values["targets"].items()}
    return LabelRow(**{**values, "covariates": Covariates(**values["covariates"]), "targets": targets})


def path_bytes(name: str) -> bytes:
    """A path as bytes: names that are not UTF-8 exist."""
    return name.encode("utf-8", "surrogateescape")


def path_name(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def refusal(refused: Refused | None) -> str | None:
    return None if refused is None else json.dumps([refused.reason, refused.detail, refused.outcome])
