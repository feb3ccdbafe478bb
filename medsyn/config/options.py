"""The options of every stage."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from medsyn.config.checked import Strict
from medsyn.config.forms import Cluster, Device, LabelFrom, MaskRule, Name, Slices, Window, named_values, search_keys
from medsyn.config.presets import Modality

Balance = Literal["match", "equal", "minority"]
Measure = Literal["auroc", "auprc", "balanced_accuracy", "accuracy", "f1", "brier"]


class OnCluster(Strict):
    """What stages have in common whose work a cluster may do."""

    cluster: Cluster | None = Field(None, description="Dask scheduler whose workers do the work: tcp://scheduler:8786")

    @model_validator(mode="before")
    @classmethod
    def _cluster_alone(cls, given: Any) -> Any:
        """Workers of a cluster are as many as there are, and compute on CPUs."""
        if not isinstance(given, dict) or given.get("cluster") is None:
            return given
        if given.get("workers") is not None:
            raise ValueError("workers are processes of this machine: leave workers or cluster out")
        if given.get("device", "auto") not in ("auto", "cpu"):
            raise ValueError(f"a cluster computes on CPUs, not on {given['device']}: leave device or cluster out")
        return {**given, "device": "cpu"} if "device" in cls.model_fields else given


class IngestOptions(OnCluster):
    """Options of ``medsyn ingest``."""

    paths: list[str] = Field(
        default_factory=list,
        description="files, folders and DICOMweb services; none: the built-in sample, of xray or mri",
    )
    query: dict[str, str] = Field(default={}, description="what of the services: DICOM keyword -> value")
    limit: int | None = Field(None, ge=1, description="instances of each service at most")
    labels: str | None = Field(None, description="CSV or Parquet: a row for each file, series, study or patient")
    label_columns: list[str] = Field(
        default=["label"], min_length=1, description="the first is the class, the others are further targets"
    )
    label_from: LabelFrom | None = Field(None, description="instead of a CSV: folder, or tag:KEYWORD of DICOM")
    label_map: dict[str, str] = Field(default={}, description="label as written -> class; '' drops it")
    classes: list[str] | None = Field(
        None, min_length=2, description="the classes there are, in order; default: sorted"
    )
    file_column: str | None = Field(None, description="column that names the files; default: found")
    subject_from: str | None = Field(
        None, description="column with the patient, file, folder or folder:N; default: found"
    )
    mask_label: MaskRule | None = Field(None, description="slices by their mask: lesion>0")
    modality: Modality | None = Field(None, description="found by itself in DICOM")
    name: Name | None = Field(None, description="name of the dataset, added to where it exists; default: the modality")
    size: int | None = Field(None, ge=16, le=1024, description="side of the stored images; default: the preset's")
    window: Window | None = Field(None, description="of CT: lung, soft, brain, bone, or centre,width")
    slices: Slices = Field("all", description="of volumes: all, middle, or every=N")
    colour: Literal["grey", "rgb"] | None = Field(None, description="of colour images; default: the preset's")
    allow_burned_in: bool = Field(False, description="take images whose header says that text is burned in")
    show_paths: bool = Field(False, description="name files by path instead of by ledger number")
    max_failures: float = Field(0.05, ge=0, le=1, description="share of the files that may fail")
    max_pixels: int = Field(2**28, ge=2**16, description="values of one file above which its header counts as a lie")
    workers: int | None = Field(None, ge=1, description="processes; default: the cores")
    seed: int = Field(0, ge=0, description="of the built-in sample")
    sample_subjects: int = Field(300, ge=30, description="simulated patients of the built-in sample")

    @field_validator("classes", mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        return [part.strip() for part in value.split(",")] if isinstance(value, str) else value

    @field_validator("label_columns", mode="before")
    @classmethod
    def _one_column(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @field_validator("label_map", mode="before")
    @classmethod
    def _pairs(cls, value: object) -> object:
        return named_values(value, "say written=class, as in --map pos=pneumonia")

    @field_validator("query", mode="before")
    @classmethod
    def _searched(cls, value: object) -> object:
        return search_keys(value)


class TrainOptions(Strict):
    """Options of ``medsyn train-gan``."""

    modality: Modality | None = None
    dataset: str | None = Field(None, description="folder or name; default: the newest of the modality")
    budget: str = Field("10m", description="time or images: 90s, 10m, 2h, 50kimg")
    recipe: str = Field("latent-r3gan", description="a name in medsyn.gan.recipes")
    knobs: dict[str, str | float] = Field(default={}, description="parts of the plan to replace, such as gamma")
    init_from: str | None = Field(None, description="checkpoint whose weights the training starts with")
    diffaugment: Literal["off", "adapt", "preset"] = Field(
        "off", description="augment real and generated alike, as the preset says: never, as needed, or always"
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="of the networks while they train; auto: bfloat16 where the processor computes in it"
    )
    resume: bool = False
    allow_synthetic: bool = Field(False, description="learn from synthetic images of the dataset, too")
    seed: int = Field(0, ge=0)
    device: Device = "auto"
    batch: int | None = Field(None, ge=4, description="images a step; default: as the plan says")
    threads: int | None = Field(None, ge=1)

    @field_validator("budget")
    @classmethod
    def _budget(cls, value: str) -> str:
        parse_budget(value)
        return value

    @field_validator("knobs", mode="before")
    @classmethod
    def _pairs(cls, value: object) -> object:
        return named_values(value, "say knob=value, as in --set gamma=0.2")


class AugmentOptions(OnCluster):
    """Options of ``medsyn augment``."""

    n: int = Field(1000, ge=1, description="images in all; default, where `balance` counts them: their sum")
    modality: Modality | None = None
    generator: str | None = Field(None, description="folder or name; default: the newest of the modality")
    balance: Balance | dict[str, int] = Field(
        "match", description="match, equal or minority, or images of each class: nodule=3000,normal=2000"
    )
    truncation: float = Field(
        1.0, gt=0, le=1, description="factor of the noise: below 1, more typical images and fewer kinds"
    )
    seed: int = Field(0, ge=0)
    formats: list[Literal["png", "dicom", "nifti", "npz"]] = Field(default=["png", "npz"], min_length=1)
    bits: Literal[8, 16] = Field(8, description="of a pixel; colour has 8, but for npz")
    keep_all: bool = Field(False, description="no selection: every candidate is kept")
    max_tries: int = Field(10, ge=1, description="candidates of a class at most, per image that is wanted")
    allow_short: bool = Field(False, description="fewer images than asked for are no error")
    show_real: bool = Field(False, description="contact sheets beside real patients, kept out of the set")
    to: str | None = Field(None, description="DICOMweb address that the set is sent to, as DICOM")
    batch_size: int = Field(512, ge=1, description="candidates made at a time; changes no image")
    workers: int | None = Field(None, ge=1, description="processes; default: the cores, for many images on a CPU")
    yes: bool = Field(False, description="go on where the disk seems too small")
    device: Device = "auto"
    threads: int | None = Field(None, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _listed(cls, given: Any) -> Any:
        """Formats that stand in one word, each once; with DICOM where the set is to be sent: a PACS takes no other."""
        formats = given.get("formats") or cls.model_fields["formats"].default
        if not isinstance(formats, str | list | tuple):
            return given
        words = [formats] if isinstance(formats, str) else formats
        parts = [part.strip() for word in words for part in str(word).split(",") if part.strip()]
        return {**given, "formats": list(dict.fromkeys([*parts, *["dicom"] * bool(given.get("to"))]))}

    @model_validator(mode="before")
    @classmethod
    def _counted(cls, given: Any) -> Any:
        """Images of each class, where ``balance`` counts them, and their sum as ``n``."""
        balance, form = given.get("balance"), "say class=images, as in --balance nodule=3000,normal=2000"
        if isinstance(balance, str) and balance not in get_args(Balance):
            parts = [part.strip() for part in balance.split(",") if part.strip()]
            if not any("=" in part for part in parts):
                raise ValueError(f"balance is match, equal, minority or counts of classes: {form} (given: {balance!r})")
            balance = named_values(parts, form)
            if isinstance(balance, dict) and len(balance) < len(parts):
                raise ValueError("balance counts a class twice")
        if not isinstance(balance, Mapping):
            return given
        try:
            counts = {name: int(str(number)) for name, number in balance.items()}
        except ValueError:
            raise ValueError(form) from None
        total = sum(counts.values())
        if min(counts.values(), default=0) < 0 or not total:
            raise ValueError("balance needs numbers of images, none below 0 and one above")
        if given.get("n") not in (None, total):
            raise ValueError(f"balance counts {total} images and n says {given['n']}: leave one out")
        return {**given, "balance": counts, "n": total}


class EvaluateOptions(OnCluster):
    """Options of ``medsyn evaluate``."""

    modality: Modality | None = None
    dataset: str | None = Field(None, description="folder or name; default: the one the generator learnt from")
    synthetic: str | None = Field(None, description="folder, name, or a foreign set; default: the newest")
    synthetic_labels: str | None = Field(None, description="CSV with file and label of a foreign synthetic set")
    external: str | None = Field(None, description="dataset from elsewhere, tested on beside the own test split")
    split: str | None = Field(None, description="CSV or Parquet with the user's own split")
    extractor: str = Field("imagenet", description="of features: imagenet, or module:factory")

    classifiers: list[str] = Field(default=["cnn"], min_length=1)
    primary: str = Field("cnn", description="the classifier that the verdict is about; default: the first")
    ratios: list[float] = Field(
        default=[0.25, 0.5, 1.0, 2.0, 5.0], min_length=1, description="synthetic images per real one"
    )
    classical: Literal["both", "with", "without"] = Field(
        "both", description="synthetic arms with classical augmentation, without, or both"
    )
    seeds: int = Field(5, ge=2)
    screen: int = Field(2, ge=1, description="of the seeds: those by which arms are chosen on val")
    quick: bool = Field(False, description="two seeds: a first look that decides nothing")
    test_arms: Literal["chosen", "all"] = Field("chosen", description="arms that are opened on test")
    steps: int = Field(800, ge=1, description="optimiser steps of every arm")
    batch: int = Field(64, ge=2)

    fractions: list[float] = Field(default=[], description="learning curve: shares of the development subjects")
    rare: dict[str, int] = Field(default={}, description="class -> subjects that it has in training")
    train_subjects: int | None = Field(None, ge=10, description="subjects in training, all classes together")
    val_share: float = Field(
        0.2, gt=0, le=1, description="of --rare and --train-subjects: val subjects per training one"
    )
    folds: int | None = Field(None, ge=2, le=20, description="grouped cross-validation, for tiny cohorts")
    regenerate: bool = Field(False, description="train a generator anew for every repeat")
    generator_budget: str = Field("60kimg", description="of each of them: images, or (less repeatable) time")
    balance: Balance = Field("equal", description="classes of their synthetic images: match, equal or minority")

    measure: Measure = Field("auroc", description="primary endpoint")
    margin: float = Field(0.01, gt=0, lt=0.5, description="differences smaller than this count as none")
    specificity: float = Field(0.9, gt=0, lt=1, description="at which sensitivity is told")
    sensitivity: float = Field(0.9, gt=0, lt=1, description="at which specificity is told")
    prevalence: float | None = Field(None, gt=0, lt=1, description="for PPV and NPV; default: that of test")
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

    @field_validator("fractions")
    @classmethod
    def _shares(cls, value: list[float]) -> list[float]:
        if any(not 0 < f <= 1 for f in value):
            raise ValueError("every fraction must lie above 0 and at most at 1")
        return sorted(set(value))

    @field_validator("rare", mode="before")
    @classmethod
    def _from_pairs(cls, value: object) -> object:
        if not isinstance(value, list):
            return value
        if any(not re.fullmatch(r".+=\d+", str(pair)) for pair in value):
            raise ValueError("write class=number, such as normal=15")
        return {str(pair).rpartition("=")[0]: int(str(pair).rpartition("=")[2]) for pair in value}

    @field_validator("rare")
    @classmethod
    def _some(cls, value: dict[str, int]) -> dict[str, int]:
        if any(n < 3 for n in value.values()):
            raise ValueError("a class needs 3 subjects in training at least")
        return value

    @field_validator("generator_budget")
    @classmethod
    def _budget(cls, value: str) -> str:
        parse_budget(value)
        return value

    @model_validator(mode="before")
    @classmethod
    def _implied(cls, values: Any) -> Any:
        """What one option says about others: so that the settings shown are the settings in force."""
        if not isinstance(values, dict):
            return values
        values = dict(values)
        if values.get("primary") is None and values.get("classifiers"):
            values["primary"] = values["classifiers"][0]
        values.setdefault("primary", "cnn")
        if values.get("quick"):
            if values.get("seeds", 2) != 2:
                raise ValueError("quick means 2 seeds: leave one of them out")
            values |= {"seeds": 2, "screen": 2}
        if any(values.get(key) for key in ("fractions", "rare", "train_subjects", "folds")):
            values["regenerate"] = True
        return values

    @model_validator(mode="after")
    def _fits_together(self) -> EvaluateOptions:
        if self.primary not in self.classifiers:
            raise ValueError(f"primary '{self.primary}' is not among the classifiers {self.classifiers}")
        named = [
            name
            for name, given in (
                ("fractions", self.fractions),
                ("rare or train_subjects", self.rare or self.train_subjects),
                ("folds", self.folds),
            )
            if given
        ]
        if self.screen > self.seeds:
            raise ValueError(f"screen: {self.screen} of {self.seeds} seeds cannot choose; give at most {self.seeds}")
        if len(named) > 1:
            raise ValueError(f"{' and '.join(named)} cannot be combined: one setting at a time")
        if self.folds and (self.external or self.split):
            raise ValueError("folds go over all images: leave external and split out")
        return self


STAGES: dict[str, type[Strict]] = {
    "ingest": IngestOptions,
    "train-gan": TrainOptions,
    "augment": AugmentOptions,
    "evaluate": EvaluateOptions,
}


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
