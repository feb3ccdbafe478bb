"""The application that commands register with, and how each of them speaks."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, Literal, get_type_hints

import typer

from medsyn import __version__, manner, terminal

PANEL = "Output"
JsonOption = Annotated[
    bool,
    typer.Option(
        "--json", help="One JSON object on standard output, all else on standard error.", rich_help_panel=PANEL
    ),
]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Only what was asked for, warnings and errors.", rich_help_panel=PANEL)
]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="Log lines, too, with times.", rich_help_panel=PANEL)
]
LogFormatOption = Annotated[
    Literal["text", "json"] | None,
    typer.Option(
        "--log-format",
        envvar="MEDSYN_LOG",
        help="Lines on standard error and in the log: text or json.",
        rich_help_panel=PANEL,
    ),
]


class Application(typer.Typer):
    """Every command takes the options of `speaks`, as the application itself does before the command."""

    def command(  # type: ignore[override]  # as Typer's, whatever that takes
        self, *args: Any, **kwargs: Any
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        register = super().command(*args, **kwargs)

        def added(function: Callable[..., Any]) -> Callable[..., Any]:
            register(speaks(function))
            return function

        return added


def speaks(function: Callable[..., Any]) -> Callable[..., Any]:
    """The command with ``--json``, ``--quiet``, ``--verbose`` and ``--log-format``."""

    @wraps(function)
    def command(*, as_json: bool, quiet: bool, verbose: bool, log_format: str | None, **arguments: Any) -> Any:
        _speak(as_json, quiet, verbose, log_format)
        return function(**arguments)

    more = {"as_json": JsonOption, "quiet": QuietOption, "verbose": VerboseOption, "log_format": LogFormatOption}
    own = inspect.signature(function)
    command.__annotations__ = get_type_hints(function, include_extras=True) | more
    command.__signature__ = own.replace(  # type: ignore[attr-defined]
        parameters=[
            *(p.replace(annotation=command.__annotations__[name]) for name, p in own.parameters.items()),
            *(
                inspect.Parameter(
                    name,
                    inspect.Parameter.KEYWORD_ONLY,
                    default=None if name == "log_format" else False,
                    annotation=kind,
                )
                for name, kind in more.items()
            ),
        ]
    )
    del command.__wrapped__  # Typer would read its signature
    return command


app = Application(
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
    ctx: typer.Context,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    log_format: LogFormatOption = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    _speak(as_json, quiet, verbose, log_format)
    ctx.call_on_close(_forget)


def _forget() -> None:
    """In a test or a notebook, one process runs many commands."""
    manner.current = manner.Manner()
    terminal.speak(manner.current)


def _speak(as_json: bool, quiet: bool, verbose: bool, log_format: str | None) -> None:
    """Add what was asked for here to what was asked for before the command."""
    how = manner.current
    how.as_json |= as_json
    how.quiet |= quiet
    how.verbose |= verbose
    how.log_json = log_format == "json" if log_format else how.log_json
    terminal.speak(how)
