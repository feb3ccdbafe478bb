"""What a reader study found, as typed tables; readers.json is exactly this."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from medsyn.evaluate.results import Estimate
from medsyn.readers.study import Source


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Share(_Table):
    """``k`` of ``n`` cases, with the exact 95 % interval of the probability behind them; None of no case."""

    k: int
    n: int
    value: float | None
    low: float | None
    high: float | None


class Times(_Table):
    """Seconds."""

    median: float
    quartile_low: float
    quartile_high: float


class OfClass(_Table):
    """The cases of one class."""

    told: Share  # real and synthetic told apart rightly
    named_real: Share  # real cases whose class was named
    named_synthetic: Share


class Reader(_Table):
    """One reader."""

    reader: str
    started: str
    cases: int  # answered
    told: Share  # real and synthetic told apart rightly
    p_value: float  # of 50 %, exact binomial, two-sided
    decision: Literal["told apart", "mistaken for each other", "not told apart"]
    sensitivity: Share  # synthetic cases called synthetic
    specificity: Share  # real cases called real
    d_prime: Estimate
    criterion: float  # above 0: inclined to call cases real
    named_real: Share  # the class named is that of the label
    named_synthetic: Share
    named_difference: Estimate  # synthetic minus real
    classes: dict[str, OfClass]
    seconds_real: Times | None  # to the call, real or synthetic
    seconds_synthetic: Times | None
    undone: int


class Agreement(_Table):
    """How far readers agree beyond chance: Cohen's kappa of two, Fleiss' of more."""

    kappa: Estimate | None  # None: all answers are alike, kappa has no value
    share: float  # of pairs of readers and cases that agree


class Together(_Table):
    """Several readers on the cases that all of them answered."""

    cases: int
    told: Estimate  # mean over readers; the interval covers other readers and other cases
    decision: Literal["told apart", "mistaken for each other", "not told apart"]
    named_real: Estimate
    named_synthetic: Estimate
    agreement_call: Agreement
    agreement_label: Agreement


class Readers(_Table):
    """A scored study."""

    sentence: str
    study: str
    dataset: Source
    synthetic: Source
    modality: str
    image_shape: list[int]  # C, H, W
    classes: list[str]
    cases: int
    real_splits: dict[str, int]  # split -> real cases from it
    detectable: float | None  # accuracy that one reader of all cases would show beyond 50 % in 80 % of studies
    readers: list[Reader]
    together: Together | None
    warnings: list[str]  # each a sentence
    created: str
    schema_version: int = 1
