"""What a stream of synthetic images can be asked for."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from numbers import Real
from typing import Any, Literal

from pydantic import Field, field_validator

from medsyn.config import Strict
from medsyn.config.forms import Device


class StreamOptions(Strict):
    """Options of `medsyn.SyntheticStream`."""

    checkpoint: str | None = Field(None, description="folder or name; default: the newest")
    balance: Literal["equal", "match"] | dict[str, float] = "equal"
    seed: int = Field(0, ge=0)
    truncation: float = Field(1.0, gt=0, le=1, description="factor of the noise")
    select: bool = Field(True, description="leave out what `medsyn augment` would")
    max_tries: int = Field(10, ge=1, description="candidates in a row that may be left out, per batch")
    device: Device = "auto"

    @field_validator("balance", mode="before")
    @classmethod
    def _weighed(cls, given: Any) -> Any:
        weights = list(given.values()) if isinstance(given, Mapping) else []
        numbers = all(isinstance(w, Real) and isfinite(w) and float(w) >= 0 for w in weights)
        if given not in ("equal", "match") and not (numbers and any(weights)):
            raise ValueError(
                'say "equal", "match" (as in the real images) or a weight for each class, as in '
                '{"nodule": 3, "normal": 1}: none below 0, one above'
            )
        return given
