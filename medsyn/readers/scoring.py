"""From answers and the key to what the readers could see."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

import numpy as np

from medsyn.page.numbers import count
from medsyn.readers import statistics
from medsyn.readers.answers import Answers
from medsyn.readers.results import OfClass, Reader, Readers, Together
from medsyn.readers.study import Study

CALLS = ("real", "synthetic")
FEW = 10
"""Cases in common from which readers are compared."""

Decision = Literal["told apart", "mistaken for each other", "not told apart"]


def score(study: Study, found: Sequence[Answers]) -> Readers:
    """Score all readers of a study.

    Args:
        study: The key.
        found: Checked answers.
    """
    readers = [_reader(study, answers) for answers in found]
    together, warnings = _together(study, found), []
    for answers in found:
        done = len(answers.answers)
        if done < study.n:
            warnings.append(
                f"Reader {answers.reader} answered {done} of {study.n} cases. The order is random, so these are a "
                "sample of the study; but who stops where it gets hard, or prefers one answer, can shift the result."
            )
    if len(found) > 1 and together is None:
        warnings.append(f"Fewer than {FEW} cases were answered by all readers: they were not compared.")
    detectable = statistics.detectable(study.n)
    return Readers(
        sentence=_sentence(readers, together, detectable),
        study=study.study,
        dataset=study.dataset,
        synthetic=study.synthetic,
        modality=study.modality,
        image_shape=study.image_shape,
        classes=study.classes,
        cases=study.n,
        real_splits=study.splits,
        detectable=detectable,
        readers=readers,
        together=together,
        warnings=warnings,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


class _Columns:
    """Answers as arrays, one entry a case: truth and calls as places in `CALLS`, labels as places in the classes."""

    def __init__(self, study: Study, answers: Answers, n: int) -> None:
        cases, given = study.cases[:n], answers.answers[:n]
        self.synthetic = np.array([CALLS.index(c.truth) for c in cases])
        self.called = np.array([CALLS.index(a.call) for a in given])
        self.label = np.array([study.classes.index(c.label) for c in cases])
        self.named = np.array([study.classes.index(a.label) for a in given])
        self.milliseconds = np.array([a.call_ms for a in given])

    @property
    def told(self) -> np.ndarray:
        return self.called == self.synthetic

    @property
    def right(self) -> np.ndarray:
        return self.named == self.label


def _reader(study: Study, answers: Answers) -> Reader:
    c = _Columns(study, answers, len(answers.answers))
    real, synthetic = c.synthetic == 0, c.synthetic == 1
    told = statistics.share(c.told)
    sensitivity, specificity = statistics.share(c.told[synthetic]), statistics.share(c.told[real])
    named_real, named_synthetic = statistics.share(c.right[real]), statistics.share(c.right[synthetic])
    d_prime, criterion = statistics.d_prime(sensitivity, specificity)
    return Reader(
        reader=answers.reader,
        started=answers.started,
        cases=told.n,
        told=told,
        p_value=statistics.p_of_chance(told.k, told.n),
        decision=decide(told.low, told.high),
        sensitivity=sensitivity,
        specificity=specificity,
        d_prime=d_prime,
        criterion=criterion,
        named_real=named_real,
        named_synthetic=named_synthetic,
        named_difference=statistics.difference(named_synthetic, named_real),
        classes={
            name: OfClass(
                told=statistics.share(c.told[c.label == k]),
                named_real=statistics.share(c.right[real & (c.label == k)]),
                named_synthetic=statistics.share(c.right[synthetic & (c.label == k)]),
            )
            for k, name in enumerate(study.classes)
        },
        seconds_real=statistics.times(c.milliseconds[real]),
        seconds_synthetic=statistics.times(c.milliseconds[synthetic]),
        undone=sum(a.undone for a in answers.answers),
    )


def _together(study: Study, found: Sequence[Answers]) -> Together | None:
    n = min(len(a.answers) for a in found)
    kinds = Counter(case.truth for case in study.cases[:n])
    if len(found) < 2 or n < FEW or len(kinds) < 2:
        return None
    columns = [_Columns(study, answers, n) for answers in found]
    synthetic = columns[0].synthetic
    told, right = np.stack([c.told for c in columns]), np.stack([c.right for c in columns])
    mean = statistics.mean_of_readers(told, synthetic)
    parts = [right[:, synthetic == kind] for kind in (0, 1)]
    named_real, named_synthetic = (statistics.mean_of_readers(p, np.zeros(p.shape[1], int)) for p in parts)
    return Together(
        cases=n,
        told=mean,
        decision=decide(mean.low, mean.high),
        named_real=named_real,
        named_synthetic=named_synthetic,
        agreement_call=statistics.agreement(np.stack([c.called for c in columns]), synthetic, len(CALLS)),
        agreement_label=statistics.agreement(np.stack([c.named for c in columns]), synthetic, len(study.classes)),
    )


def decide(low: float | None, high: float | None) -> Decision:
    """What an interval of an accuracy says, by the side of `statistics.CHANCE` that it lies on."""
    if low is not None and low > statistics.CHANCE:
        return "told apart"
    if high is not None and high < statistics.CHANCE:
        return "mistaken for each other"
    return "not told apart"


def _sentence(readers: Sequence[Reader], together: Together | None, detectable: float | None) -> str:
    first = readers[0]
    value: float | None
    if together is not None:
        who, value = f"{len(readers)} readers", together.told.value
        ends: tuple[float | None, float | None] = (together.told.low, together.told.high)
        of, decision = f"{percent(value)} of {together.cases} cases, on average", together.decision
    else:
        who, value, ends = f"Reader {first.reader}", first.told.value, (first.told.low, first.told.high)
        of, decision = f"{count(first.told.k)} of {count(first.told.n)} cases ({percent(value)})", first.decision
    told = f"{who} told real from synthetic rightly in {of}; 95 % interval {percent(ends[0])} to {percent(ends[1])}"
    if decision == "told apart":
        return f"{told}: more often than by guessing (50 %)."
    if decision == "mistaken for each other":
        return f"{told}: less often than by guessing (50 %), so there is a difference, and it was taken the wrong way."
    if detectable is None:
        return f"{told}: no evidence that they can be told apart. The study is too small to show it."
    return (
        f"{told}: no evidence that they can be told apart. A reader who is right in {percent(detectable)} of cases "
        "would have shown it in four of five studies of this size; a smaller ability may have been missed."
    )


def percent(value: float | None) -> str:
    """A share in whole per cent."""
    return "–" if value is None else f"{100 * value:.0f} %"
