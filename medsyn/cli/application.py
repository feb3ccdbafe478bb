"""The application that commands register with."""

from __future__ import annotations

from typing import Annotated

import typer

from medsyn import __version__, terminal

app = typer.Typer(
    name="medsyn",
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    help="Synthetic medical scans from few real ones, and the truth about whether they help.",
    epilog="Example: [bold]medsyn demo[/]  (no data needed)",
)


def _version(value: bool) -> None:
    if value:
        terminal.out.print(f"medsyn {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass
