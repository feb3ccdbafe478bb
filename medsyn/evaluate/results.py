"""What `medsyn evaluate` finds, as typed tables; report.json is exactly this, the verdict first."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 3

Decision = Literal["helps", "hurts", "equivalent", "no evidence"]

RANKING = ("auroc", "auprc")
DECISIONS = ("accuracy", "balanced_accuracy", "f1", "sensitivity", "specificity", "ppv", "npv")
FIXED = ("sensitivity_at_specificity", "specificity_at_sensitivity")
PROBABILITY = ("brier", "calibration_error")
MEASURES = (*RANKING, *DECISIONS, *FIXED, *PROBABILITY)
"""Measures of an arm on test. Sensitivity, specificity, PPV and NPV are of class 1 with two classes, else means of each
class against the rest. Lower is better for `PROBABILITY`, higher for all others."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Estimate(_Table):
    """A number with its uncertainty."""

    value: float
    low: float | None = None  # 95 % interval
    high: float | None = None
    per_seed: list[float] = Field(default_factory=list)
    se: float | None = None  # standard error, seeds and subjects together
    df: float | None = None  # its degrees of freedom
    p_value: float | None = None  # two-sided, of a difference from 0


# ---- the answer


class DeLong(_Table):
    """Cross-check for two classes: AUROC of the seeds' mean scores, for these trained networks alone."""

    difference: float
    p_value: float
    agrees: bool  # that it tells a difference from 0, or not, as the primary interval does


class Worth(_Table):
    """What the synthetic cases are worth in real patients, on test."""

    patients: float | None  # None: fewer than any tried, or more
    sentence: str


class Verdict(_Table):
    """The answer, by a rule that was fixed before the test split was opened."""

    decision: Decision
    sentence: str  # for a clinician: one sentence, effect with interval
    rule: str  # the printed rule
    estimand: str  # what would have to be repeated for the interval to apply
    setting: str  # name of the `Setting` that decides
    classifier: str
    measure: str
    margin: float  # differences smaller than this count as none
    arm: str  # the synthetic arm chosen on val
    control: str  # the best real-only arm, chosen on val
    effect: Estimate  # arm minus control on test
    quick: bool = False  # too few seeds to decide anything
    detectable: float | None = None  # difference that would be found in 80 % of repetitions
    needed_subjects: int | None = None  # test subjects that would make `margin` detectable; None: no number would
    delong: DeLong | None = None
    worth: Worth | None = None
    warnings: list[str]  # each a sentence


# ---- utility


class Setting(_Table):
    """One composition of the data that arms are compared on."""

    name: str  # "all data", "25 % of the subjects", "normal: 15", "5 folds"
    description: str
    train_subjects: dict[str, int]  # class -> subjects in training (mean over repeats, rounded)
    val_subjects: dict[str, int]
    test_subjects: dict[str, int]
    regenerated: bool  # a generator was trained anew for every repeat
    repeats: int


class CalibrationBin(_Table):
    predicted: float  # mean predicted probability
    observed: float  # share that has the class
    n: int


class Arm(_Table):
    """One way to compose the training data, with one classifier."""

    setting: str
    classifier: str  # cnn, probe, ...
    name: str  # e.g. "real", "real + classical", "real + synthetic x0.5 + classical"
    kind: Literal["control", "synthetic", "more real"]
    ratio: float | None  # synthetic images per real one; None without, or for synthetic-only
    chosen: bool  # chosen on val as best control, or as best synthetic arm
    training_images: dict[str, int]  # distinct images per class: real and synthetic together
    real_images: dict[str, int]  # of these, real
    val: Estimate | None  # AUROC, which arms are chosen by; None: not chosen from
    test: dict[str, Estimate] | None = None  # measure -> estimate; None: never opened
    test_at_half: dict[str, Estimate] | None = None  # `DECISIONS` without a threshold tuned on val
    per_class: dict[str, dict[str, Estimate]] | None = None  # class -> auroc, auprc, sensitivity, specificity, f1
    calibration: list[CalibrationBin] = Field(default_factory=list)  # of class 1, or of the most probable class
    external: dict[str, Estimate] | None = None  # on the external test set


class Contrast(_Table):
    """A paired difference on test."""

    setting: str
    classifier: str
    arm: str
    control: str
    measure: str
    test_set: str = "test"  # or the name of the external dataset
    effect: Estimate
    primary: bool
    p_holm: float | None = None  # Holm's, over the secondaries; None for the primary


class CurvePoint(_Table):
    """One step of the learning curve, primary classifier, AUROC on test."""

    setting: str
    subjects: int  # real training subjects
    control: Estimate
    synthetic: Estimate
    effect: Estimate


class Subgroup(_Table):
    """The chosen arms of the primary classifier within one part of the test subjects."""

    covariate: str  # view, sex, age band, vendor
    value: str
    images: int
    subjects: int
    control: Estimate | None  # AUROC; None where a class is absent or subjects are too few
    synthetic: Estimate | None
    effect: Estimate | None


class SubgroupGap(_Table):
    covariate: str
    control: float  # largest AUROC of a subgroup minus the smallest
    synthetic: float


class Shortcut(_Table):
    """Can the label be told from brightness and size alone?"""

    tested: bool
    features: list[str]
    auroc: Estimate | None  # on test, without seeing the picture
    control: float | None  # of the chosen control, which sees it
    found: bool
    sentence: str


# ---- fidelity, diversity, privacy


class FidelityRow(_Table):
    """One set of images against the same held-out real images, at equal n."""

    name: str  # "synthetic", "unfiltered", "floor (real train)", "copy of train", "SMOTE in pixels", ...
    kind: Literal["synthetic", "unfiltered", "floor", "reference"]
    scope: str  # "all" or a class name
    n: int
    kid: Estimate
    fid: float | None  # None where n is too small for a covariance to mean anything
    precision: float
    recall: float
    density: float
    coverage: float
    ms_ssim: float | None  # mean similarity of random pairs within the set: high is little variety
    vendi: float  # effective number of distinct images over that of the held-out set
    spectrum: float  # distance of log power spectra
    histogram: float  # Wasserstein distance of grey levels
    texture: float  # standardised distance of first-order and texture features, no network
    c2st: Estimate | None  # AUROC of a classifier that tells the set from the held-out images: 0.5 is best


class Fidelity(_Table):
    extractor: str  # name and input size
    held_out: str  # which images the reference is made of
    rows: list[FidelityRow]
    found: bool = False  # far from the floor
    sentence: str = ""


class Membership(_Table):
    """Can one tell from the synthetic set who was in training?"""

    auroc: Estimate  # of the distance to the nearest synthetic image: 0.5 is best
    members: int
    non_members: int


class Copying(_Table):
    """Are synthetic images nearer to training images than unseen real ones are?"""

    tested: bool  # False: the training images or enough unseen real ones were not at hand
    examined: int = 0  # synthetic images searched for single copies: all of them
    copies: int = 0  # of these, the ones that all but equal a training image
    limit: float = 0  # a smaller distance ratio counts as a copy
    n: int  # synthetic images in the comparison below
    share: Estimate  # share of synthetic images whose nearest real neighbour is a training image
    null: float = 0.5  # what an honest generator would show
    null_99: float = 1.0  # 99.5th percentile of the permutation null: with two spaces, 1 % together
    p_value: float
    references: int = 0  # training and unseen images compared, each
    nearest_ratio: float | None = None  # median distance synthetic -> train over that of real images of other subjects
    distance_ratio: float | None = None  # median of nearest over second nearest training distance
    membership: Membership | None = None
    found: bool
    sentence: str


class Collapse(_Table):
    """Does a class hold fewer distinct images than real ones do?"""

    per_class: dict[str, float]  # effective diversity, synthetic over real
    missing: dict[str, float] = Field(default_factory=dict)  # share of real images of kinds hardly made, above chance
    found: bool
    sentence: str


class Labels(_Table):
    """Do the synthetic labels mean what the real ones do?"""

    tested: bool
    auroc: float | None  # classifier trained on real images, measured on the synthetic ones
    reference: float | None  # the same on real val
    found: bool
    sentence: str


class Leakage(_Table):
    """What was checked between the splits, and what came of it."""

    near_duplicates: int  # val and test images that all but equal a training image of another subject
    examined: int
    checks: list[str]  # each a sentence: what was compared, what was found
    learnt_from_test: bool = False  # the generator of a set without record seems to have
    found: bool
    sentence: str


# ---- the selection of candidates


class Selection(_Table):
    """What the filter of the candidates did: the set against one of the same size with nothing filtered out.

    KID, coverage, recall and all other fidelity measures of the two are rows of `Fidelity`, kinds ``synthetic`` and
    ``unfiltered``.
    """

    tested: bool  # False: `sentence` says why not
    judged: dict[str, int] = Field(default_factory=dict)  # class -> candidates
    accepted: dict[str, int] = Field(default_factory=dict)
    rejected: dict[str, dict[str, int]] = Field(default_factory=dict)  # class -> the rule failed first -> candidates
    replaced: int = 0  # images in which the two sets differ
    measure: str = ""  # of `effect`: the primary endpoint
    filtered: Estimate | None = None  # the chosen synthetic arm on test, trained on the set
    unfiltered: Estimate | None = None  # the same arm, trained on the unfiltered set
    effect: Estimate | None = None  # filtered minus unfiltered
    decision: Decision | None = None  # of `effect`, by the rule of the verdict; it decides nothing else
    filtered_copies: int | None = None  # images that all but equal a training image; None: not searched
    unfiltered_copies: int | None = None
    notes: list[str] = Field(default_factory=list)  # each a sentence
    sentence: str


# ---- what was compared


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
    foreign: bool = False  # made by another tool


class Look(_Table):
    """One look at the test split of this dataset."""

    number: int
    when: str  # ISO 8601, UTC
    evaluation: str
    synthetic: str


class Report(_Table):
    """All numbers of an evaluation, as report.json has them."""

    verdict: Verdict
    compared: list[Setting]
    arms: list[Arm]
    contrasts: list[Contrast]
    curve: list[CurvePoint] = Field(default_factory=list)
    subgroups: list[Subgroup] = Field(default_factory=list)
    gaps: list[SubgroupGap] = Field(default_factory=list)
    shortcut: Shortcut
    fidelity: Fidelity
    copying: Copying
    collapse: Collapse
    labels: Labels
    leakage: Leakage
    selection: Selection
    dataset: DatasetFacts
    external: DatasetFacts | None = None
    synthetic: SyntheticFacts
    looks_at_test: list[Look]
    settings: dict[str, object]
    software: dict[str, str]
    seconds: float
    timings: dict[str, float] = Field(default_factory=dict)  # phase -> seconds
    created: str
    modality: str
    schema_version: int = SCHEMA_VERSION
