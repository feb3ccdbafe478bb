"""What keeps evaluations from being compared: severe where they do not answer the same question."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from medsyn.evaluate.report.numbers import classifier_name, measure_name
from medsyn.side_by_side.reading import Evaluation
from medsyn.side_by_side.results import Column, Differs, Doubt

IRRELEVANT = ("dataset", "synthetic", "device", "threads")
"""Settings that say where, or that other rows tell."""


def find(found: Sequence[Evaluation]) -> list[Doubt]:
    """All doubts, the severe ones first."""
    columns = [one.column for one in found]
    doubts = [*_severe(found), *_milder(found), *_looks(columns)]
    return sorted(doubts, key=lambda doubt: not doubt.severe)


def _severe(found: Sequence[Evaluation]) -> Iterator[Doubt]:
    columns = [one.column for one in found]
    if _several(columns, lambda c: c.origin.dataset_digest):
        told = _told(columns, lambda c: f"{c.origin.dataset}, digest {c.origin.dataset_digest[:8]}")
        yield Doubt(text=f"Other datasets ({told}): other patients, and perhaps another task.", severe=True)
    elif _several(columns, lambda c: c.origin.test_digest) and all(c.origin.test_digest for c in columns):
        told = _told(columns, lambda c: f"{c.origin.test_images} images")
        yield Doubt(
            text=f"Tested on other images of the same dataset ({told}): an easier test split looks like a better set.",
            severe=True,
        )
    elif any(c.origin.test_digest is None for c in columns):
        gone = ", ".join(c.name for c in columns if c.origin.test_digest is None)
        settings = [{key: one.report.settings.get(key) for key in ("split", "folds")} for one in found]
        other = any(s != settings[0] for s in settings) or _several(
            columns, lambda c: _test_subjects(found[columns.index(c)])
        )
        yield Doubt(
            text=f"Whether they were tested on the same images is unknown: the predictions of {gone} are gone"
            + ("; settings and counts of the test split differ." if other else "; settings and counts agree."),
            severe=other,
        )
    if _several(columns, lambda c: c.measure):
        told = _told(columns, lambda c: measure_name(c.measure))
        yield Doubt(text=f"Other measures ({told}): their differences are no sizes of one thing.", severe=True)


def _milder(found: Sequence[Evaluation]) -> Iterator[Doubt]:
    columns = [one.column for one in found]
    by_column = {one.column.name: one for one in found}
    asked: list[tuple[str, Callable[[Column], Any], str]] = [
        ("Other settings", lambda c: c.setting, "the training data are composed otherwise"),
        ("Other classifiers", lambda c: classifier_name(c.classifier), "what helps one need not help the other"),
        ("Other margins", lambda c: f"±{c.margin:g}", "equivalent does not mean the same"),
        (
            "Other numbers of repeats",
            lambda c: by_column[c.name].report.settings.get("seeds"),
            "intervals are of other widths for that reason alone",
        ),
        (
            "Other features for fidelity",
            lambda c: by_column[c.name].report.fidelity.extractor,
            "KID and coverage have other scales",
        ),
        (
            "Other numbers of images for fidelity",
            lambda c: c.fidelity.n if c.fidelity else "none",
            "coverage and recall depend on them",
        ),
        (
            "Other best controls",
            lambda c: c.control,
            "each difference is taken from its own control, so compare the arms' own values as well",
        ),
    ]
    for name, of, why in asked:
        if _several(columns, of):
            yield Doubt(text=f"{name} ({_told(columns, lambda c, of=of: str(of(c)))}): {why}.", severe=False)
    quick = [c.name for c in columns if c.quick]
    if quick:
        yield Doubt(text=f"A quick look decides nothing: {', '.join(quick)}.", severe=False)
    retrained = [c.name for c in columns if by_column[c.name].report.settings.get("regenerate")]
    if retrained and len(retrained) < len(columns):
        yield Doubt(
            text=f"In {', '.join(retrained)} alone the interval covers training the generator again.", severe=False
        )


def _looks(columns: Sequence[Column]) -> Iterator[Doubt]:
    same = not _several(columns, lambda c: (c.origin.dataset_digest, c.origin.test_digest))
    if same:
        yield Doubt(
            text=f"All were tested on the same images (up to {max(c.looks_at_test for c in columns)} looks at them). To "
            "choose the best by these numbers is a choice on test: its difference then looks larger than it is. Confirm "
            "it on other patients.",
            severe=False,
        )
    yield Doubt(
        text="No test between the evaluations was made. Overlapping intervals do not show that two sets do equally well, "
        "nor does helps beside no evidence show that one does better.",
        severe=False,
    )


def settings(found: Sequence[Evaluation]) -> list[Differs]:
    """Settings that differ, but for `IRRELEVANT`."""
    tables = [one.report.model_dump(mode="json")["settings"] for one in found]
    return _differing([{k: v for k, v in table.items() if k not in IRRELEVANT} for table in tables])


def software(found: Sequence[Evaluation]) -> list[Differs]:
    """Versions that differ."""
    return _differing([dict(one.report.software) for one in found])


def _differing(tables: Sequence[dict[str, Any]]) -> list[Differs]:
    from medsyn.page.environment import setting

    keys = dict.fromkeys(key for table in tables for key in table)
    written = {key: [setting(table[key]) if key in table else None for table in tables] for key in keys}
    return [Differs(name=key, values=values) for key, values in written.items() if len(set(values)) > 1]


def _test_subjects(one: Evaluation) -> tuple[tuple[str, int], ...]:
    deciding = next((s for s in one.report.compared if s.name == one.report.verdict.setting), None)
    return tuple(sorted(deciding.test_subjects.items())) if deciding else ()


def _several(columns: Sequence[Column], of: Callable[[Column], Any]) -> bool:
    return len({of(c) for c in columns}) > 1


def _told(columns: Sequence[Column], of: Callable[[Column], str]) -> str:
    return "; ".join(f"{c.name}: {of(c)}" for c in columns)
