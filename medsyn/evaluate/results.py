"""What `medsyn evaluate` finds, as typed tables; report.json is exactly this, the verdict first."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1

Decision = Literal["helps", "no evidence", "hurts"]
MEASURES = ("auroc", "balanced_accuracy", "accuracy")


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Estimate(_Table):
    """A number with its uncertainty."""

    value: float
    low: float | None = None  # 95 % interval
    high: float | None = None
    per_seed: list[float] = Field(default_factory=list)


class Verdict(_Table):
    """The answer, by a rule that was fixed before the test split was opened."""

    decision: Decision
    sentence: str  # for a clinician: one sentence, effect with interval
    rule: str  # the printed rule
    classifier: str
    measure: str
    arm: str  # the synthetic arm chosen on val
    control: str  # the best real-only arm, chosen on val
    effect: Estimate  # arm minus control on test
    warnings: list[str]  # copying, collapse, tiny cohort, repeated looks at test: each a sentence


class Arm(_Table):
    """One way to compose the training data, with one classifier."""

    classifier: str  # cnn, probe
    name: str  # e.g. "real", "real + classical", "real + synthetic x0.5 + classical"
    kind: Literal["control", "synthetic"]
    ratio: float | None  # synthetic images per real one; None without, or for synthetic-only
    chosen: bool  # chosen on val as best control, or as best synthetic arm
    training_images: dict[str, int]  # distinct images per class: real and synthetic together
    val: dict[str, Estimate]  # measure -> estimate
    test: dict[str, Estimate]
    threshold: Literal["val"] = "val"
    test_at_half: dict[str, Estimate]  # the same decisions without a threshold tuned on val


class Contrast(_Table):
    """A paired difference on test."""

    classifier: str
    arm: str
    control: str
    measure: str
    effect: Estimate
    primary: bool


class FidelityRow(_Table):
    """One set of images against the same held-out real images, at equal n."""

    name: str  # "synthetic", "floor (real train)", "copy of train", ...
    scope: str  # "all" or a class name
    n: int
    kid: Estimate
    precision: float
    recall: float
    density: float
    coverage: float


class Fidelity(_Table):
    extractor: str  # name and input size
    held_out: str  # which images the reference is made of
    rows: list[FidelityRow]


class Copying(_Table):
    """Are synthetic images nearer to training images than unseen real ones are?"""

    tested: bool  # False: the training images or enough unseen real ones were not at hand
    examined: int = 0  # synthetic images searched for single copies: all of them
    copies: int = 0  # of these, the ones that all but equal a training image
    limit: float = 0  # a nearer distance of aligned pixels counts as a copy
    n: int  # synthetic images in the comparison below
    share: Estimate  # share of synthetic images nearer to train than the quantile below
    quantile: float  # of the held-out real images' distances to train
    null: float  # the share that an honest generator would show
    p_value: float
    nearest_ratio: float  # median distance synthetic -> train over median distance held-out -> train
    found: bool
    sentence: str


class Collapse(_Table):
    """Does a class hold fewer distinct images than real ones do?"""

    per_class: dict[str, float]  # effective diversity, synthetic over real
    found: bool
    sentence: str


class DatasetFacts(_Table):
    name: str
    digest: str
    modality: str
    image_shape: list[int]
    classes: list[str]
    images_per_class: dict[str, dict[str, int]]  # class -> split -> n
    units_per_class: dict[str, dict[str, int]]
    caveats: list[str]
    simulated: bool = False  # the built-in sample: no film shows a person


class SyntheticFacts(_Table):
    name: str
    n: int
    images_per_class: dict[str, int]
    generator: str
    checkpoint_digest: str
    generator_subjects: str  # what is known about whom the generator learnt from


class Look(_Table):
    """One look at the test split of this dataset."""

    number: int
    when: str  # ISO 8601, UTC
    evaluation: str
    synthetic: str


class Report(_Table):
    verdict: Verdict
    arms: list[Arm]
    contrasts: list[Contrast]
    fidelity: Fidelity
    copying: Copying
    collapse: Collapse
    dataset: DatasetFacts
    synthetic: SyntheticFacts
    looks_at_test: list[Look]
    settings: dict[str, object]
    software: dict[str, str]
    seconds: float
    created: str
    modality: str
    schema_version: int = SCHEMA_VERSION
