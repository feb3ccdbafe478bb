"""What `medsyn verify` can be asked for."""

from __future__ import annotations

from pydantic import Field

from medsyn.config import Strict
from medsyn.config.forms import Device


class VerifyOptions(Strict):
    """Options of ``medsyn verify``."""

    synthetic: str | None = Field(None, description="folder or name; default: the newest")
    generator: str | None = Field(None, description="folder or name; default: found by the digest that the set names")
    share: float = Field(0.01, gt=0, le=1, description="of the images that are made again, at least 10")
    seed: int = Field(0, ge=0, description="which images these are")
    device: Device | None = Field(None, description="default: the kind that made the set, where it is here")
