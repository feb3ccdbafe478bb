"""Evaluations side by side, as typed tables."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from medsyn.evaluate.results import Decision, Estimate


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Origin(_Table):
    """What was compared with what."""

    dataset: str
    dataset_digest: str
    test_images: int | None  # None: the predictions are gone
    test_digest: str | None  # of their numbers in the dataset
    synthetic: str
    synthetic_images: int
    generator: str
    checkpoint_digest: str


class Closeness(_Table):
    """A set against the held-out real images, and equally many real training images against the same."""

    n: int
    kid: Estimate
    coverage: float
    recall: float
    floor_kid: float | None
    floor_coverage: float | None


class Copies(_Table):
    """Single copies, and whether the set as a whole lies too close to the training images."""

    tested: bool
    found: bool
    copies: int
    examined: int
    share: Estimate


class Filtered(_Table):
    """What the selection of candidates did; see `medsyn.evaluate.results.Selection`."""

    tested: bool
    replaced: int
    effect: Estimate | None
    decision: Decision | None


class Read(_Table):
    """What a reader study found; see `medsyn.readers.results.Readers`."""

    readers: int
    told: Estimate  # share of cases told rightly real from synthetic
    decision: str
    sentence: str


class Column(_Table):
    """One evaluation."""

    name: str
    created: str
    decision: Decision
    quick: bool
    sentence: str
    measure: str
    margin: float
    setting: str
    classifier: str
    control: str
    arm: str
    control_value: Estimate | None  # of `measure`, on test
    arm_value: Estimate | None
    effect: Estimate
    detectable: float | None
    fidelity: Closeness | None
    copies: Copies
    checks: dict[str, str]  # check -> clear, found or untested
    selection: Filtered
    readers: Read | None
    looks_at_test: int
    origin: Origin


class Doubt(_Table):
    """Why numbers should not be set against each other."""

    text: str
    severe: bool  # they do not answer the same question


class Differs(_Table):
    """One setting, in the order of the evaluations; None where one does not know it."""

    name: str
    values: list[str | None]


class SideBySide(_Table):
    """Two evaluations or more."""

    comparable: bool  # no severe doubt
    doubts: list[Doubt]
    evaluations: list[Column]
    settings: list[Differs]
    software: list[Differs]
    schema_version: int = 1
