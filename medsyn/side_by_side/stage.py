"""Setting evaluations side by side."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medsyn.errors import EnvironmentFault, UsageError
from medsyn.side_by_side import doubts, page
from medsyn.side_by_side.reading import read
from medsyn.side_by_side.results import SideBySide
from medsyn.workspace import EVALUATION, Workspace

FOLDER = "comparisons"


@dataclass(frozen=True)
class CompareResult:
    """What `run` found.

    Attributes:
        found: The facts.
        html: The page, or None where none was asked for.
    """

    found: SideBySide
    html: Path | None


def run(
    evaluations: Sequence[str | Path], workspace: Workspace, html: str | Path | None = None, *, write_page: bool = True
) -> CompareResult:
    """Compare evaluations.

    Args:
        evaluations: Folders or names, each another one.
        workspace: Where they are, and where the page goes.
        html: File or folder of the page; default: ``comparisons/<names>.html`` of the workspace.
        write_page: Whether there is to be a page at all.

    Raises:
        UsageError: Fewer than two, one of them twice, or a page below a file.
        MissingError: There is no such evaluation.
        DataError: One is damaged, or written by another medsyn.
        EnvironmentFault: The page cannot be written.
    """
    if len(evaluations) < 2:
        raise UsageError(
            f"needs two evaluations or more, and {len(evaluations)} is named" if evaluations else "names no evaluation",
            where="medsyn compare",
            mend="As in medsyn compare xray-001 xray-002.",
        )
    folders = [workspace.find(EVALUATION, name) for name in evaluations]
    for place, folder in enumerate(folders):
        if folder.resolve() in [other.resolve() for other in folders[:place]]:
            raise UsageError("is named twice", where=folder, mend="Name each evaluation once.")
    read_all = [read(folder, name) for folder, name in zip(folders, _names(folders), strict=True)]
    found = doubts.find(read_all)
    result = SideBySide(
        comparable=not any(doubt.severe for doubt in found),
        doubts=found,
        evaluations=[one.column for one in read_all],
        settings=doubts.settings(read_all),
        software=doubts.software(read_all),
    )
    if not write_page:
        return CompareResult(result, None)
    return CompareResult(result, _write(result, workspace, html))


def _names(folders: Sequence[Path]) -> list[str]:
    """Names of folders; where two workspaces have one of the same name, with the workspace's."""
    names = [folder.name for folder in folders]
    if len(set(names)) == len(names):
        return names
    return [f"{place}: {folder.parents[1].name}/{folder.name}" for place, folder in enumerate(folders, 1)]


def _write(result: SideBySide, workspace: Workspace, html: str | Path | None) -> Path:
    names = "--".join(re.sub(r"[^\w.-]+", "-", column.name) for column in result.evaluations)
    name = f"{names[:150]}.html"
    file = Path(html) if html else workspace.create().path / FOLDER / name
    if file.is_dir():
        file = file / name
    try:
        page.write(result, file)
    except FileExistsError:
        raise UsageError("lies below a file", where=file, mend="Name another --html.") from None
    except EnvironmentFault as fault:
        if html is None:
            raise
        raise EnvironmentFault(fault.what, where=file, mend="Name another --html.") from fault
    return file
