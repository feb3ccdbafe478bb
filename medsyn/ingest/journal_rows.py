"""What the journal holds, as Python values and as SQLite's."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from medsyn.data.schema import ImageRecord
from medsyn.ingest.deidentify import Covariates
from medsyn.ingest.labels import LabelRow, Target
from medsyn.ingest.source import Probe, Refused
from medsyn.ingest.subjects import Claim

RECORD = [f.name for f in fields(ImageRecord) if f.name != "source"]
"""Columns of an image: all that an `ImageRecord` holds but its input."""
JSON = ("orientation", "targets")
"""Those of them that are kept as JSON."""
FLAGS = ("inverted", "synthetic", "has_mask")
"""Those of them that are 0 or 1."""


@dataclass
class Stored:
    """One image as it was read, and what else is known of its input."""

    id: int
    record: ImageRecord
    pixels: np.ndarray | None  # None: they are image `image` of dataset `dataset`
    mask: np.ndarray | None
    thumbnail: np.ndarray
    dataset: str | None
    image: int | None
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


def columns(record: ImageRecord) -> list[Any]:
    values = {name: getattr(record, name) for name in RECORD}
    for name in JSON:
        values[name] = None if values[name] is None else json.dumps(values[name])
    return list(values.values())


def path_bytes(name: str) -> bytes:
    """A path as bytes: names that are not UTF-8 exist."""
    return name.encode("utf-8", "surrogateescape")


def path_name(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def refusal(refused: Refused | None) -> str | None:
    return None if refused is None else json.dumps([refused.reason, refused.detail, refused.outcome])
