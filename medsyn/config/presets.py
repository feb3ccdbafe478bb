"""What the anatomy and the physics of a modality ask for."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Literal, get_args

from pydantic import Field, model_validator

from medsyn.config.checked import Strict, read_yaml, validate
from medsyn.errors import UsageError

Modality = Literal["xray", "mri", "ct", "ultrasound", "mammography", "angiography", "nuclear"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)


class Augmentation(Strict):
    """Strength of classical augmentation; each draw is uniform in plus or minus the value."""

    flip: bool
    rotate_degrees: float = Field(ge=0, le=180)
    translate: float = Field(ge=0, le=0.5, description="fraction of the image side")
    zoom: float = Field(ge=0, le=0.5, description="fraction")
    contrast: float = Field(ge=0, le=1, description="fraction of gain and of offset/2")


class Preset(Strict):
    """What one modality needs; read from ``configs/<modality>.yaml``."""

    modality: Modality
    dicom_modalities: list[str] = Field(description="values of Modality (0008,0060) that belong here")
    size: int = Field(ge=16, le=1024, description="side of stored images in pixels")
    storage: Literal["uint16", "hounsfield"]
    percentiles: tuple[float, float] | None = Field(None, description="display range where no window is stated")
    window: tuple[float, float] | None = Field(None, description="centre and width, applied to all on read")
    colour: Literal["grey", "rgb"] = Field("grey", description="what becomes of colour images: luminance, or kept")
    orientation: Literal["as_acquired", "axial"] = Field(description="along which axis volumes are cut into slices")
    augmentation: Augmentation
    diffaugment: list[Literal["flip", "translation", "brightness", "contrast", "cutout"]]

    @model_validator(mode="after")
    def _one_display_rule(self) -> Preset:
        if (self.percentiles is None) == (self.window is None):
            raise ValueError("give percentiles or window, one of the two")
        return self


def shipped(folder: Literal["configs", "pipelines"]) -> Path:
    """Where the presets or pipelines lie: in the installed package, or beside it in a checkout."""
    inside = Path(str(resources.files("medsyn"))) / folder
    return inside if inside.is_dir() else Path(__file__).parents[2] / folder


def load_preset(modality: str) -> Preset:
    """Read the shipped preset of a modality.

    Args:
        modality: One of `MODALITIES`.

    Raises:
        UsageError: Unknown modality, or the installed preset has an unknown or wrong key.
    """
    if modality not in MODALITIES:
        raise UsageError(
            f"unknown modality '{modality}'", where="--modality", mend=f"Use one of {', '.join(MODALITIES)}."
        )
    return read_preset(shipped("configs") / f"{modality}.yaml")


def read_preset(file: Path) -> Preset:
    """Read a preset from a file.

    Raises:
        UsageError: It is unreadable, or has an unknown or wrong key.
    """
    return validate(Preset, read_yaml(file), where=str(file))
