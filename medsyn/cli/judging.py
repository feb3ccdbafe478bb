"""What follows a verdict: readers, and evaluations beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medsyn import manner
from medsyn.cli.application import app
from medsyn.cli.guard import guard, open_workspace
from medsyn.cli.options import ModalityOption, WorkspaceOption
from medsyn.errors import UsageError

PANEL = "Judge further"


@app.command(
    "reader-study",
    epilog="Example: [bold]medsyn reader-study --n 60[/], then [bold]medsyn reader-study --score answers-*.json[/]",
    rich_help_panel=PANEL,
)
def reader_study(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ANSWERS]...", help="With --score: what the page saved, one a reader."),
    ] = None,
    score: Annotated[bool, typer.Option("--score", help="Score answers, and add them to the report.")] = False,
    evaluation: Annotated[
        str | None, typer.Option(help="With --score: add them to this one; default: the newest that fits.")
    ] = None,
    synthetic: Annotated[
        str | None, typer.Option(help="Folder or name of the set, also another tool's; default: the newest.")
    ] = None,
    synthetic_labels: Annotated[str | None, typer.Option(help="CSV with file and label of another tool's.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Folder or name; default: the one the set was made from.")] = None,
    modality: ModalityOption = None,
    n: Annotated[int | None, typer.Option("--n", help="Cases, half of them real: 60.")] = None,
    seed: Annotated[int | None, typer.Option(help="Which cases, in which order.")] = None,
    out: Annotated[str | None, typer.Option(help="File or folder of the page; default: in private/.")] = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Write a page on which readers tell real cases from synthetic ones; score their answers."""
    arguments = locals()
    with guard():
        from medsyn.config import validate
        from medsyn.readers.options import StudyOptions

        given = {key: arguments[key] for key in StudyOptions.model_fields if arguments[key] is not None}
        if files and not score:
            raise UsageError("are answers to be scored?", where=files[0], mend=f"Add --score: --score {files[0]}.")
        if score and given:
            name = next(iter(given)).replace("_", "-")
            raise UsageError("makes a new study", where=f"--{name}", mend="Leave it out with --score.")
        if evaluation and not score:
            raise UsageError("goes with --score", where="--evaluation", mend="A study is added once it is scored.")
        options = validate(StudyOptions, given, where="medsyn reader-study")
        opened = open_workspace(workspace)
        from medsyn.readers import console, stage

        if score:
            console.scored(stage.score(files or [], opened, evaluation), as_json=manner.current.as_json)
        else:
            console.made(stage.make(options, opened), as_json=manner.current.as_json)


@app.command(epilog="Example: [bold]medsyn compare xray-001 xray-002[/]", rich_help_panel=PANEL)
def compare(
    evaluations: Annotated[
        list[str] | None, typer.Argument(metavar="A B [C]...", help="Folders or names of evaluations, two or more.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="File or folder of the page; default: in the workspace.")] = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Set evaluations side by side: verdicts, fidelity, copies, settings; and say where they are not comparable.

    With --json, a page only where --html names one.
    """
    with guard():
        opened = open_workspace(workspace)
        from medsyn.side_by_side import console, stage

        as_json = manner.current.as_json
        found = stage.run(evaluations or [], opened, html, write_page=html is not None or not as_json)
        console.tell(found, as_json=as_json)
