"""What an inspection finds, as plain tables; ``medsyn inspect --json`` prints exactly this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

UNLABELLED = "(no label)"
UNKNOWN = "not recorded"


@dataclass(frozen=True)
class Finding:
    """One sentence that a reader must not miss."""

    kind: str  # leak, labels, counts, confounded, brightness, pictures, inputs, caveat
    severe: bool
    sentence: str


@dataclass(frozen=True)
class ClassCount:
    """Images and split units of one class, by split; the last row may be `UNLABELLED`."""

    label: str
    images: dict[str, int]
    units: dict[str, int]


@dataclass(frozen=True)
class Bin:
    """Subjects that have so many images."""

    images: str  # "1", "3 to 5", ...
    subjects: int


@dataclass(frozen=True)
class Large:
    """A subject with very many images."""

    key: str  # the first 8 digits of its key
    images: int
    share: float  # of all images, 0..1
    split: str
    labels: list[str]


@dataclass(frozen=True)
class PerSubject:
    """How many images a subject has."""

    quartiles: list[float]  # least, lower quartile, median, upper quartile, most
    bins: list[Bin]
    largest: list[Large]


@dataclass(frozen=True)
class TargetCount:
    """A further task of targets.parquet."""

    task: str
    value: str | None
    state: str  # known, missing, uncertain
    images: int


@dataclass(frozen=True)
class Splits:
    """How the splits came about."""

    origins: dict[str, int]  # drawn, official, earlier -> units
    units: int
    joined_units: int  # units of more than one subject
    joined_subjects: int  # subjects in them


@dataclass(frozen=True)
class Leak:
    """One kind of key, looked for in more than one split."""

    what: str
    examined: int  # distinct keys
    crossing: int  # of these, in more than one split: must be 0


@dataclass(frozen=True)
class Gap:
    """The level whose share differs most between two classes."""

    level: str
    high: str  # class
    high_share: float  # 0..1
    low: str
    low_share: float

    @property
    def difference(self) -> float:
        return self.high_share - self.low_share


@dataclass(frozen=True)
class CrossTable:
    """A covariate against the classes."""

    name: str  # column
    title: str
    levels: list[str]
    images: dict[str, list[int]]  # class -> images by level
    cramers_v: float | None  # bias-corrected, 0..1; None with fewer than two classes
    p_value: float | None  # permutation of subjects
    gap: Gap | None
    confounded: bool
    sentence: str  # for a clinician; empty where there is nothing to tell


@dataclass(frozen=True)
class Rule:
    """When a covariate is called confounded with the class."""

    gap: float
    p_value: float
    sentence: str


@dataclass(frozen=True)
class Brightness:
    """Mean shown grey value of one class against all others."""

    label: str
    images: int  # of the sample
    mean: float  # 0 black .. 1 white
    deviation: float
    auroc: float | None  # chance that an image of this class is brighter than one of another
    low: float | None  # 95 % interval, bootstrap of subjects
    high: float | None
    found: bool


@dataclass(frozen=True)
class Histogram:
    """Shares of pixel values per class."""

    title: str
    unit: str
    edges: list[float]
    shares: dict[str, list[float]]  # class -> one share a bin, adding up to 1


@dataclass(frozen=True)
class Outliers:
    """Images that are unlike a scan."""

    kind: str
    rule: str
    examined: int
    found: int
    images: list[int]  # numbers of the first ones


@dataclass(frozen=True)
class InputCount:
    """One outcome and reason of the ledger."""

    outcome: str
    reason: str
    rows: int  # inputs, or images where an input holds several
    files: int  # inputs behind them; one may stand in several lines
    images: int  # that are in the dataset


@dataclass(frozen=True)
class Inspection:
    """Facts about one dataset.

    Attributes:
        images_read: Images whose pixels were read: a seeded sample.
        same: Covariates that are the same for every image: title -> value.
        settings: Options of the ingest and properties of the format.
    """

    name: str
    modality: str
    simulated: bool
    created: str
    content_digest: str
    images: int
    subjects: int
    classes: list[str]
    size: list[int]  # C, H, W
    findings: list[Finding]
    counts: list[ClassCount]
    per_subject: PerSubject
    targets: list[TargetCount]
    splits: Splits
    leaks: list[Leak]
    rule: Rule
    covariates: list[CrossTable]
    same: dict[str, str]
    images_read: int
    brightness: list[Brightness]
    histograms: list[Histogram]
    outliers: list[Outliers]
    files: int  # inputs in all
    inputs: list[InputCount]
    caveats: list[str]
    settings: dict[str, Any]
