"""What looks at results: inspect a dataset, explore a generator."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medsyn import manner, terminal
from medsyn.cli.application import app
from medsyn.cli.completion import of_kind
from medsyn.cli.guard import guard, open_workspace, options_of
from medsyn.cli.options import DeviceOption, ModalityOption, ThreadsOption, WorkspaceOption
from medsyn.workspace import DATASET, GENERATOR

PANEL = "Look"


@app.command("inspect", epilog="Example: [bold]medsyn inspect xray[/]", rich_help_panel=PANEL)
def inspect_dataset(
    dataset: Annotated[
        str | None, typer.Argument(help="Folder or name; default: the newest.", autocompletion=of_kind(DATASET))
    ] = None,
    modality: ModalityOption = None,
    html: Annotated[Path | None, typer.Option(help="File or folder of the page; default: in the workspace.")] = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Show what is in a dataset: counts, confounders, grey values, leaks; in the terminal and as HTML.

    With --json, a page only where --html names one.
    """
    with guard():
        from medsyn.inspection import console, stage

        json = manner.current.as_json
        found = stage.run(open_workspace(workspace), dataset, modality, html, write_page=html is not None or not json)
        console.tell(found, as_json=json)


@app.command(epilog="Example: [bold]medsyn explore --seed 40[/]", rich_help_panel=PANEL)
def explore(
    generator: Annotated[
        str | None, typer.Argument(help="Folder, zip or name; default: the newest.", autocompletion=of_kind(GENERATOR))
    ] = None,
    modality: ModalityOption = None,
    seed: Annotated[int | None, typer.Option(help="The first of the seeds that are shown.")] = None,
    columns: Annotated[int | None, typer.Option(help="Seeds beside each other.")] = None,
    frames: Annotated[int | None, typer.Option(help="Of an animation, from one image to the next.")] = None,
    out: Annotated[str | None, typer.Option(help="Folder of the pictures; default: in the workspace.")] = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Draw what a generator has learnt: class x seed grid, latent walk, class morph, truncation; PNG and GIF."""
    arguments = locals()
    with guard():
        from medsyn.exploration import stage
        from medsyn.exploration.options import ExploreOptions

        opened = open_workspace(arguments.pop("workspace"))
        options = options_of(ExploreOptions, arguments, "explore")
        found = stage.run(options, opened)
        if manner.current.as_json:
            manner.answer({"command": "explore", **vars(found)})
            return
        with terminal.hushed():
            terminal.explored(found)
