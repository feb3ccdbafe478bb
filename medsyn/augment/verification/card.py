"""What card.json must say for a set to be verified."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from medsyn.errors import DataError
from medsyn.synthetic import SyntheticSet
from medsyn.workspace import SYNTHETIC


class Card(BaseModel):
    """The part of card.json that the rest of a set is compared with."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    classes: list[str] = Field(min_length=1)
    n: int
    images_per_class: dict[str, int]
    wanted: dict[str, int] = {}  # unknown of sets of an earlier medsyn
    judged: dict[str, int]
    rejected: dict[str, int]
    bits: Literal[8, 16]
    formats: list[str]
    seed: int = Field(ge=0)
    truncation: float = Field(gt=0, le=1)
    checkpoint_digest: str
    sums_digest: str
    made_on: dict[str, str]


def read(folder: Path) -> Card:
    """Read the card of a set.

    Raises:
        DataError: It is missing or damaged, of another schema, or lacks something.
    """
    try:
        return Card(**SyntheticSet.open(folder).card)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise DataError(f"'{key}': {first['msg']}", where=folder / SYNTHETIC.main_file) from None
