"""Whole pipelines, the demo, and the examination of an installation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medsyn import terminal
from medsyn.cli.application import app
from medsyn.cli.guard import guard, open_workspace
from medsyn.cli.options import WorkspaceOption
from medsyn.cli.stages import run_stage
from medsyn.errors import ExitCode
from medsyn.workspace import Workspace

PANEL = "All at once, and help"


@app.command(epilog="Example: [bold]medsyn run pipelines/chest_xray.yaml[/]", rich_help_panel=PANEL)
def run(
    pipeline: Annotated[
        str,
        typer.Argument(help="YAML file, or a shipped one: demo, chest_xray, brain_mri, head_ct, breast_ultrasound."),
    ],
    workspace: WorkspaceOption = None,
) -> None:
    """Run a whole pipeline: stages in order, each with its options."""
    run_pipeline(pipeline, workspace)


@app.command(epilog="Example: [bold]medsyn demo --workspace /tmp/try[/]", rich_help_panel=PANEL)
def demo(workspace: WorkspaceOption = None) -> None:
    """Run everything on the built-in sample of simulated chest films; takes some minutes."""
    from medsyn.config import shipped

    run_pipeline(shipped("pipelines") / "demo.yaml", workspace)


@app.command(epilog="Example: [bold]medsyn doctor[/]", rich_help_panel=PANEL)
def doctor(workspace: WorkspaceOption = None) -> None:
    """Print versions, device, MLflow store, free disk, and what is missing for what."""
    from medsyn import doctor as examination

    with guard():
        healthy = examination.show(Workspace(workspace))
    raise typer.Exit(ExitCode.OK if healthy else ExitCode.ENVIRONMENT)


@app.command(epilog="Example: [bold]medsyn deliver[/]", rich_help_panel=PANEL)
def deliver(workspace: WorkspaceOption = None) -> None:
    """Give MLflow what it missed while it did not answer; stages do so by themselves."""
    from medsyn import tracking

    with guard():
        opened = open_workspace(workspace)
        terminal.delivered(tracking.deliver(opened), tracking.shown_uri(opened))


def run_pipeline(path: str | Path, folder: Path | None) -> None:
    from medsyn import tracking
    from medsyn.config import load_pipeline

    with guard():
        stages = load_pipeline(path)
        workspace = open_workspace(folder)
        for number, (name, options) in enumerate(stages, 1):
            terminal.heading(f"{number}/{len(stages)} {name}")
            run_stage(name, options, workspace)
        terminal.ui_hint(tracking.ui_hint(workspace))
