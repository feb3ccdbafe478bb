"""The place in a written report where the results of readers go: they come after the evaluation, if at all."""

from __future__ import annotations

from pathlib import Path

from medsyn.errors import DataError
from medsyn.evaluate.report.render import FILE, MARKDOWN
from medsyn.workspace import atomic_file, disk_errors

BEGIN, END = "<!-- readers -->", "<!-- /readers -->"


def put(folder: Path, html: str, markdown: str) -> None:
    """Put what readers found into ``report.html`` and ``report.md``, in the stead of what is there.

    ``report.json`` stays as it is: what was measured on test does not change.

    Args:
        folder: Of the evaluation.
        html: A section with the id ``readers``.
        markdown: The same for papers.

    Raises:
        DataError: A report without such a place.
        EnvironmentFault: It cannot be written.
    """
    texts = {name: _replaced(folder / name, text) for name, text in ((FILE, html), (MARKDOWN, markdown))}
    with disk_errors(folder):
        for name, text in texts.items():
            with atomic_file(folder / name) as partial:
                partial.write_text(text, encoding="utf-8", newline="\n")


def _replaced(file: Path, text: str) -> str:
    try:
        whole = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        whole = ""
    if whole.count(BEGIN) != 1 or whole.count(END) != 1:
        raise DataError(
            "has no place for the results of readers: it was changed, or written by an earlier medsyn",
            where=file,
            mend="Evaluate again; until then they are in the study's own folder.",
        )
    before, rest = whole.split(BEGIN)
    return f"{before}{BEGIN}\n{text.strip()}\n{END}{rest.split(END)[1]}"
