"""How far a set is: what each class still lacks, and why candidates were left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from medsyn.augment.selection import RULES


class Tally:
    """Counts of each class.

    Args:
        wanted: Class -> images.
        max_tries: Candidates of a class at most, as a multiple of what is wanted of it.

    Attributes:
        missing: Class -> images that it still lacks.
        tries: Class -> candidates that may still be judged.
        judged: Class -> candidates that were.
        failed: Class -> rule -> candidates that fail it, whatever else they fail.
        reasons: Class -> rule -> candidates that were left out for it.
    """

    def __init__(self, wanted: Mapping[str, int], max_tries: int) -> None:
        self.wanted = dict(wanted)
        self.missing = dict(wanted)
        self.tries = {label: max_tries * n for label, n in wanted.items()}
        self.judged = dict.fromkeys(wanted, 0)
        self.failed = {label: Counter[str]() for label in wanted}
        self.reasons = {label: Counter[str]() for label in wanted}

    @property
    def accepted(self) -> dict[str, int]:
        """Class -> images that were accepted."""
        return {label: n - self.missing[label] for label, n in self.wanted.items()}

    def wants(self, label: str) -> bool:
        """Whether more candidates of a class are to be judged."""
        return self.missing[label] > 0 and self.tries[label] > 0

    def lacks(self, label: str, waiting: int) -> int:
        """Candidates of a class that will most likely be needed besides ``waiting`` ones that are being made."""
        if not self.wants(label):
            return 0
        missing, judged, left = self.missing[label], self.judged[label], self.tries[label]
        accepted = self.wanted[label] - missing
        expected = missing if not judged else -(-missing * judged // accepted) if accepted else left
        return max(0, min(left, expected) - waiting)

    def count(self, row: Mapping[str, Any]) -> None:
        """Take a row of the manifest into account."""
        label = row["label"]
        self.judged[label] += 1
        self.tries[label] -= 1
        self.missing[label] -= bool(row["accepted"])
        self.failed[label].update(rule for rule, score in dict(row["scores"]).items() if score > 1)
        if row["reason"]:
            self.reasons[label][row["reason"]] += 1

    def rates(self) -> dict[str, dict[str, float]]:
        """Class -> rule -> share of the judged candidates that fail it."""
        return {
            label: {
                rule: round(failed[rule] / self.judged[label], 4) for rule in ("not_finite", *RULES) if failed[rule]
            }
            for label, failed in self.failed.items()
            if self.judged[label]
        }

    def short(self) -> list[str]:
        """Classes that lack images and may not try further."""
        return [label for label in self.wanted if self.missing[label] and not self.tries[label]]

    def told(self, label: str) -> str:
        """How a class fares, for an error."""
        reasons = ", ".join(f"{n} {rule}" for rule, n in self.reasons[label].most_common())
        accepted = self.accepted[label]
        return (
            f"only {accepted} of {self.wanted[label]} images of class '{label}' in {self.judged[label]} tries "
            f"({reasons})"
        )

    def cause(self, labels: Sequence[str]) -> str:
        """The likeliest cause, by the rule that left out most, and what to do."""
        return _CAUSES[self.rule(labels)]

    def rule(self, labels: Sequence[str]) -> str:
        """The rule that left out most of these classes."""
        most = Counter[str]()
        for label in labels:
            most.update(self.reasons[label])
        return most.most_common(1)[0][0]


_COLLAPSED = "The generator has collapsed for this class: train it longer, or on more images."
_CAUSES = {
    "not_finite": "The generator's weights are broken: train it again.",
    "constant": _COLLAPSED,
    "saturated": _COLLAPSED,
    "near_duplicate": "The generator makes few different images of this class: train it longer, or on more images.",
    "border": "The generator marks the edge of its images: train it longer, or with another recipe.",
    "copy": "The generator repeats its training images: train it for less long, or on more subjects.",
    "copy_features": "The generator repeats its training images: train it for less long, or on more subjects.",
    "label": "A classifier of real images does not see this class in them: train longer, or raise --max-tries.",
    "off_manifold": "Its images are unlike real ones: train longer, or raise --max-tries.",
}
