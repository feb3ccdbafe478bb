"""What keeps evaluations from being compared: severe where they do not answer the same question."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from medsyn.evaluate.report.numbers import classifier_name, measure_name
from medsyn.page.environment import setting
from medsyn.side_by_side.reading import Evaluation
from medsyn.side_by_side.results import Differs, Doubt

IRRELEVANT = ("dataset", "synthetic", "device", "threads")
"""Settings that say where, or that other rows tell."""


def find(found: Sequence[Evaluation]) -> list[Doubt]:
    """All doubts, the severe ones first."""
    doubts = [*_severe(found), *_milder(found), *_always(found)]
    return sorted(doubts, key=lambda doubt: not doubt.severe)


def _severe(found: Sequence[Evaluation]) -> Iterator[Doubt]:
    gone = [one.column.name for one in found if one.column.origin.test_digest is None]
    if _several(found, lambda e: e.column.origin.dataset_digest):
        told = _told(found, lambda e: f"{e.column.origin.dataset}, digest {e.column.origin.dataset_digest[:8]}")
        yield Doubt(text=f"Other datasets ({told}): other patients, and perhaps another task.", severe=True)
    elif gone:
        other = _several(
            found, lambda e: (e.report.settings.get("split"), e.report.settings.get("folds"), _subjects(e))
        )
        yield Doubt(
            text="Whether they were tested on the same images is unknown: the predictions of "
            f"{', '.join(gone)} are gone; settings and counts of the test split {'differ' if other else 'agree'}.",
            severe=other,
        )
    elif _several(found, lambda e: e.column.origin.test_digest):
        told = _told(found, lambda e: f"{e.column.origin.test_images} images")
        yield Doubt(
            text=f"Tested on other images of the same dataset ({told}): an easier test split looks like a better set.",
            severe=True,
        )
    if _several(found, lambda e: e.column.measure):
        told = _told(found, lambda e: measure_name(e.column.measure))
        yield Doubt(text=f"Other measures ({told}): their differences are no sizes of one thing.", severe=True)


_MILDER: tuple[tuple[str, Callable[[Evaluation], object], str], ...] = (
    ("Other settings", lambda e: e.column.setting, "the training data are composed otherwise"),
    ("Other classifiers", lambda e: classifier_name(e.column.classifier), "what helps one need not help the other"),
    ("Other margins", lambda e: f"±{e.column.margin:g}", "equivalent does not mean the same"),
    (
        "Other numbers of repeats",
        lambda e: e.report.settings.get("seeds"),
        "intervals are of other widths for that reason alone",
    ),
    ("Other features for fidelity", lambda e: e.report.fidelity.extractor, "KID and coverage have other scales"),
    (
        "Other numbers of images for fidelity",
        lambda e: e.column.fidelity.n if e.column.fidelity else "none",
        "coverage and recall depend on them",
    ),
    (
        "Other best controls",
        lambda e: e.column.control,
        "each difference is taken from its own control, so compare the arms' own values as well",
    ),
    (
        "Other procedures",
        lambda e: "generator trained anew in every repeat" if e.report.settings.get("regenerate") else "one set",
        "where the generator is trained anew, the interval covers its luck, too",
    ),
)
"""What differs, by what, and what that means."""


def _milder(found: Sequence[Evaluation]) -> Iterator[Doubt]:
    for name, of, why in _MILDER:
        if _several(found, of):
            yield Doubt(text=f"{name} ({_told(found, of)}): {why}.", severe=False)
    quick = [one.column.name for one in found if one.column.quick]
    if quick:
        yield Doubt(text=f"A quick look decides nothing: {', '.join(quick)}.", severe=False)


def _always(found: Sequence[Evaluation]) -> Iterator[Doubt]:
    if not _several(found, lambda e: (e.column.origin.dataset_digest, e.column.origin.test_digest)):
        looks = max(one.column.looks_at_test for one in found)
        yield Doubt(
            text=f"All were tested on the same images (looks at them: {looks}). To choose the best by these numbers is "
            "a choice on test: its difference then looks larger than it is. Confirm it on other patients.",
            severe=False,
        )
    yield Doubt(
        text="No test between the evaluations was made. Overlapping intervals do not show that two sets do equally "
        "well, nor does “helps” beside “no evidence” show that one does better.",
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
    keys = dict.fromkeys(key for table in tables for key in table)
    written = {key: [setting(table[key]) if key in table else None for table in tables] for key in keys}
    return [Differs(name=key, values=values) for key, values in written.items() if len(set(values)) > 1]


def _subjects(one: Evaluation) -> tuple[tuple[str, int], ...]:
    """Test subjects of each class in the deciding setting."""
    deciding = next((s for s in one.report.compared if s.name == one.report.verdict.setting), None)
    return tuple(sorted(deciding.test_subjects.items())) if deciding else ()


def _several(found: Sequence[Evaluation], of: Callable[[Evaluation], object]) -> bool:
    return len({of(one) for one in found}) > 1


def _told(found: Sequence[Evaluation], of: Callable[[Evaluation], object]) -> str:
    return "; ".join(f"{one.column.name}: {of(one)}" for one in found)
