"""What a verification has found."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from medsyn.errors import DataError

NAMED = 10
"""Files that a finding names."""

Check = Literal["files", "manifest", "images", "generator"]


class Names:
    """How many files or images something is true of, and the first `NAMED` of them."""

    def __init__(self) -> None:
        self.total, self.first = 0, list[str]()

    def add(self, name: str) -> None:
        self.total += 1
        if self.total <= NAMED:
            # What a file is called must not steer a terminal.
            self.first.append("".join(c if c.isprintable() else "?" for c in name))


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        check: Which found it.
        what: In words.
        total: How many files or images it is about; 0 where it is about none.
        first: The first `NAMED` of them.
    """

    check: Check
    what: str
    total: int = 0
    first: list[str] = field(default_factory=list)

    @classmethod
    def about(cls, check: Check, names: Names, one: str, more: str = "") -> list[Finding]:
        """None where there is no name.

        Args:
            check: Which found it.
            names: Of files or images.
            one: What is said of one, after the number: ``file is missing``.
            more: What is said of several; default: the same.
        """
        what = one if names.total == 1 else more or one
        return [cls(check, what, names.total, names.first)] if names.total else []

    @property
    def sentence(self) -> str:
        """As one line."""
        if not self.total:
            return self.what
        more = f" and {self.total - len(self.first)} more" if self.total > len(self.first) else ""
        return f"{self.total} {self.what}: {', '.join(self.first)}{more}"


@dataclass(frozen=True)
class Regenerated:
    """How a sample of the images compares with what the generator makes here.

    Attributes:
        generator: Its folder's name.
        images: That were made again.
        identical: Of these, bit for bit.
        largest: Difference, in grey levels, of those that are not.
        made_on: Platform of the set.
        here: Platform of this process.
    """

    generator: str
    images: int
    identical: int
    largest: int
    made_on: dict[str, str]
    here: dict[str, str]


@dataclass(frozen=True)
class Verified:
    """What `run` found.

    Attributes:
        path: The set.
        files: That SHA256SUMS names.
        images: Accepted images in the manifest.
        wanted: Images that were asked for; more than there are, where classes were short of usable ones.
        judged: All candidates in it.
        sampled: Images whose files were read.
        marked: Files of these that say that they are synthetic.
        regenerated: None where no generator was at hand.
        findings: What is wrong; empty: nothing.
    """

    path: Path
    files: int
    images: int
    wanted: int
    judged: int
    sampled: int
    marked: int
    regenerated: Regenerated | None
    findings: list[Finding]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong with what was checked."""
        return not self.findings

    @property
    def name(self) -> str:
        return self.path.name

    def error(self) -> DataError:
        """That something is wrong, to end a command or a script with."""
        number = f"{len(self.findings)} finding{'s' if len(self.findings) > 1 else ''}"
        return DataError(
            f"is not as 'medsyn augment' made it: {number}",
            where=self.path,
            mend="Fetch it again from where it was made, or make it anew with the options in its card.json.",
        )

    def facts(self) -> dict[str, Any]:
        """All of it as JSON takes it."""
        return {**asdict(self), "path": str(self.path), "ok": self.ok}
