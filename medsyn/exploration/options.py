"""What `medsyn explore` can be asked for."""

from __future__ import annotations

from pydantic import Field

from medsyn.config import Modality, Strict
from medsyn.config.forms import Device


class ExploreOptions(Strict):
    """Options of ``medsyn explore``."""

    generator: str | None = Field(None, description="folder or name; default: the newest of the modality")
    modality: Modality | None = None
    seed: int = Field(0, ge=0, description="the first of the seeds that are shown")
    columns: int = Field(8, ge=2, le=16, description="seeds beside each other")
    frames: int = Field(12, ge=2, le=60, description="of an animation, from one image to the next")
    out: str | None = Field(None, description="folder of the pictures; default: in the workspace")
    device: Device = "auto"
    threads: int | None = Field(None, ge=1)
