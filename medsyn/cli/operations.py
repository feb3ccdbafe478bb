"""What keeps a workspace in order: status, models, gc."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medsyn import manner, terminal
from medsyn.cli.application import Application, app
from medsyn.cli.completion import of_kind, results
from medsyn.cli.guard import guard, open_workspace
from medsyn.cli.options import ModalityOption, WorkspaceOption
from medsyn.workspace import GENERATOR, Workspace

PANEL = "Keep in order"
GeneratorName = typer.Argument(metavar="NAME", help="Of the generator.", autocompletion=of_kind(GENERATOR))

models = Application(
    no_args_is_help=True,
    help="Generators of the workspace and of MLflow's registry: list, promote, export.",
    epilog="Example: [bold]medsyn models list[/]",
)
app.add_typer(models, name="models", rich_help_panel=PANEL)


@app.command(epilog="Example: [bold]medsyn status[/]", rich_help_panel=PANEL)
def status(
    check: Annotated[
        bool, typer.Option("--check", help="Compare digests, too: takes as long as reading the files.")
    ] = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Show what is in the workspace: what was made from what, what is stale, unfinished or damaged."""
    with guard():
        from medsyn.operations import console
        from medsyn.operations.status import status as look

        found = look(Workspace(workspace), check=check, progress=terminal.Terminal())
        if manner.current.as_json:
            manner.answer(found)
        else:
            console.show_status(found)
        error = found.error()
        if error is not None:
            raise error


@app.command(epilog="Example: [bold]medsyn gc --dry-run[/]", rich_help_panel=PANEL)
def gc(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RESULT]...",
            help="Complete results to remove as well: synthetic/xray-003.",
            autocompletion=results,
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would go, and how large it is.")] = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Remove what nobody needs: caches and what killed processes left; of results only those that are named."""
    with guard():
        from medsyn.operations import console
        from medsyn.operations.gc import collect

        opened = Workspace(workspace) if dry_run else open_workspace(workspace)
        found = collect(opened, names or [], dry_run=dry_run)
        if manner.current.as_json:
            manner.answer(found)
        elif dry_run:
            console.show_collected(found)
        else:
            with terminal.hushed():
                console.show_collected(found)


@models.command("list", epilog="Example: [bold]medsyn models list --modality xray[/]")
def list_models(modality: ModalityOption = None, workspace: WorkspaceOption = None) -> None:
    """List generators with their figures on tune, and which one is champion."""
    with guard():
        from medsyn.operations import console
        from medsyn.operations import models as logic

        found = logic.models(Workspace(workspace), modality)
        if manner.current.as_json:
            manner.answer(found)
        else:
            console.show_models(found.models, found.registry)


@models.command(epilog="Example: [bold]medsyn models promote xray-002[/]")
def promote(name: Annotated[str, GeneratorName], workspace: WorkspaceOption = None) -> None:
    """Make a generator the champion of its modality in MLflow's registry: what models:/...@champion serves."""
    with guard():
        from medsyn.operations import models as logic

        done = logic.promote(open_workspace(workspace), name, terminal.Terminal())
        if manner.current.as_json:
            manner.answer(done)
            return
        with terminal.hushed():
            instead = f" in place of {done.before}" if done.before else ""
            terminal.out.print(
                f"[green]✓[/] {terminal.escape(f'{done.generator} ({done.version}) is champion{instead}: {done.uri}')}"
            )


@models.command(epilog="Example: [bold]medsyn models export xray-002 xray-002.zip[/]")
def export(
    name: Annotated[str, GeneratorName],
    destination: Annotated[Path, typer.Argument(metavar="DEST", help="A new folder, or a new file named *.zip.")],
    no_training: Annotated[
        bool, typer.Option("--no-training", help="Without the discriminator: no --init-from, half the size.")
    ] = False,
    with_subjects: Annotated[
        bool, typer.Option("--with-subjects", help="With the keys of its patients, for who has the project key.")
    ] = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Write a generator as one folder or zip file that augment --generator and train-gan --init-from take anywhere."""
    with guard():
        from medsyn import portable

        opened = open_workspace(workspace)
        source = opened.find(GENERATOR, name)
        done = portable.export(source, destination, training=not no_training, subjects=with_subjects)
        if manner.current.as_json:
            manner.answer(done)
            return
        with terminal.hushed():
            from medsyn.operations.console import bytes_

            path = terminal.shown_path(done.path)
            terminal.out.print(f"[green]✓[/] {path}: {', '.join(done.files)}, {bytes_(done.bytes)}")
            terminal.out.print(f"[dim]There: medsyn augment --generator {path}[/]")
            terminal.warn("Its weights are made of patients' images: treat the file as you treat the scans.")
            if not done.subjects:
                terminal.warn(
                    "Whom it learnt from is not in it: evaluate cannot refuse it on patients it has met, and says so."
                )
