"""Whole pipelines, the demo, and the examination of an installation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medsyn import manner, terminal
from medsyn.cli.application import app
from medsyn.cli.guard import guard, open_workspace
from medsyn.cli.options import WorkspaceOption
from medsyn.cli.stages import facts, run_stage
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
        found = examination.examine(Workspace(workspace))
        if manner.current.as_json:
            manner.answer(found)
        else:
            examination.show(found)
    raise typer.Exit(ExitCode.ENVIRONMENT if found.problems else ExitCode.OK)


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
        done = []
        for number, (name, options) in enumerate(stages, 1):
            terminal.heading(f"{number}/{len(stages)} {name}")
            done.append(facts(name, run_stage(name, options, workspace)))
        if manner.current.as_json:
            manner.answer({"command": "run", "pipeline": str(path), "stages": done})
            return
        with terminal.hushed():
            terminal.ui_hint(tracking.ui_hint(workspace))
