"""What is done with a synthetic set: verify it, send it."""

from __future__ import annotations

from typing import Annotated

import typer

from medsyn import manner, terminal
from medsyn.cli.application import app
from medsyn.cli.completion import of_kind
from medsyn.cli.guard import guard, open_workspace, options_of
from medsyn.cli.options import WorkspaceOption
from medsyn.workspace import GENERATOR, SYNTHETIC

PANEL = "Synthetic sets"


@app.command(epilog="Example: [bold]medsyn verify xray-001 --share 0.05[/]", rich_help_panel=PANEL)
def verify(
    synthetic: Annotated[
        str | None,
        typer.Argument(metavar="SET", help="Folder or name; default: the newest.", autocompletion=of_kind(SYNTHETIC)),
    ] = None,
    share: Annotated[float | None, typer.Option(help="Of the images that are made again: 0.01, at least 10.")] = None,
    generator: Annotated[
        str | None,
        typer.Option(
            help="Folder, zip or name; default: found by the digest that the set names.",
            autocompletion=of_kind(GENERATOR),
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Which images are made again.")] = None,
    device: Annotated[str | None, typer.Option(help="Default: the kind that made the set, where it is here.")] = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Check a synthetic set: every file, the manifest, and a sample of its images made again."""
    arguments = locals()
    with guard():
        opened = open_workspace(arguments.pop("workspace"))
        from medsyn.augment import verification

        options = options_of(verification.VerifyOptions, arguments, "verify")
        result = verification.run(options, opened, terminal.Terminal())
        terminal.verified(result, as_json=manner.current.as_json)
        if not result.ok:
            raise result.error()


@app.command(epilog="Example: [bold]medsyn send --to https://pacs.example.org/dicom-web[/]", rich_help_panel=PANEL)
def send(
    synthetic: Annotated[
        str | None,
        typer.Argument(
            metavar="SET",
            help="Folder or name of a synthetic set; default: the newest.",
            autocompletion=of_kind(SYNTHETIC),
        ),
    ] = None,
    to: Annotated[str, typer.Option(help="Root of the PACS's DICOMweb service, without credentials.")] = ...,  # type: ignore[assignment]
    workspace: WorkspaceOption = None,
) -> None:
    """Send the DICOM files of a synthetic set to a PACS (STOW-RS); run again, it sends the rest."""
    with guard():
        opened = open_workspace(workspace)
        path = opened.chosen(SYNTHETIC, synthetic)
        from medsyn.pacs.sending import send as send_set

        done = send_set(path, to, terminal.Terminal())
        if manner.current.as_json:
            manner.answer({"command": "send", **vars(done)})
            return
        with terminal.hushed():
            terminal.sent(done)
