"""The options of every stage, and the presets of every modality."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from medsyn.errors import UsageError

Modality = Literal["xray", "mri", "ct", "ultrasound"]
MODALITIES: tuple[Modality, ...] = ("xray", "mri", "ct", "ultrasound")
Balance = Literal["match", "equal", "minority"]
Device = Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


# ---- presets: what the anatomy and the physics of a modality ask for


class Augmentation(_Strict):
    """Strength of classical augmentation; each draw is uniform in plus or minus the value."""

    flip: bool
    rotate_degrees: float = Field(ge=0, le=180)
    translate: float = Field(ge=0, le=0.5, description="fraction of the image side")
    zoom: float = Field(ge=0, le=0.5, description="fraction")
    contrast: float = Field(ge=0, le=1, description="fraction of gain and of offset/2")


class Preset(_Strict):
    """What one modality needs; read from ``configs/<modality>.yaml``."""

    modality: Modality
    dicom_modalities: list[str] = Field(description="values of Modality (0008,0060) that belong here")
    size: int = Field(ge=16, le=1024, description="side of stored images in pixels")
    storage: Literal["uint16", "hounsfield"]
    percentiles: tuple[float, float] | None = Field(None, description="display range where no window is stated")
    window: tuple[float, float] | None = Field(None, description="centre and width, applied to all on read")
    orientation: Literal["as_acquired", "axial"] = Field(description="along which axis volumes are cut into slices")
    augmentation: Augmentation
    diffaugment: list[Literal["flip", "translation", "brightness", "contrast", "cutout"]]

    @model_validator(mode="after")
    def _one_display_rule(self) -> Preset:
        if (self.percentiles is None) == (self.window is None):
            raise ValueError("give percentiles or window, one of the two")
        return self


# ---- stages


class IngestOptions(_Strict):
    """Options of ``medsyn ingest``."""

    paths: list[str] = Field(default_factory=list, description="files and folders; none: the built-in sample")
    labels: str | None = Field(None, description="CSV with one row an image")
    label_column: str = "label"
    classes: list[str] | None = Field(
        None, min_length=2, description="the classes there are, in order; default: sorted"
    )
    file_column: str | None = Field(None, description="column with the file name; found by itself when not given")
    subject_column: str | None = Field(None, description="column with the patient; found by itself when not given")
    modality: Modality | None = Field(None, description="found by itself in DICOM")
    name: Name | None = Field(None, description="name of the dataset; default: the modality")
    size: int | None = Field(None, ge=16, le=1024)
    workers: int | None = Field(None, ge=1)
    seed: int = Field(0, ge=0, description="of the built-in sample")
    sample_subjects: int = Field(300, ge=30, description="simulated patients of the built-in sample")

    @field_validator("classes", mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


class TrainOptions(_Strict):
    """Options of ``medsyn train-gan``."""

    modality: Modality | None = None
    dataset: str | None = Field(None, description="folder or name; default: the newest of the modality")
    budget: str = Field("10m", description="time or images: 90s, 10m, 2h, 50kimg")
    recipe: Literal["latent-r3gan"] = "latent-r3gan"
    diffaugment: Literal["off", "preset"] = Field("off", description="augment real and generated alike, as preset says")
    resume: bool = False
    seed: int = Field(0, ge=0)
    device: Device = "auto"
    batch: int = Field(64, ge=4)
    threads: int | None = Field(None, ge=1)

    @field_validator("budget")
    @classmethod
    def _budget(cls, value: str) -> str:
        parse_budget(value)
        return value


class AugmentOptions(_Strict):
    """Options of ``medsyn augment``."""

    n: int = Field(1000, ge=1)
    modality: Modality | None = None
    generator: str | None = Field(None, description="folder or name; default: the newest of the modality")
    balance: Balance = "match"
    seed: int = Field(0, ge=0)
    formats: list[Literal["png", "npz"]] = Field(default=["png", "npz"], min_length=1)
    device: Device = "auto"
    threads: int | None = Field(None, ge=1)


class EvaluateOptions(_Strict):
    """Options of ``medsyn evaluate``."""

    modality: Modality | None = None
    dataset: str | None = Field(None, description="folder or name; default: the one the generator learnt from")
    synthetic: str | None = Field(None, description="folder or name; default: the newest of the modality")
    ratios: list[float] = Field(default=[0.5, 1.0], min_length=1, description="synthetic images per real one")
    classifiers: list[Literal["probe", "cnn"]] = Field(default=["probe", "cnn"], min_length=1)
    primary: Literal["probe", "cnn"] = Field("cnn", description="the classifier that the verdict is about")
    seeds: int = Field(3, ge=2)
    steps: int = Field(1500, ge=1, description="optimiser steps of every arm")
    batch: int = Field(64, ge=2)
    bootstrap: int = Field(1000, ge=100)
    seed: int = Field(0, ge=0)
    device: Device = "auto"
    threads: int | None = Field(None, ge=1)

    @field_validator("ratios")
    @classmethod
    def _positive(cls, value: list[float]) -> list[float]:
        if any(not 0 < r <= 100 for r in value):
            raise ValueError("every ratio must lie above 0 and at most at 100")
        return sorted(set(value))

    @model_validator(mode="after")
    def _primary_runs(self) -> EvaluateOptions:
        if self.primary not in self.classifiers:
            raise ValueError(f"primary '{self.primary}' is not among the classifiers {self.classifiers}")
        return self


STAGES: dict[str, type[_Strict]] = {
    "ingest": IngestOptions,
    "train-gan": TrainOptions,
    "augment": AugmentOptions,
    "evaluate": EvaluateOptions,
}


# ---- reading


def shipped(folder: Literal["configs", "pipelines"]) -> Path:
    """Where the presets or pipelines lie: in the installed package, or beside it in a checkout."""
    inside = Path(str(resources.files("medsyn"))) / folder
    return inside if inside.is_dir() else Path(__file__).parent.parent / folder


def load_preset(modality: str, path: Path | None = None) -> Preset:
    """Read the preset of a modality.

    Args:
        modality: One of `MODALITIES`.
        path: Another file than the shipped one.

    Raises:
        UsageError: Unknown modality, unreadable file, unknown or wrong key.
    """
    if path is None and modality not in MODALITIES:
        raise UsageError(
            f"unknown modality '{modality}'", where="--modality", mend=f"Use one of {', '.join(MODALITIES)}."
        )
    file = path or shipped("configs") / f"{modality}.yaml"
    return validate(Preset, _read_yaml(file), where=str(file))


def load_pipeline(path: str | Path) -> list[tuple[str, _Strict]]:
    """Read a pipeline: stage names with validated options, in order.

    A bare name (``demo``) or ``pipelines/demo.yaml`` that is not there means the shipped one.

    Raises:
        UsageError: No such file, unknown stage, unknown or wrong option.
    """
    file = Path(path)
    if not file.is_file() and str(file.parent) in (".", "pipelines"):
        file = shipped("pipelines") / f"{file.name.removesuffix('.yaml')}.yaml"
    if not file.is_file():
        names = ", ".join(sorted(p.stem for p in shipped("pipelines").glob("*.yaml")))
        raise UsageError("no such pipeline", where=path, mend=f"Shipped ones: {names}.")
    content = _read_yaml(file)
    unknown = set(content) - {"name", "stages"}
    if unknown or not isinstance(content.get("stages"), list):
        wrong = f"unknown key '{sorted(unknown)[0]}'" if unknown else "key 'stages' must be a list"
        raise UsageError(wrong, where=file, mend="A pipeline has 'name' and a list 'stages'.")
    stages = []
    for number, item in enumerate(content["stages"], 1):
        where = f"{file}, stage {number}"
        if not isinstance(item, dict) or len(item) != 1:
            raise UsageError("must be one stage name with its options", where=where, mend="Write '- ingest: {...}'.")
        ((name, options),) = item.items()
        if name not in STAGES:
            raise UsageError(f"unknown stage '{name}'", where=where, mend=f"Use one of {', '.join(STAGES)}.")
        stages.append((name, validate(STAGES[name], options or {}, where=f"{where} ({name})")))
    return stages


M = TypeVar("M", bound=BaseModel)


def validate(model: type[M], values: dict[str, Any], where: str) -> M:
    """Build a model, telling the first wrong key in one line.

    Raises:
        UsageError: A key is unknown, missing or has a wrong value.
    """
    try:
        return model(**values)
    except TypeError:
        raise UsageError("must be a table of keys and values", where=where) from None
    except ValidationError as error:
        # A misspelt key also leaves another one missing: the misspelt one is what to tell.
        first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = ", ".join(model.model_fields)
            raise UsageError(f"unknown key '{key}'", where=where, mend=f"Known keys: {known}.") from None
        given = f" (given: {first['input']!r:.60})" if first["type"] != "missing" and key else ""
        problem = first["msg"].removeprefix("Value error, ")
        raise UsageError(f"{key + ': ' if key else ''}{problem}{given}", where=where) from None


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot be read ({error})", where=file) from None
    except yaml.YAMLError as error:
        raise UsageError(f"is not valid YAML ({error})", where=file) from None
    if not isinstance(content, dict):
        raise UsageError("is not a table of keys and values", where=file)
    return content


def parse_budget(text: str) -> tuple[Literal["seconds", "kimg"], float]:
    """Parse ``90s``, ``10m``, ``2h`` or ``50kimg``.

    Raises:
        ValueError: Anything else.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h|kimg)", text.strip())
    if not match or float(match[1]) <= 0:
        raise ValueError(f"'{text}' is not a budget; write 90s, 10m, 2h or 50kimg")
    value, unit = float(match[1]), match[2]
    return ("kimg", value) if unit == "kimg" else ("seconds", value * {"s": 1, "m": 60, "h": 3600}[unit])
